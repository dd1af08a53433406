"""HTTP requests to chosen ports wait, fail or break off, by Envoy in their way.

They are brought to it by redirect.py, so neither side is told of a new address. Law (L3): when
Envoy is gone, connections go their own way again within two seconds; the rules are taken away
before it ends, and it is given a moment to finish what it has begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms import breaker, envoy, envoy_config, redirect
from chaosrun.mechanisms.envoy import Harmed, Requests
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.redirect import Rule

_BEGINS_WITHIN = 20.0
_FINISHES_WITHIN = 2.0
_LOOK_AGAIN = 0.02
_LONGEST_SOCKET = 100


class Http(Harm, frozen=True, kw_only=True, tag="http"):
    """Requests on connections to `ports` are harmed: those that come in, go out, or both.

    `addresses` narrows where the connections go to. `program` is the path of Envoy.
    """

    needs: ClassVar[tuple[str, ...]] = ("CAP_NET_ADMIN",)
    held_in = "network"

    program: str
    ports: tuple[int, ...]
    addresses: tuple[str, ...] = ()
    incoming: bool = False
    outgoing: bool = True
    requests: Requests = Requests()
    harmed: Harmed

    def apply(self, here: Here) -> None:
        if redirect.ports_in_place(here):
            return
        config, admin, log = _files(here)
        if len(admin) > _LONGEST_SOCKET:
            raise Refused(
                f"{here.directory} is too long a path for a socket",
                hint="set CHAOSRUN_RUNTIME_DIR to a shorter one",
            )
        families: list[Literal[4, 6]] = [4, 6] if _has_ipv6() else [4]
        _write(config, envoy_config.configuration(
            self.requests, self.harmed, admin=admin, mark=redirect.PACKET_MARK,
            listen=["0.0.0.0" if family == 4 else "::" for family in families],
            breaker=_start_breaker(here) if self.harmed.abort else 0,
        ))  # fmt: skip
        redirect.start(here, envoy.words(self.program, config, log), self.ports, says=False)
        listening = _await_ports(here, len(families))
        redirect.bring(here, [
            Rule(
                protocol="tcp", port=port, to=to, address=address, family=family,
                incoming=self.incoming, outgoing=self.outgoing,
            )
            for family, to in zip(families, listening, strict=True)
            for port in self.ports
            for address in self.addresses or ("",)
            if not address or (":" in address) == (family == 6)
        ])  # fmt: skip

    def look(self, here: Here) -> Seen:
        ports = redirect.ports_in_place(here)
        left = ports is not None or any(map(os.path.exists, _files(here)))
        if not ports:
            return Seen(False, "connections go their own way", left=left)
        try:
            counted = envoy.counted(_files(here)[1])
        except OSError:
            return Seen(False, "Envoy does not answer", left=True)
        return Seen(
            set(self.ports) <= ports,
            f"{counted['harmed']} of {counted['requests']} requests were harmed"
            if counted["requests"]
            else "connections are brought to Envoy; no request has come yet",
            {"requests": counted["requests"], "harmed": counted["harmed"]},
            left=True,
        )

    def release(self, here: Here) -> None:
        if not here.workers():
            return
        redirect.remove(here, [])
        until = time.monotonic() + _FINISHES_WITHIN
        with contextlib.suppress(OSError):
            while envoy.counted(_files(here)[1])["now"] and time.monotonic() < until:
                time.sleep(_LOOK_AGAIN)

    def remove(self, here: Here) -> None:
        redirect.remove(here, [])
        for path in _files(here):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _files(here: Here) -> tuple[str, str, str]:
    """Envoy's configuration, the socket on which it answers, and its log."""
    stem = f"{here.directory}/http-{here.short}"
    return f"{stem}.json", f"{stem}.sock", f"{stem}.log"


def _write(path: str, configuration: dict[str, object]) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # headers may be secret
    with os.fdopen(file, "w") as stream:
        json.dump(configuration, stream)


def _start_breaker(here: Here) -> int:
    started = here.start([sys.executable, "-S", "-I", breaker.__file__], stdout=subprocess.PIPE)
    assert started.stdout is not None
    said = started.stdout.readline().decode().strip()
    if not said:
        raise Refused("the program that breaks answers off did not start")
    return int(said)


def _await_ports(here: Here, count: int) -> list[int]:
    """The ports that Envoy listens on, once it does. Raises Refused with its own words."""
    _, admin, log = _files(here)
    until = time.monotonic() + _BEGINS_WITHIN
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            found = envoy.ports(admin)
            if len(found) == count and all(found):
                return found
        if not any(here.workers()):
            raise Refused(f"Envoy did not start: {_last_line(log)}")
        time.sleep(_LOOK_AGAIN)
    raise Indeterminate(f"Envoy does not listen after {_BEGINS_WITHIN:g}s: {_last_line(log)}")


def _last_line(path: str) -> str:
    with contextlib.suppress(OSError):
        lines = Path(path).read_text(errors="replace").splitlines()
        return lines[-1][:300] if lines else "it said nothing"
    return "it said nothing"


def _has_ipv6() -> bool:
    try:
        return bool(Path("/proc/net/if_inet6").read_text().strip())
    except OSError:
        return False
