"""A process that runs one experiment under policies, at the moment in which it is told to.

    python -m tests.policy.racer JOURNAL DIRECTORY POLICY NUMBER HOLD

It says `ready`, waits for a line, runs, and prints the verdict and the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.engine import Engine
from chaosrun.journal import open_journal
from chaosrun.loading.policies import load_policy
from chaosrun.policed import Under
from chaosrun.policy.actor import actor_of
from chaosrun.policy.policies import added_up
from chaosrun.units import Duration
from tests.engine.conftest import World
from tests.engine.provider import provider


class Racing(World):
    """The same world for many processes: each breaks a thing of its own."""

    def __init__(self, root: Path) -> None:
        self.faults, self.system = root / "faults", root / "system"


def main(url: str, directory: str, policy: str, number: str, hold: str) -> None:
    real = discovery.builtin_providers()
    discovery.builtin_providers = lambda: (*real, provider)  # type: ignore[assignment]
    world = Racing(Path(directory))
    experiment = world.experiment(
        hold=Duration(float(hold)),
        with_={
            "directory": str(world.faults), "thing": f"thing-{number}", "workload": "shop", "of": 6,
        },
    )  # fmt: skip
    metadata = replace(experiment.metadata, labels={"team": "shop"})
    experiment = replace(experiment, metadata=metadata)
    under = Under(policies=added_up([load_policy(policy)]), actor=actor_of("ann", "h", (), ""))
    journal = open_journal(url)
    engine = Engine(journal)
    print("ready", flush=True)
    sys.stdin.readline()
    run = engine.start(experiment, seed=1, under=under)
    finished = engine.loop()[run]
    print(f"{finished.verdict} {finished.reason}", flush=True)
    engine.close()
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
