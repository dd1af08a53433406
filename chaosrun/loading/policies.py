"""Policies: where they are found, and each from its file to a typed, frozen policy.

Law (L4): a policy that is named and not there, cannot be read or is wrong refuses every run.
What is found in one place is never dropped by naming another: all add up.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as File
from typing import TYPE_CHECKING

import msgspec

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.events import PolicySource
from chaosrun.journal import state_directory
from chaosrun.loading import naming
from chaosrun.loading.loader import SUFFIXES, expand, open_file
from chaosrun.loading.problems import Findings, Invalid, Problem
from chaosrun.policy.policies import Document, Policies, added_up
from chaosrun.units import JSON

if TYPE_CHECKING:
    from chaosrun.policy.spec import Policy

VARIABLE = "CHAOSRUN_POLICY"
SYSTEM = File("/etc/chaosrun/policy.d")
FOLDER = "policy.d"


class BrokenPolicy(Refused):
    """A policy cannot be read or is wrong: nothing may run until it is mended."""

    code = "broken-policy"

    def __init__(self, invalid: Invalid) -> None:
        self.problems = invalid.problems
        self.count = invalid.count
        hint = invalid.hint or "nothing runs until it is mended"
        super().__init__(f"a policy is broken: {invalid}", hint=hint)


def find_policies(
    named: Iterable[str] = (), *, environ: Mapping[str, str] = os.environ, system: File = SYSTEM
) -> Policies:
    """Every policy that holds here, added up. Raises BrokenPolicy with every problem.

    Those in /etc/chaosrun/policy.d and in `policy.d` of the state directory, those that
    CHAOSRUN_POLICY names (paths with colons between), and those named by `--policy`.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    count = 0
    for file in dict.fromkeys(_files(named, environ, system, problems)):
        try:
            documents.append(load_policy(file))
        except Invalid as error:
            problems += error.problems
            count += error.count
    if problems:
        raise BrokenPolicy(Invalid(problems, max(count, len(problems))))
    return added_up(documents) if documents else Policies()


def load_policy(path: File | str) -> Document:
    """The policy in a YAML or JSON file. Raises Invalid with every problem."""
    source, findings, root = open_file(File(path))
    data = root.plain() if root is not None else None
    if not isinstance(data, dict):
        message = "the file is empty" if data is None else "is not a mapping of keys to values"
        index = -1 if root is None else root.start
        findings.at(index, message, "a policy begins with `apiVersion:`")
        raise findings.invalid()
    policy = _checked(data, findings)
    findings.raise_any()
    if policy is None:
        raise Invalid([Problem(file=source.file, message="is not a policy")])
    digest = hashlib.sha256(source.text.encode()).hexdigest()
    found = PolicySource(name=policy.metadata.name, file=str(path), digest=digest)
    return Document(policy, found)


def _checked(data: dict[str, JSON], findings: Findings) -> Policy | None:
    kind = data.get("kind", "Policy")
    if kind != "Policy" and isinstance(kind, str):
        findings.value(
            ("kind",), f"unknown kind `{kind}`", "known here: Policy", code="unknown-kind",
            wrong=kind, among=("Policy",),
        )  # fmt: skip
        return None
    from chaosrun.policy.spec import Policy  # takes long to import; most machines have none

    policy = None
    try:
        policy = from_plain(data, Policy)
    except msgspec.ValidationError:
        from chaosrun.loading import shape  # only when something is wrong

        shape.check(data, Policy, (), findings)
    spec = data.get("spec")
    if isinstance(spec, dict):
        naming.check_choices("gate", spec.get("gates"), ("spec", "gates"), findings)
        halt = spec.get("halt")
        sources = halt.get("sources") if isinstance(halt, dict) else None
        naming.check_choices("halt source", sources, ("spec", "halt", "sources"), findings)
        naming.check_secrets(spec.get("secrets"), findings)
    return policy


def _files(
    named: Iterable[str], environ: Mapping[str, str], system: File, problems: list[Problem]
) -> Iterator[File]:
    """Every file, and a problem for each place that cannot be looked into."""
    for folder in (system, File(state_directory()) / FOLDER):
        yield from _inside(folder, problems, needed=False)
    said = [path for path in environ.get(VARIABLE, "").split(os.pathsep) if path]
    for path in (*said, *named):
        yield from _inside(File(path), problems, needed=True)


def _inside(place: File, problems: list[Problem], *, needed: bool) -> Iterator[File]:
    try:
        place.stat()
        if place.is_dir():
            os.listdir(place)  # expand() passes over what may not be read
    except FileNotFoundError:
        if needed:
            problems.append(Problem(file=str(place), message="there is no such policy"))
        return
    except OSError as error:
        problems.append(Problem(file=str(place), message=f"cannot be read: {error.strerror}"))
        return
    files = list(expand(place))
    if not files and needed:
        ends = ", ".join(SUFFIXES)
        problems.append(Problem(file=str(place), message=f"no file here ends in {ends}"))
    yield from files
