"""Clients that stand before a real one: they count its calls, fail one, or shuffle answers."""

from __future__ import annotations

import random
from typing import Any

from chaosrun.errors import Indeterminate


class Failure(Indeterminate):
    """The failure that the contract test made."""


class Counting:
    """Passes calls on, and fails at one of them.

    With `acts` the call is passed on first: it happened, and nobody was told.
    """

    def __init__(self, client: Any, *, fail_at: int = -1, acts: bool = False) -> None:
        self._client, self._fail_at, self._acts = client, fail_at, acts
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **keywords: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number != self._fail_at:
                return found(*args, **keywords)
            if self._acts:
                found(*args, **keywords)
            raise Failure(f"call {number} ({name}) failed for the test")

        return call


class Shuffling:
    """Passes calls on, and gives every list that comes back in another order."""

    def __init__(self, client: Any, seed: int) -> None:
        self._client, self._rng = client, random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **keywords: Any) -> Any:
            answer = found(*args, **keywords)
            if isinstance(answer, list):
                answer = self._rng.sample(answer, len(answer))
            return answer

        return call
