"""HTTP requests are harmed by an Envoy that stands between two addresses all the time.

    python -m chaosrun.mechanisms.http_proxy --listen ADDRESS --upstream ADDRESS

It takes no rights: whoever wants a service's requests to be harmed sends them to `listen`. A harm
leaves a wish in the proxy's directory; the proxy has Envoy take on new routes, and takes the wish
away at its deadline by its own clock (law L3), also when all others of ours are gone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from chaosrun.codec import from_json, to_json
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.mechanisms import breaker, envoy, envoy_config
from chaosrun.mechanisms.directory import runtime_directory
from chaosrun.mechanisms.envoy import Harmed, Requests
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.keeper import die_with_parent
from chaosrun.network import parse_address

_TAKEN_WITHIN = 5.0
_BEGINS_WITHIN = 20.0
_LOOK_AGAIN = 0.05
_PLAIN = "plain"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a harm wants of the proxy, until its deadline in UTC seconds."""

    mark: str
    deadline: float
    requests: Requests
    harmed: Harmed


class HttpProxy(Harm, frozen=True, kw_only=True, tag="http-proxy"):
    """Requests through the proxy that listens on `listen` are harmed."""

    listen: str
    requests: Requests = Requests()
    harmed: Harmed

    def apply(self, here: Here) -> None:
        files = Files(here.directory, self.listen)
        before = files.wish()
        if before is not None and before.mark != here.mark:
            raise Refused(f"the proxy on {self.listen} does another's wish already")
        if self._version(files) is None:
            raise Refused(f"no proxy of ours listens on {self.listen}")
        files.write(files.wishes, to_json(Wish(
            mark=here.mark, deadline=here.deadline, requests=self.requests, harmed=self.harmed,
        )))  # fmt: skip
        if not _until(lambda: self._version(files) == here.mark):
            raise Indeterminate(f"the proxy on {self.listen} does not take it on")

    def look(self, here: Here) -> Seen:
        files = Files(here.directory, self.listen)
        wish = files.wish()
        left = wish is not None and wish.mark == here.mark
        version = self._version(files)
        if version is None:
            return Seen(False, "the proxy has ended, and what it did with it", left=left)
        if version != here.mark:
            return Seen(False, "the proxy passes all requests on", left=left)
        counted = envoy.counted(files.admin)
        return Seen(
            True,
            f"on in the proxy; since its start {counted['harmed']} of {counted['requests']} "
            "requests were harmed",
            {"requests": counted["requests"], "harmed": counted["harmed"]},
            left=True,
        )

    def remove(self, here: Here) -> None:
        files = Files(here.directory, self.listen)
        wish = files.wish()
        if wish is not None and wish.mark == here.mark:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(files.wishes)
        _until(lambda: self._version(files) != here.mark)

    @staticmethod
    def _version(files: Files) -> str | None:
        """Whose routes Envoy has now; None when it does not answer."""
        try:
            return envoy.version(files.admin)
        except OSError:
            return None


class Files:
    """The directory of the proxy that listens there, and the files in it."""

    def __init__(self, runtime: str, listen: str) -> None:
        host, port = parse_address(listen)
        self.directory = f"{runtime}/http-proxy-{host}-{port}"
        self.wishes = f"{self.directory}/wish.json"
        self.routes = f"{self.directory}/routes.json"
        self.config = f"{self.directory}/envoy.json"
        self.admin = f"{self.directory}/admin.sock"
        self.log = f"{self.directory}/envoy.log"

    def wish(self) -> Wish | None:
        """What is wished now."""
        try:
            return from_json(Path(self.wishes).read_bytes(), Wish)
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, path: str, text: bytes) -> None:
        """In one step, and only for our own eyes: headers may be secret. Raises Refused."""
        draft = f"{path}.{os.getpid()}"
        try:
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
            ) as to:
                to.write(text)
            os.rename(draft, path)
        except OSError as error:
            raise Refused(f"cannot write {path}: {error.strerror}") from None


def _until(promise: Callable[[], bool], within: float = _TAKEN_WITHIN) -> bool:
    until = time.monotonic() + within
    while not promise():
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_AGAIN)
    return True


def runs(listen: str) -> bool:
    """Whether a proxy of this user listens there."""
    return _version_of(Files(str(runtime_directory()), listen)) is not None


# The proxy


def serve(listen: str, upstream: str, say: Callable[[str], None]) -> None:
    """Run Envoy and do what is wished, until Envoy ends or a signal asks to."""
    files = Files(str(runtime_directory(create=True)), listen)
    os.makedirs(files.directory, mode=0o700, exist_ok=True)
    if _version_of(files) is not None:
        raise Refused(f"a proxy of ours listens on {listen} already")
    for path in (files.wishes, files.admin):  # of one that was killed
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    broken = subprocess.Popen(
        [sys.executable, "-S", "-I", breaker.__file__], stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )  # fmt: skip
    assert broken.stdout is not None
    give = partial(_give, files)
    give(None)
    files.write(files.config, json.dumps(envoy_config.standing(
        listen=parse_address(listen), upstream=parse_address(upstream), admin=files.admin,
        routes=files.routes, breaker=int(broken.stdout.readline()),
    )).encode())  # fmt: skip
    running = subprocess.Popen(
        envoy.words(envoy.program(), files.config, files.log),
        stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        if not _until(lambda: _ready(files) or running.poll() is not None, _BEGINS_WITHIN) or (
            running.poll() is not None
        ):
            raise Refused(f"Envoy did not start: see {files.log}")
        say(f"{listen} -> {upstream}, controlled by {files.directory}")
        _do_wishes(files, give, running)
    finally:
        for each in (running, broken):
            each.kill()
            each.wait()
        broken.stdout.close()
        for name in os.listdir(files.directory):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{files.directory}/{name}")
        os.rmdir(files.directory)


def _do_wishes(
    files: Files, give: Callable[[Wish | None], None], running: subprocess.Popen[bytes]
) -> None:
    given: Wish | None = None
    ends = 0.0
    while running.poll() is None:
        wish = files.wish()
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        if wish is not None and wish != given:
            ends = boot + wish.deadline - time.time()
        if wish is not None and (time.time() >= wish.deadline or boot >= ends):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(files.wishes)
            wish = None
        if wish != given:
            give(wish)
            given = wish
        time.sleep(_LOOK_AGAIN)


def _give(files: Files, wish: Wish | None) -> None:
    """Let Envoy have other routes; it notices by itself."""
    version = wish.mark if wish else _PLAIN
    requests, harmed = (wish.requests, wish.harmed) if wish else (None, None)
    said = envoy_config.discovered(version, requests, harmed)
    files.write(files.routes, json.dumps(said).encode())


def _ready(files: Files) -> bool:
    try:
        return bool(envoy.ports(files.admin)) and envoy.version(files.admin) != ""
    except (OSError, ValueError):
        return False


def _version_of(files: Files) -> str | None:
    try:
        return envoy.version(files.admin)
    except OSError:
        return None


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m chaosrun.mechanisms.http_proxy",
        description="An HTTP proxy that the fault host.http-proxy can harm requests in.",
    )
    parser.add_argument("--listen", required=True, metavar="ADDRESS", help="as 127.0.0.1:8001")
    parser.add_argument("--upstream", required=True, metavar="ADDRESS", help="as 127.0.0.1:8000")
    given = parser.parse_args()
    try:
        serve(given.listen, given.upstream, lambda line: print(line, flush=True))
    except ValueError as error:
        parser.error(str(error))
    except ChaosrunError as error:
        print(f"{error}{f' ({error.hint})' if error.hint else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
