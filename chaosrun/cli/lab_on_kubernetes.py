"""`chaosrun lab up --kubernetes`: the shop in the cluster of the current context, after asking."""

from __future__ import annotations

import time

from chaosrun.cli import command as make
from chaosrun.cli.cluster import current, where
from chaosrun.cli.console import Console

_OPENS_WITHIN, _LOOK_AGAIN = 180.0, 0.5


def deploy(console: Console, namespace: str, image: str, *, yes: bool) -> int:
    """Deploy the shop and wait until it is open."""
    from chaosrun.errors import Transient
    from chaosrun.lab import on_kubernetes as shop

    with current() as (client, access):
        wanted = image or shop.IMAGE
        question = (
            f"Deploy the shop into namespace {namespace} of {where(access)}, with image {wanted}?"
        )
        if not make.need_confirmation(console, question, yes=yes):
            return 0
        shop.up(client, access, namespace, wanted)
        until = time.monotonic() + _OPENS_WITHIN
        while waiting := shop.waits_for(client, access, namespace):
            if time.monotonic() > until:
                raise Transient(
                    f"the shop is not open yet: {'; '.join(waiting)}",
                    hint=f"kubectl --namespace {namespace} get events",
                )
            time.sleep(_LOOK_AGAIN)
    console.print(f"the shop is open in namespace {namespace} of {where(access)}")
    console.print("`chaosrun lab down --kubernetes` takes it away")
    console.print("\n`chaosrun run experiments/kubernetes/01-*.yaml` is the first to try")
    return 0


def remove(console: Console, namespace: str, *, yes: bool) -> int:
    """Take the shop away."""
    from chaosrun.lab import on_kubernetes as shop

    with current() as (client, access):
        question = f"Delete namespace {namespace} of {where(access)}, with all that is in it?"
        if not make.need_confirmation(console, question, yes=yes):
            return 0
        there = shop.down(client, access, namespace)
    console.print("the shop goes, with its namespace" if there else "no shop was there")
    return 0
