"""Providers of another package are installed beside chaosrun, as a third party's would be."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun import discovery

_CACHES = (
    discovery.all_providers, discovery.fault, discovery.probe, discovery.gate,
    discovery.secret_source,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="package")
def _practice() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent / "site"))
        _forget()
        yield
    _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    for cached in _CACHES:
        cached.cache_clear()
