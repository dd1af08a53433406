"""From a file to a frozen experiment, or to everything that is wrong with it.

bytes -> text -> nodes with places -> data -> parameters -> filled in -> typed; then the checks
that no type can express. Law (L4): nothing but the file (and a values file) is opened, no
provider is run, and no exception but Invalid comes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING

import msgspec

from chaosrun.codec import from_plain, to_plain
from chaosrun.loading import checks, naming, yaml_tree
from chaosrun.loading.interpolation import Interpolation
from chaosrun.loading.parameters import Given, Parameters
from chaosrun.loading.problems import Findings, Invalid, Problem, closest
from chaosrun.loading.source import Node, Path, Source, Unreadable, read
from chaosrun.spec import Experiment, ExperimentSpec
from chaosrun.units import JSON

if TYPE_CHECKING:  # few files are suites or schedules
    from chaosrun.schedules.spec import Schedule
    from chaosrun.suite import Suite

KINDS = ("Experiment", "Suite", "Schedule")
SUFFIXES = (".yaml", ".yml", ".json")
_OTHER_KINDS = {"Policy": "a policy is checked by `chaosrun policy show --policy FILE`"}
_NOT_FILLED = ("parameters", "secrets")
_WITH_ARGUMENTS = {"steadyState": ("with",), "abortWhen": ("with",), "method": ("with", "target")}


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A valid experiment, with its digest, the parameters it was given, and where it came from."""

    experiment: Experiment
    digest: str
    parameters: dict[str, JSON]
    source: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one file: either it is loaded, or there are problems (`count` in all)."""

    file: str
    loaded: AnyLoaded | None = None
    problems: tuple[Problem, ...] = ()
    count: int = 0


class LoadedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment of a suite."""

    name: str
    loaded: Loaded


class LoadedSuite(msgspec.Struct, frozen=True, kw_only=True):
    """A valid suite whose experiments are valid, too."""

    suite: Suite
    entries: tuple[LoadedEntry, ...]
    parameters: dict[str, JSON]
    source: str


class LoadedSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A valid schedule; its question too, where that was asked for."""

    schedule: Schedule
    icalendars: tuple[str, ...]
    question: Loaded | LoadedSuite | None
    source: str


AnyLoaded = Loaded | LoadedSuite | LoadedSchedule


def name_of(loaded: AnyLoaded) -> str:
    """The name in its metadata."""
    match loaded:
        case Loaded():
            return loaded.experiment.metadata.name
        case LoadedSuite():
            return loaded.suite.metadata.name
        case LoadedSchedule():
            return loaded.schedule.metadata.name


def load_file(
    path: File | str, *, sets: Mapping[str, str] = {}, values: File | None = None
) -> Loaded:
    """The experiment in a YAML or JSON file. Raises Invalid with every problem.

    `sets` are texts from the command line, and win over the `values` file.
    """
    source, findings, data, given = _document(path, sets, values)
    return load_experiment(data, given, source.file, findings)


def load_any(
    path: File | str, *, sets: Mapping[str, str] = {}, values: File | None = None
) -> AnyLoaded:
    """The experiment, suite or schedule in a file. Raises Invalid with every problem."""
    source, findings, data, given = _document(path, sets, values)
    match data.get("kind"):
        case "Suite":
            from chaosrun.loading import suites

            return suites.load(data, given, source.file, findings)
        case "Schedule":
            from chaosrun.loading import schedules

            return schedules.load(data, given, source.file, findings)
        case _:
            return load_experiment(data, given, source.file, findings)


def load_experiment(data: dict[str, JSON], given: Given, file: str, findings: Findings) -> Loaded:
    """The experiment that plain data says. Raises Invalid with every problem."""
    experiment, parameters = _checked(data, given, findings)
    raise_all(findings, given)
    if experiment is None:
        raise Invalid([Problem(file=file, message="is not an experiment")])
    return Loaded(
        experiment=experiment, digest=digest_of(experiment), parameters=parameters, source=file
    )


def raise_all(findings: Findings, given: Given) -> None:
    """Raise Invalid when there is a problem in the file or in what was given to it."""
    if given.findings:
        for problem in given.findings.invalid().problems:
            findings.other(problem)
    findings.raise_any()


def _document(
    path: File | str, sets: Mapping[str, str], values: File | None
) -> tuple[Source, Findings, dict[str, JSON], Given]:
    given = Given(sets)
    if values is not None:
        given.findings, given.values = _values(File(values))
    source, findings, data = open_document(File(path))
    return source, findings, data, given


def open_document(path: File) -> tuple[Source, Findings, dict[str, JSON]]:
    """The mapping in a file. Raises Invalid when it holds none."""
    source, findings, root = open_file(path)
    data = root.plain() if root is not None else None
    if not isinstance(data, dict):
        message = "the file is empty" if data is None else "is not a mapping of keys to values"
        index = -1 if root is None else root.start
        findings.at(index, message, "an experiment begins with `apiVersion:`")
        raise findings.invalid()
    return source, findings, data


def check_files(
    paths: Sequence[File | str], *, sets: Mapping[str, str] = {}, values: File | None = None
) -> list[Checked]:
    """What came of each file, in order; a directory stands for the files in it."""
    results: list[Checked] = []
    for path in paths:
        files = list(expand(File(path)))
        if not files:
            problem = Problem(file=str(path), message="no file here ends in .yaml, .yml or .json")
            results.append(Checked(file=str(path), problems=(problem,), count=1))
        for file in files:
            try:
                loaded = load_any(file, sets=sets, values=values)
                results.append(Checked(file=str(file), loaded=loaded))
            except Invalid as error:
                results.append(Checked(file=str(file), problems=error.problems, count=error.count))
    return results


def digest_of(experiment: Experiment) -> str:
    """The SHA-256 of an experiment, whatever the order of its keys was."""
    text = msgspec.json.encode(to_plain(experiment), order="deterministic")
    return hashlib.sha256(text).hexdigest()


def expand(path: File) -> Iterator[File]:
    """The file itself; of a directory every experiment, policy, ... in it, in order."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.suffix in SUFFIXES and not hidden and not file.is_dir():
            yield file


def open_file(file: File) -> tuple[Source, Findings, Node | None]:
    """The nodes of a file. Raises Invalid when it has none."""
    source = Source(str(file))
    findings = Findings(source)
    try:
        source = read(file)
        findings = Findings(source)
        parse = _parser(file)
        findings.root = root = parse(source, findings)
    except Unreadable as error:
        if error.text:
            findings = Findings(Source(str(file), error.text))
        findings.at(error.index, error.message, error.suggestion, code="unreadable")
        raise findings.invalid() from None
    return source, findings, root


def _parser(file: File) -> Callable[[Source, Findings], Node | None]:
    if file.suffix != ".json":
        return yaml_tree.parse
    from chaosrun.loading import json_tree  # files are seldom JSON

    return json_tree.parse


def _values(file: File) -> tuple[Findings, dict[str, JSON]]:
    _, findings, root = open_file(file)
    values = root.plain() if root is not None else {}
    if not isinstance(values, dict):
        findings.at(0, "is not a mapping of parameters to values")
        raise findings.invalid()
    return findings, values


def _checked(
    data: dict[str, JSON], given: Given, findings: Findings
) -> tuple[Experiment | None, dict[str, JSON]]:
    if data.get("kind", "Experiment") != "Experiment" and isinstance(data["kind"], str):
        kind = data["kind"]
        known = kind in KINDS
        findings.value(
            ("kind",),
            f"the kind {kind} stands where an experiment belongs"
            if known
            else f"unknown kind `{kind}`",
            _OTHER_KINDS.get(kind, "" if known else f"known here: {', '.join(KINDS)}"),
            code="unknown-kind", wrong="" if known else kind, among=KINDS,
        )  # fmt: skip
        return None, {}
    spec = data.get("spec")
    parameters: dict[str, JSON] = {}
    if isinstance(spec, dict):
        parameters = Parameters(_meant(spec, "parameters"), given, findings).settle()
        spec = _filled(spec, parameters, findings)
        data = {**data, "spec": spec}
    experiment = None
    try:
        experiment = from_plain(data, Experiment)
    except msgspec.ValidationError:
        from chaosrun.loading import shape  # only when something is wrong

        shape.check(data, Experiment, (), findings)
    if isinstance(spec, dict):
        checks.check(spec, findings)
        naming.check(spec, findings)
    return experiment, parameters


def _meant(spec: dict[str, JSON], key: str) -> JSON:
    """The value of a key also where the key is misspelt: what uses it is not wrong, too."""
    if key in spec:
        return spec[key]
    known = ExperimentSpec.__struct_encode_fields__
    unknown = [other for other in spec if other not in known][:20]
    absent = [name for name in known if name not in spec]
    return next((spec[other] for other in unknown if closest(other, absent) == key), None)


def _filled(
    spec: dict[str, JSON], parameters: dict[str, JSON], findings: Findings
) -> dict[str, JSON]:
    """The spec with parameters in their places."""
    secrets = _meant(spec, "secrets")
    names = set(secrets) if isinstance(secrets, dict) else set()
    fill = Interpolation(parameters.__getitem__, parameters, names, findings)

    def walk(value: JSON, path: Path) -> JSON:
        """A list of steps, checks or guards: their arguments may hold secrets."""
        inside = _WITH_ARGUMENTS[str(path[1])]
        if len(path) == 2 and isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        if len(path) == 3 and isinstance(value, dict):
            return {
                key: fill.fill(item, (*path, key), in_arguments=key in inside)
                for key, item in value.items()
            }
        return fill.fill(value, path, in_arguments=False)

    filled = {}
    for key, value in spec.items():
        if key in _NOT_FILLED:
            filled[key] = value
        elif key in _WITH_ARGUMENTS:
            filled[key] = walk(value, ("spec", key))
        else:
            filled[key] = fill.fill(value, ("spec", key), in_arguments=key == "gates")
    return filled
