"""Which policies a run is under, who asks for it, and which rules they want overridden.

Law: policies add up; no option drops one. An override that cannot count (no such rule, no
reason) is said before anything is read from a target.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chaosrun.policy.actor import ACTOR, Actor, actor_of

if TYPE_CHECKING:
    from chaosrun.policed import Under
    from chaosrun.policy.policies import Policies

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def policy_option(function: Decorated) -> Decorated:
    return click.option(
        "--policy", "policies", metavar="PATH", multiple=True, type=click.Path(),
        help="A policy, or a directory of some, that holds besides those of this machine;"
        " repeatable.",
    )(function)  # fmt: skip


def override_options(function: Decorated) -> Decorated:
    for option in (
        click.option("--ticket", metavar="ID", default="", help="The ticket of this change."),
        click.option("--reason", metavar="TEXT", default="", help="Why a rule is overridden."),
        click.option(
            "--override", "overrides", metavar="RULE", multiple=True,
            help="Go on although this rule of a policy is not met, if you may; repeatable.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def actor() -> Actor:
    """Who gives this command."""
    import getpass
    import grp
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    groups = []
    for number in os.getgroups():
        try:
            groups.append(grp.getgrgid(number).gr_name)
        except KeyError:  # a group without a name
            groups.append(str(number))
    return actor_of(user, socket.gethostname(), groups, os.environ.get(ACTOR, "").strip())


def under(
    named: Iterable[str], overrides: Iterable[str] = (), reason: str = "", ticket: str = ""
) -> Under:
    """What a run is put under. Raises BrokenPolicy when a policy is wrong."""
    from chaosrun.events import Override
    from chaosrun.loading.policies import find_policies
    from chaosrun.policed import Under

    found = find_policies(named)
    who = actor()
    rules = check_overrides(found, overrides, reason)
    return Under(
        policies=found, actor=who, ticket=ticket,
        overrides=tuple(
            Override(rule=rule, by=who.shown, reason=reason.strip(), ticket=ticket)
            for rule in rules
        ),
    )  # fmt: skip


def check_overrides(found: Policies, overrides: Iterable[str], reason: str) -> list[str]:
    """The rules to override, each once. Raises UsageError where one could never count."""
    wanted = list(dict.fromkeys(overrides))
    if wanted and not reason.strip():
        raise click.UsageError("an override is kept with its reason: add --reason TEXT")
    known = sorted({ruling.rule.name for ruling in found.rulings})
    for rule in wanted:
        if rule not in known:
            there = f"those here are {', '.join(known)}" if known else "there is no policy here"
            raise click.UsageError(f"no policy has a rule {rule!r}; {there}")
    return wanted
