"""What the tests of mechanisms share: network namespaces of their own, and a runtime directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def eventually(promise: Callable[[], object], within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while not promise():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=10).stdout


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path_factory.mktemp("rt")
    directory.chmod(0o700)
    monkeypatch.setenv("CHAOSRUN_RUNTIME_DIR", str(directory))
    return directory


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with nothing but loopback."""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("needs root and: apt-get install iproute2 nftables")
    name = f"cr-{uuid.uuid4().hex[:8]}"
    sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        sh("ip", "netns", "del", name)
