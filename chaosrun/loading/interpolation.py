"""Filling in `${name}`: parameters become values, secrets stay references.

In a row of dollars right before a brace each pair stands for one dollar, so `$${x}` is the
text `${x}`. A text that is one reference and nothing else takes the parameter's own type.

Law (L9): only what was written as `${secrets.x}` in arguments is a reference afterwards; the
same letters that came together out of parameters are plain text, and are escaped as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from chaosrun.loading.problems import MOST_SHOWN, Findings
from chaosrun.loading.source import Path
from chaosrun.secrets import escape
from chaosrun.units import JSON

REFERENCE = re.compile(r"(?<!\$)(\$+)\{([^{}\n]*)(\}?)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
LARGEST = 2 * 1024 * 1024
"""Most characters of an experiment after everything was filled in."""

Lookup = Callable[[str], JSON]
"""The value of a parameter, or UNKNOWN. Raises KeyError when there is none."""


class Unknown:
    """The value of a parameter that is itself wrong."""


UNKNOWN = Unknown()


class Interpolation:
    """Fills in one document and reports what cannot be filled in."""

    def __init__(
        self, lookup: Lookup, names: Mapping[str, object], secrets: set[str], findings: Findings
    ) -> None:
        self.lookup = lookup
        self.names = names
        self.secrets = secrets
        self.findings = findings
        self.left = LARGEST

    def fill(self, data: JSON, path: Path, *, in_arguments: bool) -> JSON:
        """The data with every text filled in. What cannot be known is poisoned."""
        if isinstance(data, str):
            return self.text(data, path, in_arguments=in_arguments) if "${" in data else data
        if isinstance(data, dict):
            return {
                key: self.fill(value, (*path, key), in_arguments=in_arguments)
                for key, value in data.items()
            }
        if isinstance(data, list):
            return [
                self.fill(item, (*path, index), in_arguments=in_arguments)
                for index, item in enumerate(data)
            ]
        return data

    def text(self, text: str, path: Path, *, in_arguments: bool) -> JSON:
        """One text filled in, poisoned when that is not possible."""
        parts: list[tuple[bool, str]] = []  # (is a reference to a secret, text)
        position, known, before = 0, True, len(self.findings)
        for match in REFERENCE.finditer(text):
            if len(self.findings) - before >= MOST_SHOWN or self.left < 0:
                break
            dollars, name, closed = match.groups()
            parts.append((False, text[position : match.start()] + "$" * (len(dollars) // 2)))
            position = match.end()
            if len(dollars) % 2 == 0:
                parts.append((False, f"{{{name}{closed}"))
                continue
            offset = match.start() + len(dollars) - 1
            if name.startswith("secrets.") and closed:
                known &= self._secret(name, path, offset, in_arguments=in_arguments)
                parts.append((True, f"${{{name}}}"))
                continue
            value = self._value(name, path, offset, closed=bool(closed))
            if value is UNKNOWN:
                known = False
            elif match.span() == (0, len(text)) and dollars == "$" and not isinstance(value, str):
                return value
            else:
                parts.append((False, written(value)))
                self.left -= len(parts[-1][1])
            if self.left < 0:
                known = self._too_large(path, known)
        if not known:
            self.findings.poison(path)
            return text
        parts.append((False, text[position:]))
        return _joined(parts) if in_arguments else "".join(part for _, part in parts)

    def _too_large(self, path: Path, known: bool) -> bool:
        if known and self.left > -LARGEST:
            message = "parameters make the experiment larger than 2 MiB"
            self.findings.value(path, message)
        self.left = -LARGEST
        return False

    def _value(self, name: str, path: Path, offset: int, *, closed: bool) -> JSON:
        if self.left < 0:
            return UNKNOWN
        if not closed:
            message = f"`${{{name[:40].split(' ')[0]}` is never closed"
            self.findings.value(
                path, message, "add `}`, or write $${ for plain text", offset=offset
            )
            return UNKNOWN
        if not NAME.fullmatch(name):
            message = f"`${{{name}}}` names no parameter"
            self.findings.value(path, message, "write $${ for plain text", offset=offset)
            return UNKNOWN
        try:
            return self.lookup(name)
        except KeyError:
            self.findings.value(
                path,
                f"no parameter is named `{name}`",
                f"declare it under `parameters`, or write $${{{name}}} for plain text",
                offset=offset,
                code="unresolved",
                wrong=name,
                among=tuple(self.names),
            )
            return UNKNOWN

    def _secret(self, name: str, path: Path, offset: int, *, in_arguments: bool) -> bool:
        secret = name.removeprefix("secrets.")
        if not in_arguments:
            self.findings.value(
                path,
                f"`${{{name}}}` cannot be used here",
                "secrets go into `with`, `target` and gates only",
                offset=offset,
            )
            return False
        if secret not in self.secrets:
            self.findings.value(
                path,
                f"no secret is named `{secret}`",
                "declare it under `secrets`, as in {env: NAME}",
                offset=offset,
                code="unknown-secret",
                wrong=secret,
                among=tuple(self.secrets),
            )
            return False
        return True


def written(value: JSON) -> str:
    """A parameter's value inside a longer text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _joined(parts: list[tuple[bool, str]]) -> str:
    """One text in which only the secrets are references."""
    text, plain = "", ""
    for secret, part in parts:
        if secret:
            text += escape(plain, before_reference=True) + part
            plain = ""
        else:
            plain += part
    return text + escape(plain)
