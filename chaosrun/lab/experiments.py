"""The lab's experiments: which there are, what each asks, and copies to change.

They are the files in experiments/lab/ of the project, which a wheel holds beside this module.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from chaosrun.errors import Rejected
from chaosrun.lab.world import FIRST_PORT

_PACKAGED = Path(__file__).parent / "experiments"
_CHECKED_OUT = Path(__file__).parents[2] / "experiments" / "lab"


class LabExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """One of the lab's experiments; `verdict` is the one to expect in a lab that is well."""

    file: str
    asks: str
    verdict: str
    text: str


def lab_experiments() -> tuple[LabExperiment, ...]:
    """All of them, in the order in which they teach best."""
    directory = _PACKAGED if _PACKAGED.is_dir() else _CHECKED_OUT
    return tuple(_read(path) for path in sorted(directory.glob("*.yaml")))


def write_experiments(into: Path, *, first_port: int = FIRST_PORT) -> tuple[Path, ...]:
    """Write copies to change, for a lab at that port. Returns where they are.

    Raises Rejected, and writes nothing, when a file there says something else.
    """
    default = f'default: "{FIRST_PORT // 10}"'
    copies = {
        into / one.file: one.text.replace(default, f'default: "{first_port // 10}"')
        for one in lab_experiments()
    }
    for path, text in copies.items():
        if path.exists() and path.read_text() != text:
            raise Rejected(
                f"{path} is there already, and was changed",
                hint="give another directory, or move it away",
            )
    try:
        into.mkdir(parents=True, exist_ok=True)
        for path, text in copies.items():
            path.write_text(text)
    except OSError as error:
        raise Rejected(f"cannot write to {into}: {error.strerror}") from None
    return tuple(copies)


def _read(path: Path) -> LabExperiment:
    text = path.read_text()
    verdict = re.search(r"^# verdict: ([a-z]+)$", text, re.MULTILINE)
    assert verdict, f"{path} does not say what verdict to expect"
    asks = text.partition("\n")[0].removeprefix("# ")
    return LabExperiment(file=path.name, asks=asks, verdict=verdict[1], text=text)
