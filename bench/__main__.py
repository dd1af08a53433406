"""`python -m bench [NAME...]`: measure, show the figures, and write them into the README."""

from __future__ import annotations

import sys
from importlib import import_module

from bench import results
from bench.peers import Absent
from bench.results import Aim, Row

BENCHMARKS = {
    "startup": "bench.startup",
    "abort": "bench.abort",
    "halt": "bench.halt",
    "thousand": "bench.thousand",
    "http-probe": "bench.http_probe",
    "engine": "bench.engine",
    "tcp-proxy": "bench.tcp_proxy",
    "schedules": "bench.schedules",
    "network": "bench.network",
    "redirects": "bench.redirects",
}


def main(chosen: list[str]) -> int:
    """Measure what was chosen, or all; 1 when an aim was missed."""
    if unknown := set(chosen) - set(BENCHMARKS):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    order: list[str] = []
    rows: list[Row] = []
    for name, path in BENCHMARKS.items():
        aims: tuple[Aim, ...] = import_module(path).AIMS
        order += [aim.work for aim in aims]
        for aim in aims if name in chosen or not chosen else ():
            row = _row(aim)
            word = {True: "met", False: "MISSED", None: "skipped"}[row.met]
            print(f"{word:8} {row.work}: {row.measured} (aim: {row.aim})", flush=True)
            rows.append(row)
    results.save(rows, order)
    from tools import readme

    readme.main("write")
    return int(any(row.met is False for row in rows))


def _row(aim: Aim) -> Row:
    try:
        figure = aim.measure()
    except Absent as absent:
        return Row(work=aim.work, aim=aim.aim, measured=str(absent))
    return Row(
        work=aim.work, aim=aim.aim, measured=figure.measured, met=figure.met,
        machine=results.machine(),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
