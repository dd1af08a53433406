"""The gate `error-budget`, against a real Prometheus that holds hours of counters."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.gate import Measured
from chaosrun.providers.prometheus.client import connect
from chaosrun.providers.prometheus.error_budget import ErrorBudget

HOURS, EVERY = 3, 15
PATIENCE = 60.0


def history(now: int) -> str:
    """Ten requests a second for hours, of which one in 200 is bad."""
    lines = ["# TYPE requests counter"]
    times = range(now - HOURS * 3600, now + 1, EVERY)
    for code, each in (("200", 9.95), ("500", 0.05)):
        for at in times:
            count = (at - times[0]) * each
            lines.append(f'requests_total{{code="{code}"}} {count:.2f} {at}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus with that history."""
    program, tool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or tool is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    home = tmp_path_factory.mktemp("prometheus")
    (home / "history").write_text(history(int(time.time())))
    blocks = [tool, "tsdb", "create-blocks-from", "openmetrics", f"{home}/history", f"{home}/tsdb"]
    subprocess.run(blocks, check=True, capture_output=True, timeout=PATIENCE)
    (home / "prometheus.yml").write_text("{}\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process, home / "log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"Prometheus did not start: {log.read_text()[-2000:]}")


def measure(url: str, objective: str, good: str = 'requests_total{code!~"5.."}') -> Measured:
    arguments = {
        "url": url, "objective": objective, "window": "1h30m", "left": "20%",
        "good": f"sum(increase({good}[$window]))",
        "total": "sum(increase(requests_total[$window]))",
    }  # fmt: skip
    client = connect()
    try:
        return from_plain(arguments, ErrorBudget).measure(client)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("objective", "is_open", "left"),
    [("99%", True, 50), ("99.4%", False, 16.6), ("99.9%", False, -400)],
)
def test_one_bad_request_in_two_hundred_uses_up_its_part(
    prometheus: str, objective: str, is_open: bool, left: float
) -> None:
    found = measure(prometheus, objective)
    assert found.open is is_open
    assert float(found.measured.partition("%")[0]) == pytest.approx(left, abs=0.2)


def test_a_misspelt_label_is_unknown_and_not_a_spent_budget(prometheus: str) -> None:
    with pytest.raises(Refused, match="the query `good` gives 0 series"):
        measure(prometheus, "99%", 'requests_total{cod="200"}')
