"""A lab: a real world that a fault can harm, and that can be looked at from outside."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.fault import AnyFault, Evidence, Hold
from chaosrun.units import JSON

T = TypeVar("T")


class BrokenPromise(AssertionError):
    """A fault does not do what its contract says."""


class Lab:
    """One fault's world. Entering builds it, leaving takes it away; each promise has a new one.

    `snapshot` shows all that the fault could change, seen without the fault's own client: two
    are equal when the world is the same. What comes back under another identity (a process
    that was started again) is the same if nobody would notice.
    """

    fault: ClassVar[str]
    """The name of the fault."""
    settles: ClassVar[float] = 30.0
    """How many seconds the world may take to be as it was."""
    expires_after: ClassVar[float] = 2.5
    """How many seconds a fault is given that must end by itself: more than it takes to do it."""
    late: ClassVar[float] = 20.0
    """How many seconds after its deadline the end of such a fault may be seen."""
    found_by_sweep: ClassVar[bool] = True
    """Whether a sweep can find the fault. If not, say why in a comment."""

    slow: ClassVar[tuple[str, ...]] = ()
    """The promises that take long in this world: for a lane of their own."""
    ends_by_runner: ClassVar[bool] = False
    """Whether in this world only the runner ends a fault that elsewhere the target ends."""
    only_said: ClassVar[bool] = False
    """Whether the plan says that the target ends it, though no part of this world does so.

    Who says so has a test of its own that plays that part."""

    def arguments(self) -> dict[str, JSON]:
        """A step as a person would write it: {"target": {...}, "with": {...}}."""
        raise NotImplementedError

    def snapshot(self) -> JSON:
        """The world as it is now."""
        raise NotImplementedError

    def build(self, cleanup: contextlib.ExitStack) -> None:
        """Make the world; what `cleanup` is given is called when it is left."""
        raise NotImplementedError

    # What follows is the same for every fault that chaosrun can find by its name.

    def kind(self) -> type[AnyFault]:
        """The fault."""
        return discovery.fault(self.fault)

    def connect(self) -> str:
        """What makes the provider's client, as module:function; empty when it needs none."""
        provider = discovery.provider_of("faults", self.fault)
        return f"{provider.package}.{provider.connect}" if provider.connect else ""

    def __enter__(self) -> Self:
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as started:
            self.build(started)
            self._cleanup = started.pop_all()
        self.client = client_of(self.connect())
        if callable(close := getattr(self.client, "close", None)):
            self._cleanup.callback(close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def typed(self) -> AnyFault:
        """The fault with its arguments."""
        written = self.arguments()
        fields = dict(written.get("with", {}))
        if "target" in written:
            fields["target"] = written["target"]
        return from_plain(fields, self.kind())

    def plan(self, *, seed: int = 7, client: Any = None) -> Hold:
        """A plan, as it comes from the fault."""
        return self.typed().plan(client if client is not None else self.client, Random(seed))

    def lease(self, *, seconds: float = 60.0) -> Hold:
        """A plan with a mark and a deadline, as an injection gets it."""
        return replace(self.plan(), mark=uuid.uuid4().hex, deadline=time.time() + seconds)

    def took_effect(self, hold: Hold) -> Evidence:
        return self.kind().took_effect(hold, self.client)

    def restored(self, hold: Hold) -> Evidence:
        return self.kind().restored(hold, self.client)

    def eventually(self, look: Callable[[], T], hoped: Callable[[T], bool], said: str) -> T:
        """What `look` shows once it is as hoped, within `settles`. Raises BrokenPromise."""
        until = time.monotonic() + self.settles
        while not hoped(seen := look()):
            if time.monotonic() > until:
                raise BrokenPromise(f"{self.fault}: {said}: {seen!r:.2000}")
            time.sleep(0.01)
        return seen


def client_of(connect: str) -> Any:
    """A new client of what `module:function` makes."""
    return load(connect)() if connect else None


def load(reference: str) -> Any:
    """The object at `module:name`."""
    import importlib

    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
