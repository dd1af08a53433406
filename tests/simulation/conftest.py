"""The simulated provider is found like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaosrun import discovery
from tests.simulation.world import provider


@pytest.fixture(autouse=True, scope="package")
def simulated_provider() -> Iterator[None]:
    """Let discovery find the provider `sim` while the simulations run."""
    real = discovery.builtin_providers
    discovery.builtin_providers = lambda: (provider,)  # type: ignore[assignment]
    yield
    discovery.builtin_providers = real
    for cached in (discovery.fault, discovery.probe, discovery.gate, discovery.halt_source):
        cached.cache_clear()
