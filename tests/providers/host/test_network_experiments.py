"""Every experiment with a bad network is run by the command line, and ends as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.events import Verdict
from chaosrun.verdicts import exit_code
from tests.wire import TwoHosts

FILES = sorted(
    file
    for name in ("network", "partition")
    for file in (Path("experiments") / "host").glob(f"{name}-*.yaml")
)
_TRIES = 3
"""Where a machine that stood still was noticed, it is asked again. What a fault does it does each
time."""
_NOTICED = [exit_code(each) for each in (Verdict.DEVIATED, Verdict.REFUSED, Verdict.INCONCLUSIVE)]
SHOP = """
import http.server
class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        page = b"x" * 20000
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("10.77.0.2", 8080), Shop)
print("ready", flush=True)
server.serve_forever()
"""


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts() as made:
        words = ["ip", "netns", "exec", made.names["b"], sys.executable, "-S", "-I", "-c", SHOP]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as shop:
            try:
                assert shop.stdout is not None
                assert shop.stdout.readline() == b"ready\n"
                yield made
            finally:
                shop.kill()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_ends_as_it_says_and_leaves_nothing(
    hosts: TwoHosts, file: Path, tmp_path: Path, runtime: Path
) -> None:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    before = hosts.state()
    for _ in range(_TRIES):
        done = subprocess.run(
            ["ip", "netns", "exec", hosts.names["a"], sys.executable, "-m", "chaosrun", "run",
             str(file), "--output", "json"],
            capture_output=True, text=True, timeout=90,
            env={**os.environ, "CHAOSRUN_JOURNAL": f"sqlite:///{tmp_path}/journal.db"},
        )  # fmt: skip
        if done.returncode == exit_code(Verdict(found[1])) or done.returncode not in _NOTICED:
            break
    said = done.stdout[-3000:] + done.stderr[-1000:]
    assert done.returncode == exit_code(Verdict(found[1])), said
    assert json.loads(done.stdout)["verdict"] == found[1]
    until = time.monotonic() + 30
    while list(runtime.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    assert list(runtime.iterdir()) == []
    assert hosts.state() == before


def test_there_is_one_for_each_fault() -> None:
    text = "\n".join(file.read_text() for file in FILES)
    assert len(FILES) >= 6
    for word in ("delay", "loss", "bursts", "duplicate", "corrupt", "reorder", "rate", "partition"):
        assert word in text
