"""The way to a person's functions: importing them, and calling them.

Law: the function that is called is the one that was named. A module of the same name from
another directory, loaded before by this process, is refused.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from threading import Lock
from typing import Any

from chaosrun.codec import to_plain
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.place import Place, here
from chaosrun.units import JSON

_importing = Lock()


class Python:
    """This interpreter."""

    def place(self) -> Place:
        """Where we are."""
        return here()

    def path(self, directories: Sequence[str]) -> list[str]:
        """Those directories whole, or the current one where none is given."""
        return [os.path.abspath(each) for each in directories or [os.getcwd()]]

    def check(self, reference: str, keywords: Mapping[str, JSON], path: Sequence[str]) -> None:
        """Raise Refused when the function cannot be found or does not take these keywords."""
        function = _function(reference, path)
        try:
            inspect.signature(function).bind(**keywords)
        except TypeError as error:
            raise Refused(f"{reference} cannot be called: {error}") from None
        except ValueError:  # a built-in function that does not say what it takes
            return

    def call(self, reference: str, keywords: Mapping[str, JSON], path: Sequence[str]) -> Any:
        """What the function returns. Raises Indeterminate when it raises, but our own errors."""
        function = _function(reference, path)
        try:
            return function(**keywords)
        except ChaosrunError:
            raise
        except Exception as error:  # it is not our code, and may raise anything
            raise Indeterminate(f"{reference} raised {type(error).__name__}: {error}") from error

    def plain(self, value: Any, reference: str) -> JSON:
        """A returned value as plain data. Raises Refused when it is not."""
        try:
            return to_plain(value)
        except (TypeError, NotImplementedError, ValueError) as error:
            raise Refused(f"{reference} must return plain data: {error}") from None


def checked(name: str, reference: str) -> None:
    """Raise ValueError for what is not `module:function`."""
    module, colon, function = reference.partition(":")
    parts = [*module.split("."), *function.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{name} is written module:function, not {reference!r}")


def _function(reference: str, path: Sequence[str]) -> Callable[..., Any]:
    name, _, attribute = reference.partition(":")
    with _importing:
        # At the end: a file of the person's must not take the place of a library's module.
        sys.path.extend(each for each in path if each not in sys.path)
        importlib.invalidate_caches()
        _same(name.partition(".")[0], path)
        try:
            found: Any = importlib.import_module(name)
        except ChaosrunError:
            raise
        except Exception as error:  # so may a module
            said = f"{type(error).__name__}: {error}"
            raise Refused(
                f"cannot import {name}: {said}", hint=f"looked in {', '.join(path)}"
            ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise Refused(f"{name} has no function {attribute}")
    function: Callable[..., Any] = found
    return function


def _same(name: str, path: Sequence[str]) -> None:
    """Raise Refused when a module of that name was loaded from elsewhere than `path` says."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    wanted = PathFinder.find_spec(name, list(path))
    if loaded is None or wanted is None or _files(loaded) == _files(wanted):
        return
    raise Refused(
        f"module {name} was loaded from {_files(loaded)}, and not from {_files(wanted)}",
        hint="give the modules names of their own",
    )


def _files(spec: ModuleSpec) -> str:
    return spec.origin or ", ".join(spec.submodule_search_locations or [])
