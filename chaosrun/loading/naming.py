"""What an experiment names: faults, probes, gates, sources of secrets, and their arguments.

Only the providers that are named are imported, and nothing of them is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from chaosrun import discovery
from chaosrun.arguments import TARGET
from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.fault import AnyFault, Reversal
from chaosrun.loading.checks import items, text
from chaosrun.loading.problems import Findings
from chaosrun.loading.source import Path
from chaosrun.units import JSON, SEEN_BY_OTHERS

_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TABLES = {"secret source": "secrets", "halt source": "halts"}
_EXPECTATIONS = {"steadyState": "expect", "abortWhen": "when"}


def check(spec: dict[str, JSON], findings: Findings) -> None:
    """Report names that nobody knows, wrong arguments, wrong expectations, wrong secrets."""
    for listed, key in _EXPECTATIONS.items():
        for path, item in items(spec, listed):
            probe = _named("probe", text(item, "probe", path, findings), (*path, "probe"), findings)
            if probe is not None:
                _probe_arguments(item, probe, path, findings)
                _expectation(item, key, probe, path, findings)
    _faults(spec, findings)
    check_choices("gate", spec.get("gates"), ("spec", "gates"), findings)
    check_secrets(spec.get("secrets"), findings)


def check_choices(what: str, listed: JSON, path: Path, findings: Findings) -> None:
    """Report names and arguments in a list of gates or of halt sources."""
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, dict) and len(one) == 1:
            _choice(what, one, (*path, index), findings)


def _named(what: str, name: str, path: Path, findings: Findings, *, key: bool = False) -> Any:
    """The class or function of that name; None, after a complaint, when there is none."""
    if not name:
        return None
    report: Callable[..., None] = findings.key if key else findings.value
    find = {
        "fault": discovery.fault,
        "probe": discovery.probe,
        "gate": discovery.gate,
        "halt source": discovery.halt_source,
        "secret source": discovery.secret_source,
    }[what]
    try:
        return find(name)
    except Rejected as error:
        if error.code == "missing-extra":
            report(path, f"{what} `{name}`: {error}", error.hint, code=error.code)
        else:
            table = _TABLES.get(what, f"{what}s")
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


def _with(item: dict[str, JSON], key: str, path: Path, findings: Findings) -> Any:
    """The mapping under `with` or `target`; None when it is wrong, which is said elsewhere."""
    part = item.get(key, {})
    return part if isinstance(part, dict) and not findings.poisoned((*path, key)) else None


def _probe_arguments(
    item: dict[str, JSON], kind: type[Any], path: Path, findings: Findings
) -> None:
    with_ = _with(item, "with", path, findings)
    if with_ is not None:
        named_at = findings.value_index((*path, "probe"))
        _arguments(with_, kind, (*path, "with"), named_at, findings)


def _arguments(
    arguments: dict[str, JSON], kind: type[Any], path: Path, named_at: int, findings: Findings
) -> None:
    _keep_secret(arguments, kind, path, findings)
    try:
        from_plain(arguments, kind)
    except msgspec.ValidationError as error:
        from chaosrun.loading.arguments import explain

        explain(arguments, kind, path, named_at, findings, str(error))


def _keep_secret(
    arguments: dict[str, JSON], kind: type[Any], path: Path, findings: Findings
) -> None:
    """Report secrets where others can read them while they are used (law L9)."""
    if "${" not in str(arguments):
        return
    from chaosrun.loading.shape import fields_of, holds_reference  # only few files need it here

    seen_in: str = getattr(kind, "seen_in", "")
    for field in fields_of(kind):
        given = arguments.get(field.name)
        if not holds_reference(given):
            continue
        if seen_in:
            said = f"a secret would be seen by others here, in {seen_in}"
            findings.value((*path, field.name), said, code="secret-seen")
        if seen_in or not _seen_by_others(field.kind):
            continue
        for where, part in enumerate(given) if isinstance(given, list) else [(None, given)]:
            if holds_reference(part):
                findings.value(
                    (*path, field.name) if where is None else (*path, field.name, where),
                    "a secret in a command is seen in lists of processes",
                    'give it in `env`, as in {TOKEN: "${secrets.token}"}, and write "$TOKEN"',
                    code="secret-in-command",
                )


def _seen_by_others(kind: Any) -> bool:
    """Whether a type, or a member of a union, is marked so."""
    marked = any(
        isinstance(meta, msgspec.Meta) and (meta.extra or {}).get(SEEN_BY_OTHERS)
        for meta in getattr(kind, "__metadata__", ())
    )
    return marked or any(_seen_by_others(member) for member in get_args(kind))


def _fault_arguments(
    step: dict[str, JSON], kind: type[AnyFault], path: Path, findings: Findings
) -> None:
    with_, target = (_with(step, key, path, findings) for key in ("with", TARGET))
    if with_ is None or target is None:
        return
    _keep_secret(with_, kind, (*path, "with"), findings)
    error = ""
    try:
        if TARGET not in with_:
            from_plain({**with_, TARGET: target} if target else with_, kind)
            return
    except msgspec.ValidationError as caught:
        error = str(caught)
    from chaosrun.loading.arguments import explain_fault

    named_at = findings.value_index((*path, "fault"))
    explain_fault(with_, target, kind, path, named_at, findings, error)


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
                (*path, key), message, mistake.hint, offset=offset if same else -1, code=error.code
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
        _fault_arguments(step, fault, path, findings)
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


def _choice(what: str, one: dict[str, JSON], path: Path, findings: Findings) -> None:
    ((name, arguments),) = one.items()
    kind = _named(what, name, (*path, name), findings, key=True)
    if kind is None or not isinstance(arguments, dict) or findings.poisoned((*path, name)):
        return
    _arguments(arguments, kind, (*path, name), findings.key_index((*path, name)), findings)


def check_secrets(declared: JSON, findings: Findings) -> None:
    """Report secrets whose source nobody knows or cannot take."""
    for name, source in (declared if isinstance(declared, dict) else {}).items():
        path: Path = ("spec", "secrets", name)
        if not isinstance(source, dict):
            continue  # said when the file's shape is checked
        if not _SECRET_NAME.fullmatch(name):
            message = "a secret's name is letters, digits, _ and -, and begins with a letter"
            findings.key(path, message)
        if len(source) != 1:
            findings.value(path, "a secret has one source, as in {env: NAME}")
            continue
        ((kind, argument),) = source.items()
        read = _named("secret source", kind, (*path, kind), findings, key=True)
        look = getattr(read, "check", None)
        if look is None or findings.secrets_elsewhere:
            continue
        try:
            look(argument)
        except ChaosrunError as error:
            findings.value((*path, kind), str(error), error.hint, code="secret")
