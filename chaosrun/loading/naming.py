"""What an experiment names: faults, probes, gates, sources of secrets, and their arguments.

Only the providers that are named are imported, and nothing of them is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chaosrun import discovery
from chaosrun.arguments import TARGET
from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.fault import AnyFault, Fault, Reversal
from chaosrun.loading import shape
from chaosrun.loading.checks import items, text
from chaosrun.loading.problems import Findings
from chaosrun.loading.source import Path
from chaosrun.units import JSON

_EXPECTATIONS = {"steadyState": "expect", "abortWhen": "when"}


def check(spec: dict[str, JSON], findings: Findings) -> None:
    """Report names that nobody knows, wrong arguments, wrong expectations, wrong secrets."""
    for listed, key in _EXPECTATIONS.items():
        for path, item in items(spec, listed):
            probe = _named("probe", text(item, "probe", path, findings), (*path, "probe"), findings)
            if probe is not None:
                _arguments(item, probe, path, (*path, "probe"), findings)
                _expectation(item, key, probe, path, findings)
    _faults(spec, findings)
    gates = spec.get("gates")
    for index, gate in enumerate(gates if isinstance(gates, list) else ()):
        if isinstance(gate, dict) and len(gate) == 1:
            _gate(gate, ("spec", "gates", index), findings)
    _secrets(spec.get("secrets"), findings)


def _named(what: str, name: str, path: Path, findings: Findings, *, key: bool = False) -> Any:
    """The class or function of that name; None, after a complaint, when there is none."""
    if not name:
        return None
    report: Callable[..., None] = findings.key if key else findings.value
    find = {
        "fault": discovery.fault,
        "probe": discovery.probe,
        "gate": discovery.gate,
        "secret source": discovery.secret_source,
    }[what]
    try:
        return find(name)
    except Rejected as error:
        if error.code == "missing-extra":
            report(path, f"{what} `{name}`: {error}", error.hint, code=error.code)
        else:
            table = "secrets" if what == "secret source" else f"{what}s"
            report(
                path,
                f"unknown {what} `{name}`",
                code=error.code.replace(" ", "-"),
                wrong=name,
                among=discovery.names(table),
                choose="known here",
            )
    except (ImportError, AttributeError) as error:  # another package's provider that is broken
        report(path, f"{what} `{name}` cannot be loaded: {error}", code="broken-provider")
    return None


def _arguments(
    item: dict[str, JSON], kind: type[Any], path: Path, named_at: Path, findings: Findings
) -> None:
    """Check `with`, and for a fault `target`, against the fields of what is named."""
    fields = shape.fields_of(kind)
    parts = {TARGET: item.get(TARGET), "with": item.get("with")}
    written = {key: part for key, part in parts.items() if part is not None}
    for key, part in written.items():
        if not isinstance(part, dict) or findings.poisoned((*path, key)):
            return  # said when the file's shape is checked
    arguments: dict[str, JSON] = written.get("with", {})
    whole = {**arguments, **({TARGET: written[TARGET]} if written.get(TARGET) else {})}
    before = len(findings)
    is_fault = issubclass(kind, Fault)
    if is_fault and TARGET in arguments:
        message = "`target` is written beside `with`, not in it"
        findings.key((*path, "with", TARGET), message)
    try:
        from_plain(whole, kind)
    except msgspec.ValidationError as error:
        beside = tuple(field for field in fields if not (is_fault and field.name == TARGET))
        missing_at = findings.key_index((*path, "with")) if arguments else None
        missing_at = findings.value_index(named_at) if missing_at is None else missing_at
        shape.check_mapping(
            {key: value for key, value in arguments.items() if key != TARGET or not is_fault},
            beside,
            (*path, "with"),
            findings,
            missing_at=missing_at,
            what="argument",
        )
        if is_fault:
            _target(written, fields, path, named_at, findings)
        said = len(findings) > before or findings.poisoned_within((*path, "with"))
        if not said and not findings.poisoned_within((*path, TARGET)):
            _whole(str(error), whole, path, named_at, findings)


def _target(
    written: dict[str, JSON],
    fields: tuple[shape.Field, ...],
    path: Path,
    named_at: Path,
    findings: Findings,
) -> None:
    field = next((field for field in fields if field.name == TARGET), None)
    if field is None:
        if written.get(TARGET):
            findings.key((*path, TARGET), "this fault takes no `target`")
    elif written.get(TARGET):
        shape.check(written[TARGET], field.kind, (*path, TARGET), findings)
    elif field.required:
        index = findings.value_index(named_at)
        findings.at(index, "`target` is missing: this fault must be told what to touch")


def _whole(
    error: str,
    whole: dict[str, JSON],
    path: Path,
    named_at: Path,
    findings: Findings,
) -> None:
    """What only all arguments together show, in the provider's own words."""
    if shape.holds_reference(whole):
        return  # the values are not known before they are used
    where = (*path, "with") if findings.has((*path, "with")) else named_at
    report = findings.key if where != named_at else findings.value
    report(where, shape.message_of(error))


def _expectation(
    item: dict[str, JSON], key: str, probe: type[Any], path: Path, findings: Findings
) -> None:
    written = text(item, key, path, findings)
    if not written:
        return
    from chaosrun import expression

    try:
        expression.compile(written, probe.Result)
    except expression.ExpressionError as error:
        same = findings.written((*path, key)) == written  # else parameters were filled in
        for mistake in error.mistakes:
            rows = written.split("\n")
            offset = sum(len(row) + 1 for row in rows[: mistake.line - 1]) + mistake.column - 1
            message = mistake.message if same else f"{mistake.message}, in: {written}"
            findings.value(
                (*path, key), message, mistake.hint, offset=offset if same else 0, code=error.code
            )


def _faults(spec: dict[str, JSON], findings: Findings) -> None:
    accepted = spec.get("acceptIrreversible", [])
    accepted = accepted if isinstance(accepted, list) else []
    used: set[str] = set()
    complete = isinstance(spec.get("method"), list)
    for path, step in items(spec, "method"):
        name, where = text(step, "fault", path, findings), (*path, "fault")
        complete = complete and bool(name)
        fault = _named("fault", name, where, findings)
        if fault is None:
            complete = complete and name in accepted
            used |= {name} & set(filter(_is_text, accepted))
            continue
        _arguments(step, fault, path, where, findings)
        if name not in used and name not in accepted and _irreversible(fault, step):
            findings.value(
                where,
                f"`{name}` cannot be undone, and the experiment does not accept that",
                f"add `acceptIrreversible: [{name}]` to `spec`",
                code="irreversible",
            )
        used.add(name)
    for index, name in enumerate(accepted):
        where = ("spec", "acceptIrreversible", index)
        if complete and isinstance(name, str) and name not in used and not findings.poisoned(where):
            findings.value(
                where,
                f"no step uses the fault `{name}`",
                code="unused",
                wrong=name,
                among=sorted(used),
            )


def _is_text(value: JSON) -> bool:
    return isinstance(value, str)


def _irreversible(fault: type[AnyFault], step: dict[str, JSON]) -> bool:
    """Whether this step cannot be undone; some faults know it only with their arguments."""
    declared: Any = fault.reversal
    if not isinstance(declared, property):
        return bool(declared == Reversal.IRREVERSIBLE)
    try:
        arguments = {
            **(step.get("with") or {}),
            **({TARGET: step[TARGET]} if step.get(TARGET) else {}),
        }
        return from_plain(arguments, fault).reversal == Reversal.IRREVERSIBLE
    except (msgspec.ValidationError, TypeError):
        return False  # its arguments are wrong, and that was said


def _gate(gate: dict[str, JSON], path: Path, findings: Findings) -> None:
    ((name, arguments),) = gate.items()
    kind = _named("gate", name, (*path, name), findings, key=True)
    if kind is None or not isinstance(arguments, dict) or findings.poisoned((*path, name)):
        return
    before = len(findings)
    try:
        from_plain(arguments, kind)
    except msgspec.ValidationError as error:
        index = findings.key_index((*path, name))
        fields = shape.fields_of(kind)
        shape.check_mapping(
            arguments, fields, (*path, name), findings, missing_at=index, what="argument"
        )
        said = len(findings) > before or findings.poisoned_within((*path, name))
        if not said and not shape.holds_reference(arguments):
            findings.key((*path, name), shape.message_of(str(error)))


def _secrets(declared: JSON, findings: Findings) -> None:
    for name, source in (declared if isinstance(declared, dict) else {}).items():
        path: Path = ("spec", "secrets", name)
        if not isinstance(source, dict):
            continue  # said when the file's shape is checked
        if not shape.SECRET_NAME.fullmatch(name):
            message = "a secret's name is letters, digits, _ and -, and begins with a letter"
            findings.key(path, message)
        if len(source) != 1:
            findings.value(path, "a secret has one source, as in {env: NAME}")
            continue
        ((kind, argument),) = source.items()
        read = _named("secret source", kind, (*path, kind), findings, key=True)
        look = getattr(read, "check", None)
        if look is None:
            continue
        try:
            look(argument)
        except ChaosrunError as error:
            findings.value((*path, kind), str(error), error.hint, code="secret")
