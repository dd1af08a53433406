"""A fault over a world of lamps, right and wrong in every way that the contract must see."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.targeting import Pick, Target, pick
from chaosrun.testing import Lab
from chaosrun.units import JSON

_WORLD = "CHAOSRUN_TEST_LAMPS"
_GUESSES = itertools.count()


class Lamps:
    """The way to the lamps: a file that says which are on, and since when it may be dark."""

    def read(self) -> dict[str, JSON]:
        found: dict[str, JSON] = json.loads(Path(os.environ[_WORLD]).read_text())
        return found

    def names(self) -> list[str]:
        return list(self.read())

    def is_on(self, name: str) -> bool:
        return bool(self.read()[name])

    def switch(self, name: str, on: bool) -> None:
        self.write({**self.read(), name: on})

    def write(self, lamps: dict[str, JSON]) -> None:
        draft = Path(f"{os.environ[_WORLD]}.{threading.get_ident()}")
        draft.write_text(json.dumps(lamps))
        draft.rename(os.environ[_WORLD])


class Dark(Fault[Lamps], frozen=True, kw_only=True):
    """Switch lamps off."""

    name: ClassVar[str] = "test.dark"
    example: ClassVar[dict[str, JSON]] = {"with": {"pick": 2}}

    pick: Pick = Pick("one")

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        population = [Target(kind="lamp", id=name) for name in client.names()]
        return Hold(
            fault=self.name, targets=pick(population, self.pick, rng), population=len(population),
            effect="they are dark", way_back="they are switched on again",
        )  # fmt: skip

    @classmethod
    def inject(cls, hold: Hold, client: Lamps) -> None:
        for target in hold.targets:
            client.switch(target.id, False)

    @classmethod
    def revert(cls, hold: Hold, client: Lamps) -> None:
        for target in hold.targets:
            client.switch(target.id, True)

    @classmethod
    def took_effect(cls, hold: Hold, client: Lamps) -> Evidence:
        return Evidence(not any(client.is_on(t.id) for t in hold.targets), "looked at the lamps")

    @classmethod
    def restored(cls, hold: Hold, client: Lamps) -> Evidence:
        return Evidence(all(client.is_on(t.id) for t in hold.targets), "looked at the lamps")


class Unexplained(Dark, frozen=True, kw_only=True):
    __doc__ = ""


class BadExample(Dark, frozen=True, kw_only=True):
    """Its example has an argument that there is not."""

    example: ClassVar[dict[str, JSON]] = {"with": {"count": 2}}


class PlanTouches(Dark, frozen=True, kw_only=True):
    """Its plan switches a lamp off."""

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        client.switch("a", False)
        return super().plan(client, rng)


class Undeclared(Dark, frozen=True, kw_only=True):
    """It uses a permission that it does not declare."""

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        used = (Permission("linux", "CAP_KILL"),)
        return msgspec.structs.replace(super().plan(client, rng), used=used)


class PlanGuesses(Dark, frozen=True, kw_only=True):
    """Its plan does not use the rng that it is given."""

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        return super().plan(client, random.Random(next(_GUESSES)))


class PlanFollowsOrder(Dark, frozen=True, kw_only=True):
    """Its plan takes what was listed first."""

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        first = (Target(kind="lamp", id=client.names()[0]),)
        return msgspec.structs.replace(super().plan(client, rng), targets=first)


class NotPlain(Dark, frozen=True, kw_only=True):
    """Its undo data cannot be written down."""

    def plan(self, client: Lamps, rng: random.Random) -> Hold:
        return msgspec.structs.replace(super().plan(client, rng), undo=client)


class NoEffect(Dark, frozen=True, kw_only=True):
    """Its injection does nothing."""

    @classmethod
    def inject(cls, hold: Hold, client: Lamps) -> None:
        pass


class SaysItWorked(NoEffect, frozen=True, kw_only=True):
    """Its injection does nothing, and it says that it worked."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Lamps) -> Evidence:
        return Evidence(True, "of course")


class NoRevert(Dark, frozen=True, kw_only=True):
    """Its revert does nothing, and its proof is honest."""

    @classmethod
    def revert(cls, hold: Hold, client: Lamps) -> None:
        pass


class SaysItIsBack(NoRevert, frozen=True, kw_only=True):
    """Its revert does nothing, and it says that all is well."""

    @classmethod
    def restored(cls, hold: Hold, client: Lamps) -> Evidence:
        return Evidence(True, "of course")


class Toggles(Dark, frozen=True, kw_only=True):
    """Its injection switches on what is off."""

    @classmethod
    def inject(cls, hold: Hold, client: Lamps) -> None:
        for target in hold.targets:
            client.switch(target.id, not client.is_on(target.id))


class RevertsByToggling(Dark, frozen=True, kw_only=True):
    """Its revert switches off what is on."""

    @classmethod
    def revert(cls, hold: Hold, client: Lamps) -> None:
        for target in hold.targets:
            client.switch(target.id, not client.is_on(target.id))


class RevertsWhatItSaw(Dark, frozen=True, kw_only=True):
    """Its revert needs what its own process remembers."""

    done: ClassVar[list[str]] = []

    @classmethod
    def inject(cls, hold: Hold, client: Lamps) -> None:
        super().inject(hold, client)
        cls.done.extend(target.id for target in hold.targets)

    @classmethod
    def revert(cls, hold: Hold, client: Lamps) -> None:
        for name in cls.done:
            client.switch(name, True)


class RevertsByNotes(Dark, frozen=True, kw_only=True):
    """It notes in the world what to revert, after it did the harm."""

    @classmethod
    def inject(cls, hold: Hold, client: Lamps) -> None:
        super().inject(hold, client)
        client.write({**client.read(), "note": [target.id for target in hold.targets]})

    @classmethod
    def revert(cls, hold: Hold, client: Lamps) -> None:
        lamps = client.read()
        client.write({name: on for name, on in lamps.items() if name != "note"})
        for name in lamps.get("note", []):
            client.switch(name, True)


class NeverExpires(Dark, frozen=True, kw_only=True):
    """It says that its target ends it, and nobody does."""

    expiry: ClassVar[Expiry] = Expiry.TARGET


class LampLab(Lab):
    """Three lamps, all on."""

    fault = "test.dark"
    settles = 0.2
    found_by_sweep = False
    of: ClassVar[type[Dark]] = Dark

    def kind(self) -> type[Any]:
        return self.of

    def connect(self) -> str:
        return f"{Lamps.__module__}:{Lamps.__qualname__}"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        directory = cleanup.enter_context(tempfile.TemporaryDirectory())
        os.environ[_WORLD] = f"{directory}/lamps"
        cleanup.callback(os.environ.pop, _WORLD)
        cleanup.callback(RevertsWhatItSaw.done.clear)
        Lamps().write({"a": True, "b": True, "c": True})

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"pick": 2}}

    def snapshot(self) -> JSON:
        return json.loads(Path(os.environ[_WORLD]).read_text())


def lab_of(kind: type[Dark]) -> type[LampLab]:
    """The same lamps for another fault."""
    return type(f"{kind.__name__}Lab", (LampLab,), {"of": kind})
