"""`chaosrun doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.errors import ChaosrunError

if TYPE_CHECKING:
    from chaosrun.journal import Journal

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: ok, warn or fail, what was seen, and what would help."""

    state: str
    subject: str
    seen: str
    hint: str = ""


@make.command(
    "doctor",
    examples="""
    chaosrun doctor
    chaosrun doctor --output json | jq '.[] | select(.state != "ok")'
    chaosrun doctor --kubernetes            what the nodes' kernels have; it asks first
    """,
)
@click.option(
    "--kubernetes",
    is_flag=True,
    help="Look at the kernels of the nodes of the current context's cluster.",
)
@click.option(
    "--namespace",
    default="",
    metavar="NAME",
    help="With --kubernetes: where the pods that look live, else $CHAOSRUN_AGENT_NAMESPACE, else"
    " default.",
)
@click.option(
    "--image", default="", metavar="NAME",
    help="With --kubernetes: an image of chaosrun, else $CHAOSRUN_AGENT_IMAGE.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --kubernetes: do not ask.")
@make.output_option()
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    kubernetes: bool,
    namespace: str,
    image: str,
    yes: bool,
    output: str,
    journal_url: str | None,
) -> int:
    """Say what works here and what to install. Exit code 1 when something must be fixed.

    With --kubernetes: what the kernels of a cluster's nodes can do to packets, so that plans of
    faults in pods name the mechanism. It runs one privileged pod on each node for some seconds,
    which tries that in a network namespace made for it, and notes what it saw on the node, as the
    annotation chaosrun.dev/kernel. A note counts until the node starts anew. This takes the rights
    to get, list and patch nodes, to create, list and delete pods in that namespace, and to get the
    namespace kube-system.
    """
    if kubernetes:
        from chaosrun.cli.doctor_on_kubernetes import look

        return look(console, namespace, image, yes=yes, output=output)
    found = [
        *_python(),
        *_journal(journal_url),
        *_clock(),
        *_providers(),
        *_host(),
        *_network(),
        *_docker(),
        *_tools(),
        *_terminal(console),
    ]
    if output == "json":
        console.json(found)
    else:
        for one in found:
            state = console.style(f"{one.state:4}", _STYLES[one.state])
            console.print(f"{state}  {one.subject:12}  {one.seen}")
            if one.hint:
                console.print(f"{'':20}{console.style('→' if console.unicode else '>', 'dim')}"
                              f" {one.hint}")  # fmt: skip
    return 1 if any(one.state == "fail" for one in found) else 0


def _python() -> Iterator[Finding]:
    import platform

    version = f"{platform.python_version()} at {sys.executable}"
    yield Finding("ok", "python", version)


def _journal(url: str | None) -> Iterator[Finding]:
    """Opened, written to (a registration, which leaves nothing), and read."""
    from chaosrun.journal import default_url, open_journal

    url = url or default_url()
    shown = _without_password(url)
    try:
        journal = open_journal(url)
    except ChaosrunError as error:
        yield Finding("fail", "journal", f"{shown}: {error}", error.hint)
        return
    try:
        journal.register(f"doctor-{os.getpid()}")
        yield Finding("ok", "journal", f"{shown} can be read and written")
    except ChaosrunError as error:
        yield Finding("fail", "journal", f"{shown} cannot be written: {error}", error.hint)
    try:
        yield from _halt(journal)
        yield from _left_behind(journal)
    except ChaosrunError as error:
        yield Finding("fail", "journal", f"{shown} cannot be read: {error}", error.hint)
    finally:
        journal.close()


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":***@") if parts.password else url


def _halt(journal: Journal) -> Iterator[Finding]:
    halt = journal.halt()
    if halt:
        seen = f"on, by {halt.by}: {halt.reason}"
        yield Finding("warn", "halt", seen, "`chaosrun halt off` lets experiments run again")
    else:
        yield Finding("ok", "halt", "off, and can be read")


def _left_behind(journal: Journal) -> Iterator[Finding]:
    from chaosrun.cli.owing import unfinished

    left = [one for one in unfinished(journal) if one.needs_recovery]
    if left:
        names = ", ".join(one.row.run for one in left[:3])
        hint = "`chaosrun recover` reverts what they left behind"
        yield Finding("warn", "runs", f"{len(left)} dead or stranded: {names}", hint)
    else:
        yield Finding("ok", "runs", "none is dead or stranded")


def _clock() -> Iterator[Finding]:
    import time

    year = time.gmtime().tm_year
    if year < 2024:
        hint = "deadlines and schedules need the right time: set the clock"
        yield Finding("fail", "clock", f"it is the year {year} here", hint)
    else:
        zone = time.strftime("%Z %z")
        yield Finding("ok", "clock", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {zone}")


def _providers() -> Iterator[Finding]:
    from chaosrun import discovery

    for provider in discovery.all_providers():
        counts = [
            f"{len(table)} {name if len(table) > 1 else name[:-1]}"
            for name, table in (
                ("faults", provider.faults),
                ("probes", provider.probes),
                ("gates", provider.gates),
                ("sources of secrets", provider.secrets),
            )
            if table
        ]
        if missing := provider.missing():
            hint = f"pip install 'chaosrun[{provider.extra or provider.name}]'"
            yield Finding("warn", provider.name, f"needs {', '.join(missing)}", hint)
        elif problem := _problem_of(provider.client):
            yield Finding("warn", provider.name, problem)
        else:
            yield Finding("ok", provider.name, ", ".join(counts))


def _problem_of(connect: Callable[[], object]) -> str:
    """Why the provider's client cannot be made here, or nothing."""
    try:
        client = connect()
    except (ChaosrunError, ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    if hasattr(client, "close"):
        client.close()
    return ""


_NEEDED = {
    5: ("CAP_KILL", "signals to processes of other users"),
    12: ("CAP_NET_ADMIN", "network faults of this machine"),
    21: ("CAP_SYS_ADMIN", "namespaces and mounts"),
}


def _host() -> Iterator[Finding]:
    """What the kernel lets this process do (capabilities(7))."""
    from pathlib import Path

    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        hint = "faults of provider host need Linux"
        yield Finding("warn", "system", f"{sys.platform} has no /proc", hint)
        return
    mask = int(next(li for li in status.splitlines() if li.startswith("CapEff")).split()[1], 16)
    has = [name for bit, (name, _) in _NEEDED.items() if mask >> bit & 1]
    lacks = [f"{name} ({what})" for bit, (name, what) in _NEEDED.items() if not mask >> bit & 1]
    user = f"user {os.geteuid()}, {', '.join(has) or 'no capabilities'}"
    if lacks:
        hint = "faults on one's own processes work without"
        yield Finding("ok", "rights", f"{user}; without {', '.join(lacks)}", hint)
    else:
        yield Finding("ok", "rights", user)


def _network() -> Iterator[Finding]:
    """What this kernel can do to packets, found by trying in a namespace made for it."""
    from chaosrun.mechanisms import kernel

    if not sys.platform.startswith("linux"):
        return
    offers = kernel.offers()
    if offers.unknown:
        yield Finding("ok", "network", f"what this kernel can do is {offers}", offers.hint)
    elif not offers.mechanisms:
        yield Finding("warn", "network", str(offers), "host.network and host.partition need one")
    else:
        hint = "" if "netem" in offers.works else "netem is the module sch_netem of the kernel"
        yield Finding("ok", "network", f"faults by {offers}", hint)


def _docker() -> Iterator[Finding]:
    """Whether a Docker engine answers; who has none need not hear of it as of a fault."""
    from chaosrun import discovery

    provider = discovery.provider_of("faults", "docker.stop")
    if provider.missing():
        return
    client = provider.client()
    try:
        version, url = client.version()
    except ChaosrunError as error:
        meant = "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ
        yield Finding("warn" if meant else "ok", "engine", str(error), error.hint)
    else:
        yield Finding("ok", "engine", f"Docker {version} answers at {url}")
    finally:
        client.close()


def _tools() -> Iterator[Finding]:
    """What some faults of this machine need besides the kernel, and what they do without."""
    import importlib.util
    import shutil
    from pathlib import Path

    if not sys.platform.startswith("linux"):
        return
    stress = shutil.which("stress-ng")
    seen = f"by {stress}" if stress else "by small workers of ours"
    yield Finding("ok", "pressure", seen, "" if stress else "stress-ng, if installed, does it")
    for subject, fault, module, extra in (
        ("lookups", "host.dns", "dnslib", "dns-faults"),
        ("requests", "host.http", "envoy", "http-faults"),
        ("daemons", "`chaosrun serve`", "apscheduler", "service"),
    ):
        there = importlib.util.find_spec(module) is not None
        seen = f"{fault} has {module}" if there else f"{fault} is refused without {module}"
        yield Finding("ok", subject, seen, "" if there else f"pip install 'chaosrun[{extra}]'")
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    seen = f"host.clock by {found[0]}" if found else "host.clock is refused without libfaketime"
    yield Finding("ok", "clocks", seen, "" if found else "apt-get install libfaketime")


def _terminal(console: Console) -> Iterator[Finding]:
    if not sys.stdout.isatty():
        yield Finding("ok", "terminal", "none: `run` prints plain lines")
        return
    seen = f"{os.environ.get('TERM', 'unknown')}, {console.width} columns"
    seen += ", colour" if console.color else ", no colour"
    if console.unicode:
        yield Finding("ok", "terminal", seen)
    else:
        yield Finding("warn", "terminal", seen + ", ASCII only", "set LANG to a UTF-8 locale")
