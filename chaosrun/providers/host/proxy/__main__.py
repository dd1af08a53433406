"""Runs a proxy until it is told to end: `python -m chaosrun.providers.host.proxy --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path

from chaosrun.errors import ChaosrunError
from chaosrun.providers.host.proxy import control
from chaosrun.providers.host.proxy.server import Address, PreciseSelector, Proxy
from chaosrun.providers.host.runtime import control_path, parse_address

_HELP = """\
Passes TCP connections on from one address to another. Run it permanently between two parts of
your system; the fault host.tcp-proxy then makes it slow, narrow, deaf or hostile for a while.
"""


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaosrun.providers.host.proxy",
        description=_HELP,
        epilog="example: --listen 127.0.0.1:8001 --upstream 127.0.0.1:9001",
    )
    parser.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--upstream", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument(
        "--control",
        type=Path,
        metavar="PATH",
        help="Unix socket to be controlled by; without it, one named by --listen in the user's "
        "runtime directory, where the fault looks",
    )
    return parser.parse_args(words)


async def _run(listen: Address, upstream: Address, path: Path | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    proxy = Proxy(listen, upstream)
    try:
        path = path or control_path(control.written(proxy.listen), create=True)
        server = await control.serve(proxy, path)
        try:
            where = control.status_of(proxy)
            print(f"{where.listen} -> {where.upstream}, controlled by {path}", flush=True)
            gc.collect()
            gc.freeze()  # nothing of the start needs to be looked at again
            await stop.wait()
        finally:
            server.close()
            path.unlink(missing_ok=True)
    finally:
        proxy.close()


def main(words: list[str] | None = None) -> int:
    """Run; the exit code is 1 when an address cannot be had, and 0 when told to end."""
    arguments = _arguments(words)
    loop = asyncio.SelectorEventLoop(PreciseSelector())
    with contextlib.closing(loop):
        try:
            loop.run_until_complete(_run(arguments.listen, arguments.upstream, arguments.control))
        except (OSError, ChaosrunError) as error:
            print(f"proxy: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
