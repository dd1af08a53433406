"""The lab's experiments: which there are, what each asks, and copies to change.

They are the files in experiments/lab/ of the project, which a wheel holds beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chaosrun.errors import Rejected
from chaosrun.lab.world import FIRST_PORT

_PACKAGED = {"lab": Path(__file__).parent / "experiments"}
_PACKAGED["aws"] = Path(__file__).parent / "aws" / "experiments"
_CHECKED_OUT = Path(__file__).parents[2] / "experiments"


class LabExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """One of the lab's experiments; `verdict` is the one to expect in a lab that is well."""

    file: str
    asks: str
    verdict: str
    text: str


def lab_experiments(of: str = "lab") -> tuple[LabExperiment, ...]:
    """All of them, in the order in which they teach best; `of` is lab or aws."""
    directory = _PACKAGED[of] if _PACKAGED[of].is_dir() else _CHECKED_OUT / of
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
    return _write(into, copies)


def write_aws_experiments(into: Path, parameters: Mapping[str, str]) -> tuple[Path, ...]:
    """Write copies of those for AWS; these parameters get their value as default.

    `02/group` is the parameter of one file, whose name begins so.

    Raises Rejected, and writes nothing, when a file there says something else.
    """
    copies = {}
    for one in lab_experiments("aws"):
        number = one.file.partition("-")[0]
        given = {name.removeprefix(f"{number}/"): value for name, value in parameters.items()}
        copies[into / one.file] = _told(one.text, given)
    return _write(into, copies)


def _told(text: str, parameters: Mapping[str, str]) -> str:
    for name, value in parameters.items():
        declared = rf"(^    {name}: \{{type: string, )(?:default: [^,]+, )?(?=description)"
        text = re.sub(declared, rf"\g<1>default: {value}, ", text, flags=re.MULTILINE)
    return text


def _write(into: Path, copies: Mapping[Path, str]) -> tuple[Path, ...]:
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
