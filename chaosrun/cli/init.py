"""`chaosrun init`: a first experiment, commented, that validates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from chaosrun.cli.draft import Answers

_HOW_MANY_ASKED = 3


@make.command(
    "init",
    examples="""
    chaosrun init                                     asks a few questions
    chaosrun init shop.yaml --fault host.tcp-proxy --probe http --url http://127.0.0.1:8080/
    chaosrun init shop.yaml --title "The shop answers while a worker is gone" --no-input
    """,
)
@click.argument("file", type=click.Path(path_type=Path), default=Path("experiment.yaml"))
@click.option("--title", help="The question, as a sentence that should be true.")
@click.option("--fault", help="The fault of its first step; see `chaosrun faults`.")
@click.option("--probe", help="How to see that the system is well; see `chaosrun probes`.")
@click.option("--url", help="Where that probe looks, if it takes a URL.")
@click.option("--owner", help="Whom to tell when it fails.")
@click.option("--name", help="Its name; else made from the title.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@click.option("--no-input", is_flag=True, help="Never ask anything.")
@click.pass_obj
def command(
    console: Console,
    file: Path,
    title: str | None,
    fault: str | None,
    probe: str | None,
    url: str | None,
    owner: str | None,
    name: str | None,
    force: bool,
    no_input: bool,
) -> int:
    """Write a commented experiment that validates, as a start.

    Asks on a terminal for what the options leave open. FILE is experiment.yaml if none is named.
    """
    from chaosrun.cli.draft import Answers, text

    console.no_input = no_input
    if file.exists() and not force:
        raise Rejected(f"{file} exists", hint="another name, or --force to write over it")
    given = Answers(
        title=title or "", fault=fault or "", probe=probe or "", url=url or "", owner=owner or "",
        name=name or "",
    )  # fmt: skip
    answers = _complete(console, given)
    draft = text(answers)
    _check(draft)
    _write(file, draft)
    console.print(f"{file} is written, and valid. Fill in what is yours, then:")
    console.print(f"  chaosrun validate {file}\n  chaosrun plan {file}\n  chaosrun run {file}")
    return 0


def _complete(console: Console, given: Answers) -> Answers:
    """The answers, with questions for what is missing where somebody can be asked."""
    from msgspec.structs import replace

    from chaosrun.cli import draft

    if console.interactive and not (given.fault and given.probe and given.title):
        console.note("A few questions; Enter takes what is in brackets.\n")
        title = given.title or console.ask(
            "What should stay true while something fails?", draft.TITLE
        )
        fault = given.fault or _choose(console, "fault", "Which fault", draft.FAULT)
        probe = given.probe or _choose(
            console, "probe", "How is seen that the system is well", draft.PROBE
        )
        url = given.url
        if not url and draft.takes_url(probe):
            url = console.ask("Where does it look (URL)", draft.url_of(probe))
        owner = given.owner or console.ask("Whom to tell when it fails (or nothing)")
        given = replace(given, title=title, fault=fault, probe=probe, url=url, owner=owner)
    title = given.title or draft.TITLE
    return replace(
        given, title=title, fault=given.fault or draft.FAULT, probe=given.probe or draft.PROBE,
        name=given.name or _name_of(title),
    )  # fmt: skip


def _choose(console: Console, kind: str, question: str, default: str) -> str:
    """One of what there is; a wrong answer is asked again."""
    from difflib import get_close_matches

    from chaosrun.cli.catalog import listed

    there = {item.name: item for item in listed(kind) if not item.install}
    for name, item in there.items():
        console.note(f"  {name:20}  {item.summary}")
    for _ in range(_HOW_MANY_ASKED):
        answer = console.ask(question, default)
        if answer in there:
            return answer
        near = get_close_matches(answer, there, 1)
        console.note(f"there is no {kind} {answer!r}" + (f"; {near[0]}?" if near else ""))
    raise Rejected(f"no {kind} was chosen", hint=f"`chaosrun {kind}s` lists them")


def _name_of(title: str) -> str:
    """A name as Kubernetes has them, made from the title."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:60].strip("-") or "experiment"


def _check(draft: str) -> None:
    """Raises Invalid when the draft would not validate: then nothing is written."""
    import tempfile

    from chaosrun.loading import load_file

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as trial:
        trial.write(draft)
        trial.flush()
        load_file(trial.name)


def _write(file: Path, draft: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(draft, encoding="utf-8")
    except OSError as error:
        raise Rejected(f"cannot write {file}: {error.strerror}") from None
