"""`chaosrun approve`: somebody has looked at exactly this experiment, and it may run."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean


@make.command(
    "approve",
    examples="""
    chaosrun approve experiment.yaml --reason "reviewed with the database team"
    chaosrun approve plan.json --reason "these three instances" --for 4h
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@click.option("--reason", required=True, help="What was looked at; it is kept.")
@click.option("--for", "lasting", metavar="DURATION", default="24h", show_default=True,
              help="How long it may be run.")  # fmt: skip
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    file: str,
    sets: tuple[str, ...],
    values: str | None,
    reason: str,
    lasting: str,
    journal_url: str | None,
) -> int:
    """Approve an experiment, or a saved plan, for a time; a policy says who may.

    The approval is for the experiment with its parameters as it is now: changed in anything, it
    needs a new one. It is kept in the journal with your name and reason, and a policy may ask
    that it is not that of the one who runs it.
    """
    from time import time

    from chaosrun.cli import saved
    from chaosrun.cli.narrator import clock
    from chaosrun.cli.reading import load
    from chaosrun.cli.under import actor
    from chaosrun.errors import Rejected
    from chaosrun.journal.claims import Approval

    seconds = make.duration(lasting)
    if not reason.strip():
        raise click.UsageError("an approval is kept with its reason: --reason TEXT")
    plan = saved.load(file)
    if plan is not None:
        if sets or values:
            raise Rejected("a plan has its parameters already: --set and --values belong to `plan`")
        name, digest = plan.experiment.metadata.name, plan.digest
    else:
        loaded = load(file, sets, values)
        name, digest = loaded.experiment.metadata.name, loaded.digest
    who, now = actor(), time()
    approval = Approval(
        digest=digest, by=who.shown, names=who.names, reason=reason.strip(), at=now,
        expires=now + seconds,
    )  # fmt: skip
    with make.opened(journal_url) as journal:
        journal.approve(approval)
    until = clock(approval.expires, date=True)
    console.print(f"{clean(name)} ({digest[:12]}) is approved by {who.shown} until {until}")
    return 0
