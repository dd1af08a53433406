"""Problems: what is wrong with a file, where, and what would help.

Law: one mistake is one problem. What could not be known because of another mistake is
`poisoned`, and nothing more is said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chaosrun.errors import Rejected
from chaosrun.loading.source import Node, Path, Source

MOST_SHOWN = 100
_LONGEST_MESSAGE = 400
_FARTHEST = 10_000  # looking further into one text takes too long in a hostile file


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mistake. Line and column count from 1; both are 0 when it is about the whole file."""

    file: str
    line: int = 0
    column: int = 0
    message: str
    suggestion: str = ""
    source_line: str = ""
    code: str = "invalid"


class Invalid(Rejected):
    """A file or its parameters are wrong; nothing was touched.

    `problems` are sorted by place, at most 100 of `count`.
    """

    code = "invalid"

    def __init__(self, problems: Sequence[Problem], count: int = 0) -> None:
        self.problems = tuple(problems)
        self.count = count or len(self.problems)
        first = self.problems[0]
        place = f"{first.file}:{first.line}:{first.column}" if first.line else first.file
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        super().__init__(f"{place}: {first.message}{more}", hint=first.suggestion)


class _Entry(msgspec.Struct):
    index: int
    message: str
    suggestion: str
    code: str
    wrong: str = ""
    candidates: tuple[str, ...] = ()
    choose: str = ""


class Findings:
    """Collects the problems of one file while it is checked."""

    def __init__(self, source: Source, root: Node | None = None) -> None:
        self.source = source
        self.root = root
        self._entries: list[_Entry] = []
        self._others: list[Problem] = []
        self._poisoned: set[Path] = set()
        self.secrets_elsewhere = False
        """Whether it will run in another process: whether a secret is there is known only there."""

    def __len__(self) -> int:
        return len(self._entries) + len(self._others)

    def at(
        self,
        index: int,
        message: str,
        suggestion: str = "",
        *,
        code: str = "invalid",
        wrong: str = "",
        among: Iterable[str] = (),
        choose: str = "",
    ) -> None:
        """A problem at an index of the text, or of the whole file at -1.

        When `wrong` is close to one of `among`, the suggestion is that one; else, when
        `choose` names them in the plural, it lists them.
        """
        entry = _Entry(index, message, suggestion, code, wrong, tuple(among), choose)
        self._entries.append(entry)

    def key(self, path: Path, message: str, suggestion: str = "", **more: object) -> None:
        """A problem with the key at a path."""
        self.at(self.key_index(path), message, suggestion, **more)  # type: ignore[arg-type]

    def value(
        self, path: Path, message: str, suggestion: str = "", *, offset: int = -1, **more: object
    ) -> None:
        """A problem with the value at a path, or at an offset into its text."""
        self.at(self.value_index(path, offset), message, suggestion, **more)  # type: ignore[arg-type]

    def within(self, path: Path) -> Findings:
        """Findings of their own for the part of this file at a path, whose paths begin there."""
        part = Findings(self.source, self._node(path))
        part.secrets_elsewhere = self.secrets_elsewhere
        return part

    def other(self, problem: Problem) -> None:
        """A problem that is in another file or on the command line."""
        self._others.append(problem)

    def key_index(self, path: Path) -> int:
        """Where the key at a path begins; an item of a list has no key, but its value."""
        parent = self._node(path[:-1]) if path else None
        if parent is not None and isinstance(path[-1], str) and path[-1] in parent.keys:
            return parent.keys[path[-1]].start
        return self.value_index(path)

    def value_index(self, path: Path, offset: int = -1) -> int:
        """Where the value at a path begins, or that of its nearest parent that exists.

        With an offset, where that character of a text is: inside quotes, on a later line.
        """
        node = self._node(path)
        if node is not None:
            exact = 0 <= offset < _FARTHEST and len(self._entries) < MOST_SHOWN
            return self.source.index_in(node, offset) if exact else node.start
        return self.value_index(path[:-1]) if path else 0

    def has(self, path: Path) -> bool:
        """Whether something is written at a path."""
        return self._node(path) is not None

    def written(self, path: Path) -> object:
        """The scalar as it is written at a path, before parameters are filled in."""
        node = self._node(path)
        return node.value if node is not None else None

    def poison(self, path: Path) -> None:
        """The value at a path is not known: say no more about it."""
        self._poisoned.add(path)

    def poisoned(self, path: Path) -> bool:
        """Whether the value at a path, or a parent's, is not known."""
        return bool(self._poisoned) and any(
            path[:length] in self._poisoned for length in range(len(path) + 1)
        )

    def poisoned_within(self, path: Path) -> bool:
        """Whether something at or below a path is not known."""
        return any(known[: len(path)] == path for known in self._poisoned) or self.poisoned(path)

    def _node(self, path: Path) -> Node | None:
        node = self.root
        for step in path:
            if node is None:
                return None
            node = node.child(step)
        return node

    def raise_any(self) -> None:
        """Raise Invalid when there is a problem."""
        if self:
            raise self.invalid()

    def invalid(self) -> Invalid:
        """Every problem once, sorted by place."""
        unique = {(e.index, e.message): e for e in self._entries}
        entries = sorted(unique.values(), key=lambda e: e.index)
        shown = [self._problem(entry) for entry in entries[:MOST_SHOWN]]
        count = len(entries) + len(self._others)
        return Invalid((self._others + shown)[:MOST_SHOWN], count)

    def _problem(self, entry: _Entry) -> Problem:
        line, column, text = self.source.place(entry.index)
        suggestion = entry.suggestion
        if entry.wrong and (close := closest(entry.wrong, entry.candidates)):
            suggestion = f"did you mean `{close}`?"
        elif entry.choose and entry.candidates:
            suggestion = f"{entry.choose}: {_listed(entry.candidates)}"
        return Problem(
            file=self.source.file,
            line=line,
            column=column,
            message=shortened(entry.message),
            suggestion=shortened(suggestion),
            source_line=text,
            code=entry.code,
        )


def closest(wrong: str, candidates: Iterable[str]) -> str:
    """The candidate that a person most likely meant, or nothing."""
    if len(wrong) > 64:
        return ""
    known = list(dict.fromkeys(candidates))[:1000]
    plain = {_plain(name): name for name in reversed(known)}
    if _plain(wrong) in plain:
        return plain[_plain(wrong)]
    from difflib import get_close_matches  # only when something is wrong

    close = get_close_matches(_plain(wrong), plain, n=1, cutoff=0.7)
    if close:
        return plain[close[0]]
    inside = [name for name in known if _plain(wrong) in _plain(name) and len(wrong) > 3]
    return inside[0] if len(inside) == 1 else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def shortened(text: str) -> str:
    """The text on one line, its middle left out when it is very long."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    half = _LONGEST_MESSAGE // 2
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"
