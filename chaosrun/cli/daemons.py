"""`chaosrun serve`, `scheduler` and `worker`: one daemon, with more or less to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.under import policy_option, under
from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

_EXTRA = "pip install 'chaosrun[service]'"


def common(function: Callable[..., int]) -> Callable[..., int]:
    """The options that every daemon has."""
    function = click.option(
        "--listen", default="127.0.0.1:8790", show_default=True, metavar="HOST:PORT",
        help="Where /healthz, /readyz and /metrics are; none for none.",
    )(function)  # fmt: skip
    function = click.option(
        "--log", "log", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="How it says what it does, on standard error.",
    )(function)  # fmt: skip
    return make.journal_option(function)


def working(function: Callable[..., int]) -> Callable[..., int]:
    """The options of a daemon that runs experiments."""
    function = click.option(
        "--most", type=click.IntRange(1, 1000), default=32, show_default=True,
        help="Most fires that it works on at one time.",
    )(function)  # fmt: skip
    function = policy_option(function)
    return click.option(
        "--drain", default="0s", show_default=True, metavar="DURATION",
        help="How long runs may go on to their own end after TERM; then they revert.",
    )(function)  # fmt: skip


def run(
    *,
    schedules: tuple[str, ...],
    works: bool,
    journal_url: str | None,
    listen: str,
    log: str,
    most: int = 32,
    drain: str = "0s",
    policies: tuple[str, ...] = (),
) -> int:
    """Be a daemon until INT, TERM or HUP; the exit code."""
    import os

    from chaosrun.cli.signals import Signals, name_of
    from chaosrun.journal import default_url

    seconds = make.duration(drain)
    for path in schedules:
        if not os.path.exists(path):
            raise Rejected(f"there is no {path}", hint="name files or directories of schedules")
    try:
        from chaosrun.service import logs
        from chaosrun.service.daemon import Daemon, Options
        from chaosrun.service.metrics import Metrics
        from chaosrun.service.queues import open_queue
        from chaosrun.service.web import Web
    except ImportError as error:
        raise Rejected(f"a daemon needs more: {error}", hint=_EXTRA) from None
    url = journal_url or default_url()
    options = Options(schedules=schedules, works=works, most=most, drain=seconds)
    with Signals() as signals, make.opened(url) as journal:
        metrics = Metrics()
        logs.configure(log)
        if works:
            under(policies)  # one that is wrong is told now, and not when something is due
        daemon = Daemon(journal, open_queue(url), options, metrics, lambda: under(policies))
        web = None
        if listen != "none":
            web = Web(listen, daemon.alive, daemon.ready, metrics)
            web.start()
            logs.say("listening", address=web.address)
        signals.tell(lambda number, _: daemon.ask_to_stop(f"{name_of(number)} was received"))
        try:
            return daemon.run()
        finally:
            if web is not None:
                web.close()
