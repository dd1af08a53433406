"""From a file to a frozen suite with all its experiments, or to everything that is wrong with them.

Law (L4): a suite is valid only when each of its experiments is, with the parameters that they get.
"""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import msgspec

from chaosrun.codec import from_plain
from chaosrun.loading import checks, loader
from chaosrun.loading.interpolation import Interpolation
from chaosrun.loading.loader import Loaded, LoadedEntry, LoadedSuite
from chaosrun.loading.parameters import Given, Parameters
from chaosrun.loading.problems import Findings, Invalid, Problem
from chaosrun.loading.source import Path
from chaosrun.suite import Suite
from chaosrun.units import JSON

_ENTRIES = "experiments"


def load(data: dict[str, JSON], given: Given, file: str, findings: Findings) -> LoadedSuite:
    """The suite that plain data says. Raises Invalid with every problem."""
    spec = data.get("spec")
    parameters: dict[str, JSON] = {}
    if isinstance(spec, dict):
        parameters = Parameters(spec.get("parameters"), given, findings).settle()
        fill = Interpolation(parameters.__getitem__, parameters, set(), findings)
        spec = {
            key: value
            if key == "parameters"
            else _entries(value, fill)
            if key == _ENTRIES and isinstance(value, list)
            else fill.fill(value, ("spec", key), in_arguments=False)
            for key, value in spec.items()
        }
        data = {**data, "spec": spec}
    suite = None
    try:
        suite = from_plain(data, Suite)
    except msgspec.ValidationError:
        from chaosrun.loading import shape

        shape.check(data, Suite, (), findings)
    entries: list[LoadedEntry] = []
    if isinstance(spec, dict):
        listed = list(checks.items(spec, _ENTRIES))
        checks.names(listed, _ENTRIES, findings)
        checks.order(listed, spec, findings, "experiment")
        for path, entry in listed:
            loaded = load_question(entry, "experiment", path, file, findings)
            if isinstance(loaded, Loaded):
                entries.append(LoadedEntry(name=str(entry.get("name")), loaded=loaded))
    loader.raise_all(findings, given)
    if suite is None:
        raise Invalid([Problem(file=file, message="is not a suite")])
    return LoadedSuite(suite=suite, entries=tuple(entries), parameters=parameters, source=file)


def _entries(entries: list[Any], fill: Interpolation) -> list[Any]:
    """The entries with parameters in their places, but for experiments that stand in the file."""
    filled = []
    for index, entry in enumerate(entries):
        path: Path = ("spec", _ENTRIES, index)
        if not isinstance(entry, dict):
            filled.append(entry)
            continue
        filled.append(
            {
                key: value
                if isinstance(value, dict) and key == "experiment"
                else fill.fill(value, (*path, key), in_arguments=False)
                for key, value in entry.items()
            }
        )
    return filled


def load_question(
    holder: dict[str, JSON], key: str, path: Path, file: str, findings: Findings
) -> Loaded | LoadedSuite | None:
    """The experiment or suite under a key, with the `parameters` beside it; None when it is wrong.

    Problems are reported where they are: in this file, or in the one that it names.
    """
    named, values = holder.get(key), holder.get("parameters", {})
    unknown = findings.poisoned((*path, key)) or findings.poisoned_within((*path, "parameters"))
    if not isinstance(named, str | dict) or unknown:
        return None
    given = Given(values=values if isinstance(values, dict) else {})
    given.findings = findings.within((*path, "parameters"))
    inner, where = findings.within((*path, key)), file
    data: JSON = named
    try:
        if isinstance(named, str):
            where = str(File(file).parent / named)
            _, inner, data = loader.open_document(File(where))
            inner.secrets_elsewhere = findings.secrets_elsewhere
        if key == "suite":
            data = {"kind": "Suite", **data}
            if data["kind"] != "Suite":
                inner.value(("kind",), f"the kind {data['kind']} stands where a suite belongs")
                raise inner.invalid()
            return load(data, given, where, inner)
        return loader.load_experiment(data, given, where, inner)
    except Invalid as error:
        for problem in error.problems:
            if isinstance(named, str) and problem.file == where and not problem.line:
                findings.value((*path, key), f"{named}: {problem.message}", problem.suggestion)
            else:
                findings.other(problem)
        return None
