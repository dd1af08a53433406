"""What the types say about a fault, probe, gate or halt source: its help, arguments and results.

Law: nothing here is written by hand for one of them; a new fault is described by being there.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as types

from chaosrun import discovery
from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Rejected
from chaosrun.fault import Fault, Permission
from chaosrun.probe import Probe
from chaosrun.units import JSON, Unit

TABLES = {"fault": "faults", "probe": "probes", "gate": "gates", "halt source": "halts"}


class Argument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One argument, or one field of a result: where it is written, what it takes."""

    name: str
    type: str
    required: bool = False
    default: str = ""
    bounds: str = ""
    description: str = ""
    fields: tuple[Argument, ...] = ()


class Described(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that the types say about one fault, probe or gate."""

    kind: str
    name: str
    provider: str
    summary: str
    description: str = ""
    target: tuple[Argument, ...] = ()
    arguments: tuple[Argument, ...] = ()
    result: tuple[Argument, ...] = ()
    reversal: str = ""
    expiry: str = ""
    permissions: tuple[Permission, ...] = ()
    example: str = ""


class Listed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a list. `install` says what is missing where the provider is not complete."""

    name: str
    provider: str
    summary: str = ""
    install: str = ""


def listed(kind: str) -> tuple[Listed, ...]:
    """Every fault, probe or gate that can be named here, sorted."""
    found = []
    for provider in discovery.all_providers():
        for name, reference in getattr(provider, TABLES[kind]).items():
            if missing := provider.missing():
                install = f"pip install 'chaosrun[{provider.extra or provider.name}]'"
                needs = f"needs {', '.join(missing)}"
                found.append(
                    Listed(name=name, provider=provider.name, summary=needs, install=install)
                )
            else:
                summary, _ = _help(provider.load(reference))
                found.append(Listed(name=name, provider=provider.name, summary=summary))
    return tuple(sorted(found, key=lambda item: item.name))


def kinds_of(name: str) -> tuple[str, ...]:
    """Which of fault, probe, gate and halt source have that name. Raises Rejected."""
    kinds = tuple(kind for kind, table in TABLES.items() if name in discovery.names(table))
    if not kinds:
        from difflib import get_close_matches

        known = [known for table in TABLES.values() for known in discovery.names(table)]
        near = get_close_matches(name, known, 3, 0.5) or [k for k in known if name in k][:3]
        hint = " or ".join(f"`{n}`" for n in near)
        raise Rejected(
            f"there is no fault, probe or gate named {name!r}",
            hint=f"did you mean {hint}?" if hint else "`chaosrun faults` lists them",
        )
    return kinds


def described(kind: str, name: str) -> Described:
    """What is known of one. Raises Rejected when there is none or its extra is missing."""
    provider = discovery.provider_of(TABLES[kind], name)
    found: Any = getattr(discovery, kind.replace(" ", "_"))(name)
    summary, description = _help(found)
    arguments = fields(found)
    fault: type[Fault[Any]] | None = found if issubclass(found, Fault) else None
    return Described(
        kind=kind,
        name=name,
        provider=provider.name,
        summary=summary,
        description=description,
        target=next((a.fields for a in arguments if fault and a.name == "target"), ()),
        arguments=tuple(a for a in arguments if not (fault and a.name == "target")),
        result=fields(found.Result) if issubclass(found, Probe) else (),
        reversal=str(fault.reversal) if fault else "",
        expiry=str(fault.expiry) if fault else "",
        permissions=_rights(fault) if fault else found.permissions,
        example=example(kind, name, found),
    )


def _rights(fault: type[Fault[Any]]) -> tuple[Permission, ...]:
    """What it needs: always, or with its example's arguments, wherever that is."""
    if fault.permissions or not fault.example:
        return fault.permissions
    given = {**fault.example.get("with", {})}
    if "target" in fault.example:
        given["target"] = fault.example["target"]
    needed = from_plain(given, fault).needs()
    return tuple(dict.fromkeys(msgspec.structs.replace(right, scope="") for right in needed))


def example(kind: str, name: str, found: type[Any]) -> str:
    """How a person writes it, as YAML."""
    import yaml

    written = dict(found.example)
    entry: dict[str, JSON]
    match kind:
        case "fault":
            title = str(written.pop("name", name.rpartition(".")[2].replace("-", " ")))
            entry = {"name": title, "fault": name, **written}
            entry.setdefault("hold", "30s")
            document: dict[str, JSON] = {"method": [entry]}
        case "probe":
            title = str(written.pop("name", f"{name} is well"))
            document = {"steadyState": [{"name": title, "probe": name, **written}]}
        case "halt source":
            document = {"halt": {"sources": [{name: written}]}}
        case _:
            document = {"gates": [{name: written.get("with", written)}]}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=90)
    return text.rstrip()


def fields(kind: type[msgspec.Struct]) -> tuple[Argument, ...]:
    """The fields of a struct, as a person writes them."""
    shape = types.type_info(kind)
    assert isinstance(shape, types.StructType)
    return tuple(_argument(field) for field in shape.fields)


def _argument(field: types.Field) -> Argument:
    return Argument(
        name=field.encode_name,
        type=type_words(field.type),
        required=field.required,
        default=_default(field),
        bounds=_bounds(field.type),
        description=_description(field.type),
        fields=_nested(field.type),
    )


def _description(shape: types.Type) -> str:
    """What `Meta` says of a type or of one of its alternatives, else a struct's docstring."""
    if isinstance(shape, types.StructType):
        return _help(shape.cls)[0]
    if isinstance(shape, types.Metadata):
        said = (shape.extra_json_schema or {}).get("description")
        return str(said) if said else _description(shape.type)
    if isinstance(shape, types.UnionType):
        return next((said for t in shape.types if (said := _description(t))), "")
    return ""


def _nested(shape: types.Type) -> tuple[Argument, ...]:
    match shape:
        case types.StructType():
            return fields(shape.cls)
        case types.Metadata():
            return _nested(shape.type)
        case types.UnionType():
            return next((nested for t in shape.types if (nested := _nested(t))), ())
        case types.ListType() | types.VarTupleType():
            return _nested(shape.item_type)
    return ()


def _default(field: types.Field) -> str:
    value: Any = None
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    plain = to_plain(value)
    if plain in (None, "", [], {}):
        return ""
    return msgspec.json.encode(plain).decode() if not isinstance(plain, str) else plain


_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _bounds(shape: types.Type) -> str:
    if isinstance(shape, types.Metadata):
        return _bounds(shape.type)
    if isinstance(shape, types.UnionType):
        return "; ".join(filter(None, (_bounds(t) for t in shape.types)))
    found = [
        f"{words} {getattr(shape, sign)}"
        for sign, words in _SIGNS.items()
        if getattr(shape, sign, None) is not None
    ]
    for name, words in (("min_length", "length at least"), ("max_length", "length at most")):
        if getattr(shape, name, None) is not None:
            found.append(f"{words} {getattr(shape, name)}")
    if pattern := getattr(shape, "pattern", None):
        found.append(f"like {pattern}")
    return ", ".join(found)


_SIMPLE: dict[type[types.Type], str] = {
    types.StrType: "text",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "true or false",
    types.NoneType: "nothing",
    types.AnyType: "anything",
}


def type_words(shape: types.Type) -> str:
    """A type in words that a person writing YAML knows."""
    if simple := _SIMPLE.get(type(shape)):
        return simple
    match shape:
        case types.Metadata():
            return type_words(shape.type)
        case types.CustomType():
            cls = shape.cls
            return cls.__name__.lower() if issubclass(cls, Unit) else cls.__name__
        case types.LiteralType():
            return " | ".join(str(value) for value in shape.values)
        case types.EnumType():
            return " | ".join(str(member.value) for member in shape.cls)
        case types.UnionType():
            kinds = [t for t in shape.types if not isinstance(t, types.NoneType)]
            return " or ".join(type_words(t) for t in kinds)
        case types.ListType() | types.VarTupleType() | types.SetType() | types.FrozenSetType():
            return f"list of {type_words(shape.item_type)}"
        case types.TupleType():
            return f"list of {len(shape.item_types)}"
        case types.DictType():
            return f"map to {type_words(shape.value_type)}"
        case types.StructType():
            return "map"
    return type(shape).__name__.removesuffix("Type").lower()


def flat(arguments: tuple[Argument, ...], prefix: str = "") -> Iterator[tuple[str, Argument]]:
    """Arguments and, indented under them, their fields."""
    for argument in arguments:
        yield prefix + argument.name, argument
        yield from flat(argument.fields, prefix + "  ")


def _help(found: type[Any]) -> tuple[str, str]:
    """The first sentence of the docstring, and the rest of it."""
    text = found.__dict__.get("__doc__") or ""
    summary, _, rest = inspect.cleandoc(text).partition("\n\n")
    return " ".join(summary.split()), rest.strip()
