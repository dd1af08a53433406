"""`chaosrun import`: experiments from the files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaosrun.providers.aws.fis_words import Note

_OF_AWS = {"id", "arn", "creationTime", "lastUpdateTime", "targetAccountConfigurationsCount"}
_MOST = 4 * 1024 * 1024


@click.group("import", cls=make.Group, examples="chaosrun import fis template.json > first.yaml")
def command() -> None:
    """Write experiments from the files of other tools, and say what is not the same."""


@command.command("fis", examples="chaosrun import fis template.json > first.yaml")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def fis(console: Console, file: Path) -> int:
    """Write a template of AWS' Fault Injection Service as an experiment.

    The experiment goes to standard output; what became of each part is said on standard error.
    """
    import msgspec
    import yaml

    from chaosrun.codec import from_json, from_plain
    from chaosrun.errors import Rejected
    from chaosrun.providers.aws.fis_import import experiment_of
    from chaosrun.providers.aws.fis_template import Template, of_answer

    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST + 1)
        if len(content) > _MOST:
            raise Rejected(f"{file} is longer than {_MOST >> 20} MiB, so no template")
        written: Any = from_json(content, Any)
        left: set[str] = set()
        if isinstance(written, dict):  # as `aws fis get-experiment-template` prints it
            whole = written.get("experimentTemplate", written)
            written = of_answer(whole)
            left = whole.keys() - written.keys() - _OF_AWS
        template = from_plain(written, Template)
    except OSError as error:
        raise Rejected(f"cannot read {file}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Rejected(f"{file} is not a template of FIS: {error}") from None
    document, notes = experiment_of(template, file.stem)
    console.write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))
    tell(console, notes)
    for name in sorted(left):
        console.note(f"{name}: left out: an experiment has no place for it")
    return 0


def tell(console: Console, notes: Iterable[Note]) -> None:
    """What became of each part, a line each."""
    for note in notes:
        console.note(f"{note.where}: {note.said}")
