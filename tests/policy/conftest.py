"""The corpus' provider is known while the tests of policies run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaosrun import discovery
from tests.policy.corpus.world import provider


@pytest.fixture(autouse=True, scope="package")
def shop_provider() -> Iterator[None]:
    real = discovery.builtin_providers
    discovery.builtin_providers = lambda: (*real(), provider)  # type: ignore[assignment]
    yield
    discovery.builtin_providers = real
    for cached in (discovery.fault, discovery.probe, discovery.gate):
        cached.cache_clear()
