"""The machine that checks the project skips nothing in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SKIPS = """
import pytest

@pytest.mark.skip(reason="needs a dragon: apt-get install dragon")
def test_dragon(): ...

@pytest.mark.xfail(strict=True)
def test_known(): assert False

def test_plain(): ...
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text())
    return pytester


def test_a_skip_fails_where_ci_is_set(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    project.makepyfile(SKIPS)
    result = project.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1, passed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*skipped where CI is set*needs a dragon*"])


def test_a_skipped_module_fails_where_ci_is_set(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    project.makepyfile('import pytest\npytest.importorskip("no_such_module")')
    project.runpytest("-p", "no:cacheprovider").assert_outcomes(errors=1)


def test_a_skip_is_a_skip_elsewhere(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.makepyfile(SKIPS)
    project.runpytest("-p", "no:cacheprovider").assert_outcomes(skipped=1, passed=1, xfailed=1)
