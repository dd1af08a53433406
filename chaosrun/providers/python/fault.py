"""Harm done, undone and looked at by a person's own Python functions."""

from __future__ import annotations

import hashlib
import random
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_json, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Reversal
from chaosrun.place import Place, require_same_machine
from chaosrun.providers.python.client import Python, checked
from chaosrun.targeting import Target
from chaosrun.units import JSON

Reference = Annotated[
    str, Meta(description="A function, as module:function", examples=["shop.faults:drop_cache"])
]
Path = Annotated[
    tuple[str, ...],
    Meta(
        description="Directories that modules are looked for in, after the installed ones; "
        "without any, the one that chaosrun was started in"
    ),
]


class Undo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that every function needs, in any process."""

    inject: str
    took_effect: str
    revert: str = ""
    restored: str = ""
    keywords: dict[str, JSON] = {}
    path: tuple[str, ...] = ()
    place: Place | None = None


class Functions(Fault[Python], frozen=True, kw_only=True):
    """What both kinds share: functions, what they are given, and where they are found."""

    inject_: Annotated[Reference, Meta(description="Does the harm, as module:function")] = (
        msgspec.field(name="inject")
    )
    took_effect_: Annotated[Reference, Meta(description="Looks whether the harm is there")] = (
        msgspec.field(name="tookEffect")
    )
    plan_: Annotated[Reference, Meta(description="Returns what the others are given as `undo`")] = (
        msgspec.field(name="plan", default="")
    )
    arguments: Annotated[
        dict[str, JSON], Meta(description="Keyword arguments that each function is given")
    ] = {}
    path: Path = ()
    anywhere: Annotated[
        bool, Meta(description="They do the same on every machine, so another one may revert")
    ] = False

    def __post_init__(self) -> None:
        for name, reference in self._functions().items():
            if reference or name != "plan":
                checked(name, reference)

    def plan(self, client: Python, rng: random.Random) -> Hold:  # noqa: ARG002
        place, path = client.place(), client.path(self.path)
        keywords = dict(self.arguments)
        if self.plan_:
            client.check(self.plan_, keywords, path)
            planned = client.call(self.plan_, keywords, path)
            keywords["undo"] = client.plain(planned, self.plan_)
        functions = self._functions()
        for name, reference in functions.items():
            if name != "plan":
                client.check(reference, keywords, path)
        undo = Undo(
            inject=functions["inject"],
            took_effect=functions["tookEffect"],
            revert=functions.get("revert", ""),
            restored=functions.get("restored", ""),
            keywords=keywords,
            path=tuple(path),
            place=None if self.anywhere else place,
        )
        _ask_before(undo, client)
        digest = hashlib.sha256(to_json([self.inject_, self.arguments])).hexdigest()[:16]
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="python",
                    id=digest if self.anywhere else f"{digest}.{place.node}",
                    name=self.inject_,
                    domain=place.node,
                ),
            ),
            population=1,
            effect=f"whatever {self.inject_} does",
            undo=to_plain(undo),
            way_back=undo.revert or "none",
            mechanism="a function of your own",
            reversal=self.reversal,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Python) -> None:
        undo = from_plain(hold.undo, Undo)
        client.call(undo.inject, undo.keywords, undo.path)

    @classmethod
    def took_effect(cls, hold: Hold, client: Python) -> Evidence:
        undo = from_plain(hold.undo, Undo)
        return _ask(undo.took_effect, undo, client)

    def _functions(self) -> dict[str, str]:
        """The functions by what they are for; `plan` may be empty."""
        return {"inject": self.inject_, "tookEffect": self.took_effect_, "plan": self.plan_}


class PythonFault(Functions, frozen=True, kw_only=True):
    """Run Python functions of your own: one harms, one undoes it, and two look.

    Each is given `arguments` as keywords. `tookEffect` and `restored` must only look, and
    return true or false; or a text, which says what is there and counts as true when it is not
    empty. Both are asked before anything is done: not yet, and all is well, or the experiment
    is refused, because such a look would prove nothing later. `plan`, if there is one, runs
    first and returns plain data, which the others are given as the keyword `undo`; it must only
    look.

    `inject` and `revert` may be run more than once, `revert` also when `inject` never ran, and in
    another process, which imports the same modules from the same directories. A function cannot
    be cut off: give its own calls time limits.
    """

    name: ClassVar[str] = "python"
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "inject": "shop.faults:fill_cache",
            "revert": "shop.faults:empty_cache",
            "tookEffect": "shop.faults:is_full",
            "restored": "shop.faults:is_empty",
            "arguments": {"entries": 100000},
        }
    }

    revert_: Annotated[Reference, Meta(description="Undoes it")] = msgspec.field(name="revert")
    restored_: Annotated[Reference, Meta(description="Looks whether all is as it was")] = (
        msgspec.field(name="restored")
    )

    def _functions(self) -> dict[str, str]:
        return {**super()._functions(), "revert": self.revert_, "restored": self.restored_}

    @classmethod
    def revert(cls, hold: Hold, client: Python) -> None:
        undo = from_plain(hold.undo, Undo)
        if undo.place is not None:
            require_same_machine(undo.place)
        client.call(undo.revert, undo.keywords, undo.path)

    @classmethod
    def restored(cls, hold: Hold, client: Python) -> Evidence:
        undo = from_plain(hold.undo, Undo)
        if undo.place is not None:
            require_same_machine(undo.place)
        return _ask(undo.restored, undo, client)


class IrreversiblePythonFault(Functions, frozen=True, kw_only=True):
    """Run a Python function of your own that nothing can undo.

    As `python`, without `revert` and `restored`. An experiment must accept it by name, under
    `acceptIrreversible: [python.irreversible]`.
    """

    name: ClassVar[str] = "python.irreversible"
    reversal: ClassVar[Reversal] = Reversal.IRREVERSIBLE
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "inject": "shop.faults:delete_session",
            "tookEffect": "shop.faults:session_is_gone",
            "arguments": {"user": "test-7"},
        }
    }

    @classmethod
    def revert(cls, hold: Hold, client: Python) -> None:
        """Nothing: that was accepted."""

    @classmethod
    def restored(cls, hold: Hold, client: Python) -> Evidence:  # noqa: ARG003
        return Evidence(True, "it cannot be undone, as was accepted")


def _ask_before(undo: Undo, client: Python) -> None:
    """The looks, before anything was done: they must be able to tell the difference."""
    if _ask(undo.took_effect, undo, client).seen:
        raise Refused(
            f"{undo.took_effect} says yes before anything was injected, so it proves nothing",
            hint="let it return false as long as there is no effect",
        )
    if undo.restored and not _ask(undo.restored, undo, client).seen:
        raise Refused(
            f"{undo.restored} says no before anything was injected",
            hint="let it return true when all is as it should be, as now",
        )


def _ask(reference: str, undo: Undo, client: Python) -> Evidence:
    said: Any = client.call(reference, undo.keywords, undo.path)
    if not isinstance(said, bool | str | None):
        raise Refused(f"{reference} must return true, false or a text, not {said!r:.100}")
    return Evidence(bool(said), said if isinstance(said, str) and said else f"{reference}: {said}")
