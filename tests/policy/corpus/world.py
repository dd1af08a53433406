"""A provider whose targets stand in world.yaml: nothing is ever touched."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import yaml

from chaosrun.codec import from_plain
from chaosrun.discovery import Provider
from chaosrun.fault import Fault, Hold
from chaosrun.probe import Probe
from chaosrun.targeting import Pick, Target, pick, populations
from chaosrun.units import Duration

FILE = Path(__file__).parent / "world.yaml"


@cache
def world() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def targets() -> tuple[Target, ...]:
    """Everything there is: each entry stands for as many as it has ids."""
    found = []
    for entry in world()["targets"]:
        for number, name in enumerate(entry["names"]):
            zones = entry.get("zones", [""])
            found.append(
                Target(
                    kind=entry["kind"], id=name, domain=zones[number % len(zones)],
                    labels=entry.get("labels"), groups=entry.get("groups", {}),
                )
            )  # fmt: skip
    return tuple(found)


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which targets: patterns."""

    kind: str = "*"
    name: str = "*"
    pick: Pick = Pick("one")


class Touch(Fault[None], frozen=True, kw_only=True):
    """Touches things, on paper."""

    name: ClassVar[str] = "shop.pod-kill"
    target: Where

    def plan(self, client: None, rng: random.Random) -> Hold:
        population = [
            target
            for target in targets()
            if fnmatchcase(target.kind, self.target.kind)
            and fnmatchcase(target.id, self.target.name)
        ]
        return Hold(
            fault=self.name, targets=pick(population, self.target.pick, rng),
            population=len(population), populations=populations(population), effect="on paper",
        )  # fmt: skip


class Slow(Touch, frozen=True, kw_only=True):
    """Slows things, on paper."""

    name: ClassVar[str] = "shop.network-latency"


class Failover(Touch, frozen=True, kw_only=True):
    """Fails over, on paper."""

    name: ClassVar[str] = "shop.db-failover"


class Answer(msgspec.Struct, frozen=True):
    fine: bool


class Look(Probe[None, Answer], frozen=True, kw_only=True):
    """Always fine."""

    name: ClassVar[str] = "shop.look"
    Result: ClassVar[type[msgspec.Struct]] = Answer
    timeout: Annotated[Duration, "how long"] = Duration(1)

    def observe(self, client: None) -> Answer:
        return Answer(True)


provider = Provider(
    name="shop",
    package="tests.policy.corpus",
    faults={
        "shop.pod-kill": "world:Touch",
        "shop.network-latency": "world:Slow",
        "shop.db-failover": "world:Failover",
    },
    probes={"shop.look": "world:Look"},
)


def planned(fault: type[Touch], target: dict[str, Any], rng: random.Random) -> Hold:
    return from_plain({"target": target}, fault).plan(None, rng)
