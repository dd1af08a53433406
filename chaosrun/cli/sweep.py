"""`chaosrun sweep`: search targets for marks of faults that the journal does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean
from chaosrun.errors import ChaosrunError

if TYPE_CHECKING:
    from chaosrun.discovery import Provider
    from chaosrun.fault import Found
    from chaosrun.journal import Journal


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark on a target: whose it is, when the journal knows it, and what became of it."""

    provider: str
    found: Any
    run: str = ""
    reverted: bool = False
    problem: str = ""


@make.command(
    "sweep",
    examples="""
    chaosrun sweep
    chaosrun sweep --provider host --output json
    chaosrun sweep --revert              after asking
    chaosrun sweep --revert --yes --mark chaosrun-20261123-051025-edd012-0
    """,
)
@click.option("--revert", is_flag=True, help="Revert what the journal does not know.")
@click.option("--provider", help="Only the targets of this provider.")
@click.option("--mark", "only", multiple=True, metavar="MARK", help="Only this mark; repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask before reverting.")
@make.output_option()
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    revert: bool,
    provider: str | None,
    only: tuple[str, ...],
    yes: bool,
    output: str,
    journal_url: str | None,
) -> int:
    """Search targets for faults that this journal does not know: its run's journal was lost.

    Marks of runs in the journal are named with their run, and left to `chaosrun recover`. A
    run of another journal may still hold what is unknown here: look before you revert.
    Exit code 0 when nothing unknown is left, 7 when something is, 6 when a provider could not
    be searched.
    """
    providers = _providers(provider)
    with make.opened(journal_url) as journal:
        marks, failed = _search(journal, providers)
    marks = [mark for mark in marks if not only or mark.found.mark in only]
    unknown = [mark for mark in marks if not mark.run]
    if revert and unknown:
        able = [mark for mark in unknown if mark.found.hold is not None]
        faults = f"{len(able)} fault{'' if len(able) == 1 else 's'}"
        question = f"Revert {faults} that this journal does not know?"
        if output == "text" and able and not yes:
            _show(console, marks, failed)
        if able and make.need_confirmation(console, question, yes=yes):
            done = [_reverted(mark) if mark in able else mark for mark in unknown]
            marks = [mark for mark in marks if mark.run] + done
            unknown = [mark for mark in done if not mark.reverted]
    if output == "json":
        console.json({"marks": marks, "failed": failed})
    else:
        _show(console, marks, failed)
    return 7 if unknown else 6 if failed else 0


def _providers(name: str | None) -> list[Provider]:
    from chaosrun import discovery
    from chaosrun.errors import Rejected

    able = [one for one in discovery.all_providers() if one.sweep and not one.missing()]
    if name and name not in {one.name for one in able}:
        known = ", ".join(one.name for one in able)
        raise Rejected(f"no provider {name!r} can be searched", hint=f"these can: {known}")
    return [one for one in able if not name or one.name == name]


def _search(journal: Journal, providers: list[Provider]) -> tuple[list[Mark], dict[str, str]]:
    from chaosrun.cli.owing import unfinished

    owed = {lease.hold.mark: one.row.run for one in unfinished(journal) for lease in one.owed}
    marks: list[Mark] = []
    failed: dict[str, str] = {}
    for provider in providers:
        client: Any = None
        try:
            client = provider.client()
            for found in provider.marks(client):
                run = owed.get(found.mark, "")
                marks.append(Mark(provider=provider.name, found=found, run=run))
        except ChaosrunError as error:
            failed[provider.name] = str(error)
        finally:
            if hasattr(client, "close"):
                client.close()
    return marks, failed


def _reverted(mark: Mark) -> Mark:
    """Revert what the mark says and look that it is gone."""
    from chaosrun import discovery

    found: Found = mark.found
    assert found.hold is not None, "only asked for marks that say how"
    provider = discovery.provider_of("faults", found.fault)
    client = provider.client()
    try:
        kind = discovery.fault(found.fault)
        kind.revert(found.hold, client)
        evidence = kind.restored(found.hold, client)
    except ChaosrunError as error:
        return msgspec.structs.replace(mark, problem=str(error))
    finally:
        if hasattr(client, "close"):
            client.close()
    problem = "" if evidence.seen else evidence.detail
    return msgspec.structs.replace(mark, reverted=evidence.seen, problem=problem)


def _show(console: Console, marks: list[Mark], failed: dict[str, str]) -> None:
    if not marks and not failed:
        console.print("no marks of faults were found")
    for mark in marks:
        state, style = _state(mark)
        console.print(
            f"{console.style(state, style)}  {mark.found.fault} on {clean(mark.found.target)}:"
            f" {clean(mark.found.detail)}"
        )
        if mark.found.since:
            from chaosrun.cli.narrator import clock

            console.print(f"  since {clock(mark.found.since, date=True)}, mark {mark.found.mark}")
        if mark.problem:
            console.print(f"  {clean(mark.problem)}")
    for name, why in failed.items():
        console.warn(f"provider {name} could not be searched: {why}")


def _state(mark: Mark) -> tuple[str, str]:
    if mark.reverted:
        return "reverted", "green"
    if mark.run:
        return f"known (run {mark.run})", "cyan"
    if mark.found.hold is None:
        return "unknown, and the mark does not say how to revert it", "red"
    return "unknown", "red"
