"""What all tests share: the machine that checks the project skips nothing in silence.

A test that this machine cannot run is skipped by name, with the reason and the command that
would make it run. Where `CI` is set, `.ci/run` has installed all of that, so a skip there is a
failure unless its reason is one of `ALLOWED_SKIPS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

ALLOWED_SKIPS = (
    "needs a mount namespace",
    "a Kubernetes cluster: needs Go",
    "a Kubernetes cluster: needs a mount",
)
"""How the reason of a skip begins that even the checking machine may have: it may be a container
without the right to mount, which nothing can install; and Debian has no Go that is new enough."""

# How long one example takes says nothing on a machine that does other things too.
settings.register_profile("chaosrun", deadline=None, print_blob=True)
settings.load_profile("chaosrun")

# A runner that a test starts, and that a library's machine code ends, says where it was.
os.environ.setdefault("PYTHONFAULTHANDLER", "1")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the journal, the lab or the cluster of the person who runs the tests."""
    monkeypatch.delenv("CHAOSRUN_JOURNAL", raising=False)
    monkeypatch.delenv("CHAOSRUN_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those on the cluster come last, so that it does not take part in all others."""
    items.sort(key=lambda item: _lane(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where processes share the tests (`make test`), each does whole lanes: one the cluster's."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _lane
    return scheduling


def _lane(nodeid: str) -> str:
    return "on the cluster" if "kubernetes" in nodeid else "elsewhere"


def pytest_sessionfinish() -> None:
    """The cluster that a test has started goes, and nothing of it stays."""
    session = sys.modules.get("tests.cluster.session")
    if session is not None:
        left = session.finish()
        assert not left, f"the cluster has left behind: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (report.skipped and os.environ.get("CI")):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped where CI is set, which runs everything: {reason}"
