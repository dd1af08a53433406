"""`chaosrun lab`: a small real system of processes on this machine, to practise on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaosrun.lab.aws.world import AwsWorld
    from chaosrun.lab.control import Status


def _directory_option(function: Callable[..., int]) -> Callable[..., int]:
    return click.option(
        "--directory", metavar="DIR", type=click.Path(path_type=Path), default=None,
        help="Where the lab keeps its files; one lab a directory.",
    )(function)  # fmt: skip


def _place(directory: Path | None) -> Path:
    """The directory asked for, or `lab` beside the journal's default file."""
    if directory is not None:
        return directory
    state = os.environ.get("CHAOSRUN_STATE_DIR")
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state or os.path.join(home, "chaosrun")) / "lab"


@click.group(
    "lab",
    cls=make.Group,
    examples="""
    chaosrun lab up                 start it; it ends by itself after an hour
    chaosrun lab experiments        what to try on it
    chaosrun lab status
    chaosrun lab down
    chaosrun lab up --aws           a world of AWS in its place, without an account
    """,
)
def command() -> None:
    """A small real system on loopback, to practise on: traffic, a front, replicas, a backend."""


_on_kubernetes = click.option(
    "--kubernetes", is_flag=True,
    help="The shop of experiments/kubernetes, in the cluster of the current context.",
)  # fmt: skip
_namespace = click.option(
    "--namespace", default="shop", show_default=True, metavar="NAME",
    help="With --kubernetes: the shop's namespace.",
)  # fmt: skip
_yes = click.option("--yes", is_flag=True, help="With --kubernetes: do not ask.")


@command.command(
    "up",
    examples="""
    chaosrun lab up --for 2h
    chaosrun lab up --base-port 9900
    chaosrun lab up --aws                   a world of AWS, on this machine
    chaosrun lab up --kubernetes            in the cluster of the current context; it asks first
    """,
)
@click.option("--aws", "as_aws", is_flag=True,
              help="A world of AWS to practise on, at the port 90 above the first.")  # fmt: skip
@click.option("--base-port", type=int, default=8800, show_default=True, help="Its first port.")
@click.option("--for", "lasts", default="1h", show_default=True, metavar="DURATION",
              help="It ends by itself after this time.")  # fmt: skip
@_on_kubernetes
@_namespace
@click.option("--image", default="", metavar="NAME",
              help="With --kubernetes: an image with python3; else python:3-alpine.")  # fmt: skip
@_yes
@_directory_option
@click.pass_obj
def up(
    console: Console,
    as_aws: bool,
    base_port: int,
    lasts: str,
    kubernetes: bool,
    namespace: str,
    image: str,
    yes: bool,
    directory: Path | None,
) -> int:
    """Start the lab and wait until all of it answers."""
    if as_aws and kubernetes:
        raise click.UsageError("--aws and --kubernetes are two labs: give one of them")
    if kubernetes:
        from chaosrun.cli.lab_on_kubernetes import deploy

        return deploy(console, namespace, image, yes=yes)
    from chaosrun.lab import control
    from chaosrun.units import Duration

    time = Duration(make.duration(lasts))
    if as_aws:
        from chaosrun.lab.aws import control as aws

        _show_aws(console, aws.up(_aws_place(directory), port=base_port + 90, lasts=time))
        console.print("\n`chaosrun lab experiments --aws` shows what to try on it")
        return 0
    status = control.up(_place(directory), first_port=base_port, lasts=time)
    _show(console, status)
    console.print("\n`chaosrun lab experiments` shows what to try on it")
    return 0


@command.command("down", examples="chaosrun lab down\nchaosrun lab down --kubernetes")
@_on_kubernetes
@_namespace
@_yes
@_directory_option
@click.pass_obj
def down(
    console: Console, kubernetes: bool, namespace: str, yes: bool, directory: Path | None
) -> int:
    """End the lab, also that of AWS, whatever is left of it."""
    if kubernetes:
        from chaosrun.cli.lab_on_kubernetes import remove

        return remove(console, namespace, yes=yes)
    from chaosrun.lab import control
    from chaosrun.lab.aws import control as aws

    ended = control.down(_place(directory)).processes + aws.down(_aws_place(directory))
    count = f"{ended} process{'' if ended == 1 else 'es'}"
    console.print(f"the lab is down; {count} ended" if ended else "no lab was up")
    return 0


@command.command("status", examples="chaosrun lab status --output json")
@_directory_option
@make.output_option()
@click.pass_obj
def status(console: Console, directory: Path | None, output: str) -> int:
    """Show the lab's parts, and whether each answers. Exit code 1 when it is not healthy."""
    from chaosrun.lab import control
    from chaosrun.lab.aws import control as aws

    found, world = control.status(_place(directory)), aws.status(_aws_place(directory))
    if output == "json":
        console.json({**make.plain_of(found), "aws": world})
        return 0 if found.healthy or (world is not None and not found.up) else 1
    if found.up:
        _show(console, found)
    if world is not None:
        _show_aws(console, world)
    if world is None and not found.up:
        console.print("no lab is up: `chaosrun lab up` starts one")
    return 0 if found.healthy or (world is not None and not found.up) else 1


def _aws_place(directory: Path | None) -> Path:
    """Beside the lab's own directory."""
    place = _place(directory).absolute()
    return place.with_name(f"{place.name}-aws")


def _show_aws(console: Console, world: AwsWorld) -> None:
    from time import time

    from chaosrun.reports.wording import seconds

    left = seconds(max(0.0, world.ends_at - time()))
    console.print(f"a world of AWS is up at {world.endpoint}, and ends by itself in {left}")
    console.print("these lead chaosrun, and AWS' own tools, there and to no account:\n")
    for name, value in world.environment.items():
        console.print(f"  export {name}={value}")


def _show(console: Console, status: Status) -> None:
    from chaosrun.cli.console import aligned
    from chaosrun.reports.wording import seconds

    left = seconds(status.seconds_left)
    console.print(f"the lab is up, and ends by itself in {left}")
    rows = [
        (f"  {console.mark(part.answers)}", part.name, f"127.0.0.1:{part.port}",
         part.state if part.state != "running" else "", part.tells)
        for part in status.parts
    ]  # fmt: skip
    for line in aligned(rows):
        console.print(line)


@command.command(
    "experiments",
    examples="chaosrun lab experiments\nchaosrun lab experiments --write lab/   copies to change\n"
    "chaosrun lab experiments --aws --write aws/",
)
@click.option("--aws", "of_aws", is_flag=True, help="Those for the world of AWS.")
@click.option("--write", "into", metavar="DIR", type=click.Path(path_type=Path),
              help="Write copies into this directory.")  # fmt: skip
@_directory_option
@make.output_option()
@click.pass_obj
def experiments(
    console: Console, into: Path | None, directory: Path | None, output: str, of_aws: bool
) -> int:
    """Show the lab's experiments: what each asks, and the verdict to expect."""
    from chaosrun.cli.console import VERDICT_STYLE, aligned
    from chaosrun.errors import Rejected
    from chaosrun.lab.experiments import (
        lab_experiments,
        write_aws_experiments,
        write_experiments,
    )

    found = lab_experiments("aws" if of_aws else "lab")
    if output == "json":
        console.json([{"file": o.file, "asks": o.asks, "verdict": o.verdict} for o in found])
        return 0
    rows = [(one.file, one.verdict, one.asks) for one in found]
    for line, one in zip(aligned([("FILE", "EXPECT", "QUESTION"), *rows])[1:], found, strict=True):
        style = VERDICT_STYLE.get(one.verdict, "")
        console.print(line.replace(f"  {one.verdict}", f"  {console.style(one.verdict, style)}", 1))
    if into is None:
        if of_aws:
            console.print(
                "\n`chaosrun lab experiments --aws --write aws` writes them for its world"
            )
            return 0
        console.print("\n`chaosrun lab experiments --write lab` writes them where you can run them")
        return 0
    if of_aws:
        from chaosrun.lab.aws import control as aws

        world = aws.status(_aws_place(directory))
        if world is None:
            raise Rejected("no world of AWS is up", hint="chaosrun lab up --aws")
        paths = write_aws_experiments(into, world.parameters)
        console.print(f"\nwritten to {into}; with what `lab up` printed: `chaosrun run {paths[0]}`")
        console.print("those with aws.ssm-* are refused here: no instance has a shell")
        return 0
    written = write_experiments(into, first_port=_first_port(directory))
    console.print(f"\nwritten to {into}; with the lab up: `chaosrun run {written[0]}`")
    return 0


def _first_port(directory: Path | None) -> int:
    """The port of the lab that is up, or the usual one."""
    from chaosrun.lab.world import FIRST_PORT, read_world

    world = read_world(_place(directory))
    return world.first_port if world is not None else FIRST_PORT
