"""What follows from a fire alone: the id of its run, its seed, and the question that it asks.

Law: two who think that they own a fire compute the same id, and the journal lets one of them
append the first event.
"""

from __future__ import annotations

import hashlib
import time

from chaosrun.asking import Part, Question
from chaosrun.journal.agenda import FireRow
from chaosrun.loading import Loaded, LoadedSuite


def run_of(fire: FireRow) -> str:
    """The id of the fire's run: when it was due, and letters that follow from its schedule."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(fire.due / 1000))
    return f"{stamp}-{_digest(fire)[:10]}"


def seed_of(fire: FireRow) -> int:
    """The seed of its targets."""
    return int(_digest(fire)[10:18], 16) % 2**31


def question_of(loaded: Loaded | LoadedSuite) -> Question:
    """A loaded experiment or suite as a question that needs no file any more."""
    if isinstance(loaded, Loaded):
        name = loaded.experiment.metadata.name
        return Question(name=name, source=loaded.source, parts=(_part(name, loaded),))
    return Question(
        name=loaded.suite.metadata.name,
        source=loaded.source,
        parts=tuple(_part(entry.name, entry.loaded) for entry in loaded.entries),
        suite=loaded.suite.spec,
    )


def _part(name: str, loaded: Loaded) -> Part:
    return Part(
        name=name, experiment=loaded.experiment, digest=loaded.digest, source=loaded.source,
        parameters=loaded.parameters,
    )  # fmt: skip


def _digest(fire: FireRow) -> str:
    return hashlib.blake2b(f"{fire.schedule}\0{fire.due}".encode(), digest_size=16).hexdigest()
