"""Secrets: references in, values at the moment of use, references out again.

Law (L9): a value read here leaves only through `substitute`, into arguments that are about
to be used; `scrub` takes it out of everything that comes back.

What is written `${secrets.name}` is a reference. In a row of dollars right before
`{secrets.name}` each pair stands for one dollar, so `$${secrets.name}` is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from threading import Lock

from chaosrun import discovery
from chaosrun.errors import ChaosrunError, Refused
from chaosrun.units import JSON, Secret

REFERENCE = re.compile(r"(?<!\$)(\$+)\{secrets\.([A-Za-z_][A-Za-z0-9_-]*)\}")
HIDDEN = "***"
_CORE = 8  # base64 shorter than this occurs in ordinary text by chance


class Secrets(Mapping[str, Secret]):
    """The secrets that an experiment declares; each is read on first use, once.

    Looking one up raises Refused when its source cannot give it. Safe between threads.
    """

    def __init__(self, declared: Mapping[str, Mapping[str, JSON]]) -> None:
        self._declared = declared
        self._known: dict[str, Secret] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> Secret:
        with self._lock:
            if name not in self._known:
                self._known[name] = _read(name, self._declared[name])
            return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    @property
    def known(self) -> dict[str, Secret]:
        """Those that were read, and so could be anywhere by now."""
        with self._lock:
            return dict(self._known)


def resolve(declared: Mapping[str, Mapping[str, JSON]]) -> Secrets:
    """The secrets of `spec.secrets`; nothing is read yet."""
    return Secrets(declared)


def substitute(data: JSON, lookup: Mapping[str, Secret]) -> JSON:
    """The same data with every reference replaced by its secret's value.

    Raises Refused for a secret that is not declared or cannot be read.
    """

    def value(match: re.Match[str]) -> str:
        dollars, name = match.groups()
        plain = "$" * (len(dollars) // 2)
        if len(dollars) % 2 == 0:
            return f"{plain}{{secrets.{name}}}"
        if name not in lookup:
            raise Refused(f"no secret named {name!r} is declared")
        return plain + lookup[name].reveal()

    return _each_text(data, lambda text: REFERENCE.sub(value, text) if "${" in text else text)


def scrub(data: JSON, secrets: Mapping[str, Secret]) -> JSON:
    """The same data with every secret's value replaced by its reference, in keys too.

    `substitute` gives the data back. Encoded forms (base64, URL, JSON) become `***`. Of lazy
    secrets only those that were read are looked for.
    """
    known = secrets.known if isinstance(secrets, Secrets) else secrets
    forms: dict[str, str] = {}
    for name in sorted(known):
        forms.setdefault(known[name].reveal(), f"${{secrets.{name}}}")
    plain = tuple(forms)
    for value in plain:
        for form in _encodings(value):
            forms.setdefault(form, HIDDEN)
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    pattern = re.compile("|".join(re.escape(form) for form in longest_first))

    def clean(text: str) -> str:
        parts, position = [], 0
        for match in pattern.finditer(text) if forms else ():
            parts.append(escape(text[position : match.start()], before_reference=True))
            parts.append(forms[match[0]])
            position = match.end()
        parts.append(escape(text[position:]))
        return "".join(parts)

    return _each_text(data, clean)


def _read(name: str, declared: Mapping[str, JSON]) -> Secret:
    ((source, argument),) = declared.items()
    try:
        value = discovery.secret_source(source)(argument)
    except ChaosrunError as error:
        raise Refused(f"secret {name!r}: {error}", hint=error.hint) from None
    if not value.strip():
        raise Refused(f"secret {name!r}: its source ({source}) gave nothing")
    return Secret(value)


def escape(text: str, *, before_reference: bool = False) -> str:
    """Text that `substitute` reads as it is, also when a reference follows it."""
    if "$" not in text:
        return text
    text = REFERENCE.sub(lambda match: match[1] + match[0], text)
    return text + "$" * (len(text) - len(text.rstrip("$"))) if before_reference else text


def _encodings(value: str) -> Iterator[str]:
    """How a value may look in a URL, a header or JSON."""
    import base64  # these only once a secret was read, which validation never does
    import json
    from urllib.parse import quote, quote_plus

    raw = value.encode("utf-8", "surrogatepass")
    for form in (quote(raw), quote(raw, safe=""), quote_plus(raw), json.dumps(value)[1:-1]):
        if form != value:
            yield form
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    # Inside a longer encoded text (`user:token`) a value starts at one of three offsets, and
    # only the digits that are all its own are always the same.
    for skip, first in ((0, 0), (1, 2), (2, 3)):
        digits = base64.b64encode(b"\0" * skip + raw)
        own = digits[first : (skip + len(raw)) * 8 // 6].decode()
        if len(own) >= _CORE:
            yield own
            yield own.replace("+", "-").replace("/", "_")
    yield base64.b64encode(raw).decode()


def _each_text(data: JSON, change: Callable[[str], str]) -> JSON:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, dict):
        return {change(key): _each_text(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_each_text(item, change) for item in data]
    return data
