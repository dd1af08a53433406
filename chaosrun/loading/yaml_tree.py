"""YAML text becomes nodes with places; hostile text is turned away early.

Law: plain scalars are read by the core schema of YAML 1.2, so `no` and `12:30` are text and
only `true` and `false` are booleans. Tags, merge keys, several documents and keys that are
not text are refused. Nesting, nodes and what aliases expand to are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from chaosrun.loading.problems import Findings
from chaosrun.loading.source import DEEPEST, LARGEST_INTEGER, MOST_NODES, Node, Source, Unreadable

_LONGEST_NUMBER = 400

_REFUSED = Node("scalar", "", 0, 0)
"""Stands for a key that was refused; its value is read and left out."""

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def parse(source: Source, findings: Findings) -> Node | None:
    """The root node; problems that leave the rest readable go to `findings`.

    Raises Unreadable for the first one that does not.
    """
    try:
        return _Tree(source, findings).build(yaml.parse(source.text, Loader=_PARSER))
    except yaml.MarkedYAMLError as error:
        from chaosrun.loading.yaml_mistakes import explain  # only when something is wrong

        raise explain(source.text, error) from None
    except yaml.reader.ReaderError as error:
        from chaosrun.loading.yaml_mistakes import unacceptable

        raise unacceptable(source.text, error) from None


class _Tree:
    """Builds nodes from events, without recursion."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.findings = findings
        self.open: list[Node] = []
        self.pending: list[Node | None] = []  # of each open mapping, the key that waits
        self.anchors: dict[str, Node | None] = {}  # None while its node is still open
        self.names: list[str] = []
        self.root: Node | None = None
        self.count = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        documents = 0
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise Unreadable(
                            "a second document starts here; one file holds one",
                            "put each into a file of its own",
                            index=self._document(event),
                        )
                case yaml.ScalarEvent():
                    self._refuse_tag(event)
                    self._place(self._scalar(event), event.anchor)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close(event)
                case yaml.AliasEvent():
                    self._alias(event)
        return self.root

    def _document(self, event: Any) -> int:
        """Where `---` stands: the parser's mark is the end of what came before it."""
        index: int = event.start_mark.index
        match = re.compile(r"^---", re.MULTILINE).search(self.source.text, index)
        return match.start() if match else index

    def _open(self, event: Any) -> None:
        if len(self.open) >= DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels", index=event.start_mark.index)
        self._refuse_tag(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        start = event.start_mark.index
        node = Node("mapping", {}, start, start) if mapping else Node("list", [], start, start)
        self.open.append(node)
        self.pending.append(None)
        self.names.append(event.anchor or "")
        if event.anchor:
            self.anchors[event.anchor] = None

    def _close(self, event: Any) -> None:
        node = self.open.pop()
        self.pending.pop()
        node.end = event.end_mark.index
        self._place(node, self.names.pop())

    def _alias(self, event: Any) -> None:
        start = event.start_mark.index
        if event.anchor not in self.anchors:
            raise Unreadable(f"`*{event.anchor}` names no anchor `&{event.anchor}`", index=start)
        node = self.anchors[event.anchor]
        if node is None:
            raise Unreadable(f"`*{event.anchor}` contains itself", index=start)
        if len(self.open) + node.height > DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels", index=start)
        self._place(node, None)

    def _place(self, node: Node, anchor: str | None) -> None:
        self.count += 1
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if parent.kind == "list":
            parent.value.append(node)
        elif (key := self.pending[-1]) is None:
            self.pending[-1] = self._key(node)
            return
        else:
            self.pending[-1] = None
            if key is not _REFUSED:
                parent.value[key.value] = node
                parent.keys[key.value] = key
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if parent.size > MOST_NODES or self.count > MOST_NODES:
            raise Unreadable(f"holds more than {MOST_NODES} values", index=parent.start)

    def _key(self, node: Node) -> Node:
        text = self.source.text[node.start : node.end]
        if node.kind != "scalar":
            raise Unreadable("a key is text, not a list or a mapping", index=node.start)
        if text == "<<":
            suggestion = "write the keys out, or use parameters"
            self.findings.at(node.start, "merge keys (`<<`) are not read", suggestion)
            return _REFUSED
        if not isinstance(node.value, str):
            self.findings.at(node.start, f"the key `{text}` is not text", f'write "{text}"')
            return _REFUSED
        if node.value in self.open[-1].value:
            first = self.source.place(self.open[-1].keys[node.value].start)[0]
            self.findings.at(
                node.start,
                f"`{node.value}` is written twice; the first is in line {first}",
                code="duplicate-key",
            )
            return _REFUSED
        return node

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            message = f"the tag `{tag}` is not read here"
            self.findings.at(event.start_mark.index, message, "write the value without a tag")

    def _scalar(self, event: Any) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        start = self._after_properties(event, start)
        node = Node("scalar", event.value, start, end)
        node.style = event.style or ""
        if node.style == "" and event.tag is None:
            node.value = self._resolved(event.value, start)
        return node

    def _after_properties(self, event: Any, start: int) -> int:
        """Where the value itself begins, behind an anchor or a tag."""
        while (event.anchor or event.tag) and self.source.text[start : start + 1] in ("&", "!"):
            match = re.compile(r"\S+\s*").match(self.source.text, start)
            start = match.end() if match else start + 1
        return start

    def _resolved(self, text: str, start: int) -> str | int | float | bool | None:
        if text in _WORDS:
            return _WORDS[text]
        if not (text[0].isdigit() or text[0] in "+-."):
            return text
        if _NO_NUMBER.fullmatch(text):
            self.findings.at(start, f"`{text}` is not a number that can be used")
            return 0.0
        if len(text) > _LONGEST_NUMBER:
            return text
        if _INTEGER.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return self._bounded(int(text, base), text, start)
        if _FLOAT.fullmatch(text):
            return self._bounded(float(text), text, start)
        return text

    def _bounded(self, number: int | float, text: str, start: int) -> int | float:
        if (
            abs(number) > LARGEST_INTEGER
            if isinstance(number, int)
            else abs(number) == float("inf")
        ):
            self.findings.at(start, f"the number {text} is too large", "quote it to make it text")
            return 0
        return number
