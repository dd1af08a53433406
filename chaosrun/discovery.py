"""Finding providers, and importing only those that an experiment names.

A provider is a package with a value `provider`. Those under `chaosrun.providers` are found
first; others by the entry point group `chaosrun.providers`. A provider's `__init__` is a
table of names, cheap to import; the modules it names are imported on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

import msgspec

from chaosrun.errors import Rejected
from chaosrun.fault import AnyFault, Found
from chaosrun.gate import AnyGate
from chaosrun.halting import AnyHaltSource
from chaosrun.probe import AnyProbe
from chaosrun.units import JSON

GROUP = "chaosrun.providers"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What one package adds. Tables map a name to `module:Class`, relative to the package.

    `connect` (module:function) makes the client that faults, probes and gates are given; it
    takes no arguments and must not touch the network. The client's `close()` is called at
    the end where it has one. `sweep` (module:function(client) -> iterable of Found) finds
    marks on targets; every provider with faults has one. `secrets` (module:function(argument)
    -> str) are sources of secrets, used as `secrets: {token: {NAME: argument}}`. `halts` are
    switches outside of chaosrun, named in a policy. `grants` maps a system of rights to what
    writes a document that grants them (module:function(needs, name, subject) -> str):
    `chaosrun permissions --document rbac`. `needs` are
    modules that must be importable, and `extra` the extra of chaosrun that installs them.
    """

    name: str
    package: str
    summary: str = ""
    faults: Mapping[str, str] = {}
    probes: Mapping[str, str] = {}
    gates: Mapping[str, str] = {}
    halts: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    connect: str = ""
    sweep: str = ""
    grants: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    extra: str = ""

    def missing(self) -> tuple[str, ...]:
        """The needed modules that are not installed."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)

    def load(self, reference: str) -> Any:
        """The object at `module:name`. Raises Rejected when the provider's extra is missing."""
        if absent := self.missing():
            raise Rejected(
                f"provider {self.name} needs {', '.join(absent)}, not installed",
                hint=f"pip install 'chaosrun[{self.extra or self.name}]'",
                code="missing-extra",
            )
        module, _, attribute = reference.partition(":")
        return getattr(importlib.import_module(f".{module}", self.package), attribute)

    def client(self) -> Any:
        """A new client, or None for a provider that needs none."""
        return self.load(self.connect)() if self.connect else None

    def marks(self, client: Any) -> tuple[Found, ...]:
        """The marks of faults found on targets now."""
        if not self.sweep:
            return ()
        find = cast("Callable[[Any], tuple[Found, ...]]", self.load(self.sweep))
        return tuple(find(client))


@cache
def builtin_providers() -> tuple[Provider, ...]:
    """The providers that come with chaosrun, by name."""
    import chaosrun.providers as package

    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(importlib.import_module(f"chaosrun.providers.{name}").provider for name in names)


@cache
def all_providers() -> tuple[Provider, ...]:
    """Built-in providers and those of installed packages."""
    from importlib.metadata import entry_points

    others = tuple(point.load() for point in sorted(entry_points(group=GROUP), key=str))
    return builtin_providers() + others


def _find(table: str, name: str) -> tuple[Provider, str] | None:
    for providers in (builtin_providers, all_providers):  # the second is slower: only if needed
        for provider in providers():
            reference = getattr(provider, table).get(name)
            if reference is not None:
                return provider, reference
    return None


def _load(table: str, what: str, name: str) -> Any:
    found = _find(table, name)
    if found is None:
        raise Rejected(f"unknown {what} {name!r}", code=f"unknown-{what}")
    provider, reference = found
    return provider.load(reference)


@cache
def fault(name: str) -> type[AnyFault]:
    """The fault of that name. Raises Rejected when there is none or its extra is missing."""
    return cast("type[AnyFault]", _load("faults", "fault", name))


@cache
def probe(name: str) -> type[AnyProbe]:
    """The probe of that name. Raises Rejected when there is none or its extra is missing."""
    return cast("type[AnyProbe]", _load("probes", "probe", name))


@cache
def gate(name: str) -> type[AnyGate]:
    """The gate of that name. Raises Rejected when there is none or its extra is missing."""
    return cast("type[AnyGate]", _load("gates", "gate", name))


@cache
def halt_source(name: str) -> type[AnyHaltSource]:
    """The halt source of that name. Raises Rejected when there is none or its extra is missing."""
    return cast("type[AnyHaltSource]", _load("halts", "halt source", name))


@cache
def secret_source(name: str) -> Callable[[JSON], str]:
    """The source of secrets of that name: takes its argument and returns the secret."""
    return cast("Callable[[JSON], str]", _load("secrets", "secret source", name))


def provider_of(table: str, name: str) -> Provider:
    """The provider whose `faults`, `probes`, `gates` or `secrets` hold `name`. Raises Rejected."""
    found = _find(table, name)
    if found is None:
        raise Rejected(f"no provider has {table} named {name!r}")
    return found[0]


def names(table: str) -> tuple[str, ...]:
    """Every known name in that table, sorted."""
    return tuple(sorted(name for p in all_providers() for name in getattr(p, table)))
