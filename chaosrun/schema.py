"""The JSON Schemas in schemas/, derived from the types and never written by hand.

`python -m chaosrun.schema write DIR` writes them, `... check DIR` fails when they differ. An
editor that knows the schema of experiments completes `with` and `target` by the fault or
probe that is named, and takes `${parameter}` wherever a value may stand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from chaosrun import discovery
from chaosrun.arguments import TARGET, target_required
from chaosrun.codec import json_schema
from chaosrun.errors import Rejected, exit_code
from chaosrun.policy.spec import Policy
from chaosrun.spec import Experiment
from chaosrun.units import JSON

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILLED_IN = {"$ref": "#/$defs/FilledIn"}
_SAID = ("title", "description", "default", "examples")
_NOT_FILLED = {"Parameter", "Metadata", "Experiment"}


def experiment() -> dict[str, JSON]:
    """What a person may write into an experiment's file."""
    schema = json_schema(Experiment)
    defs: dict[str, JSON] = schema["$defs"]
    for name, part in defs.items():
        if name not in _NOT_FILLED:
            defs[name] = _open_to_parameters(part)
    spec = defs["ExperimentSpec"]["properties"]
    spec["secrets"]["additionalProperties"] = _secret()
    spec["gates"]["items"] = _choices("gates", discovery.gate, defs)
    _complete(defs["Step"], "fault", "faults", defs)
    for part in ("Check", "Guard"):
        _complete(defs[part], "probe", "probes", defs)
    for part in ("Check", "Guard"):
        defs[part]["required"].sort(key=["name", "probe", "expect", "when"].index)
    defs["FilledIn"] = _filled_in()
    return _named("experiment", "A chaosrun experiment", schema)


def policy() -> dict[str, JSON]:
    """What an organisation may write into a policy's file."""
    schema = json_schema(Policy)
    defs: dict[str, JSON] = schema["$defs"]
    spec = defs["PolicySpec"]["properties"]
    spec["secrets"]["additionalProperties"] = _secret()
    spec["gates"]["items"] = _choices("gates", discovery.gate, defs)
    sources = defs["HaltSources"]["properties"]["sources"]
    sources["items"] = _choices("halts", discovery.halt_source, defs)
    defs["FilledIn"] = {
        "type": "string",
        "pattern": r"\$\{secrets\.[^{}]+\}",
        "description": "A secret that is filled in: `${secrets.name}`",
    }
    return _named("policy", "A chaosrun policy", schema)


def events() -> dict[str, JSON]:
    """One line of `--events FILE` and of an export: an event of a run."""
    from chaosrun.events import AnyEvent

    return _named("events", "An event in the journal of a run", json_schema(AnyEvent))


def result() -> dict[str, JSON]:
    """What `--output json` and the JSON report hold."""
    from chaosrun.reports.result import Summary

    return _named("result", "What a run concluded and why", json_schema(Summary))


def schedule() -> dict[str, JSON]:
    """What a person may write into a schedule's file."""
    from chaosrun.schedules.spec import Schedule

    return _named("schedule", "A chaosrun schedule", json_schema(Schedule))


def suite() -> dict[str, JSON]:
    """What a person may write into a suite's file."""
    from chaosrun.suite import Suite

    schema = json_schema(Suite)
    defs: dict[str, JSON] = schema["$defs"]
    for name in ("SuiteSpec", "Entry"):
        defs[name] = _open_to_parameters(defs[name])
    defs["FilledIn"] = _filled_in()
    return _named("suite", "A chaosrun suite", schema)


def _filled_in() -> dict[str, JSON]:
    return {
        "type": "string",
        "pattern": r"\$\{[^{}]+\}",
        "description": "A value that is filled in: `${parameter}`",
    }


SCHEMAS = {
    "experiment.schema.json": experiment,
    "suite.schema.json": suite,
    "schedule.schema.json": schedule,
    "policy.schema.json": policy,
    "events.schema.json": events,
    "result.schema.json": result,
}


def write(folder: Path) -> list[Path]:
    """Write every schema; the files that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = drifted(folder)
    for path in changed:
        path.write_text(_text(path.name), encoding="utf-8")
    return changed


def drifted(folder: Path) -> list[Path]:
    """The files that are not what the types say, or are not there."""
    paths = [folder / name for name in SCHEMAS]
    return [
        path
        for path in paths
        if not path.is_file() or path.read_text(encoding="utf-8") != _text(path.name)
    ]


def _text(name: str) -> str:
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def _named(name: str, title: str, schema: dict[str, JSON]) -> dict[str, JSON]:
    where = f"https://chaosrun.dev/schemas/{name}.schema.json"
    return {"$schema": DIALECT, "$id": where, "title": title, **schema}


def _complete(part: dict[str, JSON], key: str, table: str, defs: dict[str, JSON]) -> None:
    """Make the arguments of a step or a check depend on the name under `key`."""
    choices, rules = [], []
    for name in _builtin(table):
        kind: type[Any] = discovery.fault(name) if key == "fault" else discovery.probe(name)
        fields = _fields(kind, f"{table}.{name}", name, defs)
        properties = {"with": fields}
        if key == "fault":
            properties[TARGET] = fields["properties"].pop(TARGET, {"maxProperties": 0})
            fields["required"] = [field for field in fields["required"] if field != TARGET]
        needed = ["with"] if fields["required"] else []
        needed += [TARGET] if key == "fault" and target_required(kind) else []
        for part_name, written in kind.example.items():
            if part_name in properties and isinstance(written, dict):
                properties[part_name] = {**properties[part_name], "examples": [written]}
        then = {"properties": properties, **({"required": needed} if needed else {})}
        rules.append(
            {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}
        )
        choices.append({"const": name, **_said(kind)})
    others = {"type": "string", "description": f"One of another package's {table}"}
    part["properties"][key] = {"anyOf": [*choices, others]}
    part["allOf"] = rules


def _choices(
    table: str, find: Callable[[str], type[Any]], defs: dict[str, JSON]
) -> dict[str, JSON]:
    """One key, which names a gate or a halt source, with its arguments."""
    kinds: dict[str, JSON] = {}
    for name in _builtin(table):
        kinds[name] = {**_fields(find(name), f"{table}.{name}", name, defs), **_said(find(name))}
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": kinds,
        "additionalProperties": {"type": "object"},
    }


def _secret() -> dict[str, JSON]:
    command = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
    known: dict[str, JSON] = {
        "env": {"type": "string", "description": "The name of an environment variable"},
        "file": {"type": "string", "description": "The path of a file"},
        "command": {**command, "description": "A command that prints it; text is for the shell"},
    }
    return {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": known}


def _builtin(table: str) -> list[str]:
    return sorted(n for p in discovery.builtin_providers() for n in getattr(p, table))


def _fields(kind: type[Any], prefix: str, name: str, defs: dict[str, JSON]) -> dict[str, JSON]:
    """The schema of a struct's fields; structs inside go to `defs`, their names prefixed."""
    schema = _prefixed(json_schema(kind), prefix)
    own = schema.pop("$ref").removeprefix("#/$defs/")
    parts = {name: _open_to_parameters(part) for name, part in schema["$defs"].items()}
    fields: dict[str, JSON] = parts.pop(own)
    defs.update(parts)
    del fields["title"]
    return {**fields, "description": f"The arguments of `{name}`"}


def _said(kind: type[Any]) -> dict[str, JSON]:
    """What a kind says of itself, for hovers and completion."""
    text = (kind.__doc__ or "").strip()
    return {"description": " ".join(text.split())} if text else {}


def _prefixed(schema: Any, prefix: str) -> Any:
    """The same schema with `prefix.` before the name of each definition."""
    if isinstance(schema, list):
        return [_prefixed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {}
    for key, value in schema.items():
        if key == "$ref":
            value = value.replace("#/$defs/", f"#/$defs/{prefix}.")
        elif key == "$defs":
            value = {f"{prefix}.{name}": _prefixed(part, prefix) for name, part in value.items()}
        else:
            value = _prefixed(value, prefix)
        changed[key] = value
    return changed


def _open_to_parameters(schema: Any) -> Any:
    """The same schema that also takes `${name}` for each number, unit, choice or pattern."""
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {
            name: _open_to_parameters(part) for name, part in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if key in schema:
            schema[key] = _open_to_parameters(schema[key])
    if "prefixItems" in schema:
        schema["prefixItems"] = [_open_to_parameters(part) for part in schema["prefixItems"]]
    if "anyOf" in schema:
        inner = [_open_inside(part) for part in schema["anyOf"]]
        schema["anyOf"] = inner if _takes_any_text(inner) else [*inner, _FILLED_IN]
    elif _is_narrow(schema):
        outer = {key: schema.pop(key) for key in _SAID if key in schema}
        schema = {**outer, "anyOf": [schema, _FILLED_IN]}
    return schema


def _open_inside(part: JSON) -> JSON:
    return part if _is_narrow(part) else _open_to_parameters(part)


def _takes_any_text(parts: list[JSON]) -> bool:
    return any(part.get("type") == "string" and not _is_narrow(part) for part in parts)


def _is_narrow(schema: dict[str, JSON]) -> bool:
    """Whether it is a scalar that does not take every text."""
    if "enum" in schema or "const" in schema:
        return True
    kinds = schema.get("type")
    kinds = set(kinds if isinstance(kinds, list) else [kinds])
    if not kinds <= {"string", "integer", "number", "boolean", "null"}:
        return False
    limited = {"pattern", "format"} & set(schema)
    return "string" not in kinds or bool(limited)


def main(arguments: list[str]) -> int:
    """Write or check the schemas in a folder; the exit code."""
    if len(arguments) != 2 or arguments[0] not in ("write", "check"):
        print("usage: python -m chaosrun.schema write|check DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[1])
    try:
        if arguments[0] == "write":
            for path in write(folder):
                print(f"wrote {path}")
            return 0
        drift = drifted(folder)
    except (Rejected, msgspec.MsgspecError) as error:
        print(error, getattr(error, "hint", ""), file=sys.stderr)
        return exit_code(error) if isinstance(error, Rejected) else 6
    for path in drift:
        print(f"{path} is not what the types say", file=sys.stderr)
    if drift:
        print("run `make schemas`, and commit what it writes", file=sys.stderr)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
