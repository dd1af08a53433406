"""The only way to a Docker engine: calls that end, and the engine's errors in our words.

Law: nothing is changed on another engine than the one that was planned: each is told by its own
id. A call that changes something and got no answer may have happened: Indeterminate.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import msgspec

from chaosrun import commands, procfs
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.mechanisms import asking as mechanisms
from chaosrun.mechanisms.harm import Order, Seen
from chaosrun.mechanisms.networks import Networks
from chaosrun.mechanisms.resources import Resources
from chaosrun.place import Place, here
from chaosrun.procfs import Identity
from chaosrun.providers.docker import processes
from chaosrun.units import JSON

_ANSWERS_WITHIN = 10
_LOOK_AGAIN = 0.02
_SLOWEST_LOOK = 0.5
_READS = ("containers", "info", "inspect", "networks", "logs", "version", "volumes")
_CONNECT = "connect_container_to_network"
_NO_ENGINE = "start Docker, or say where it is by `engine` or DOCKER_HOST"


class Engine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One engine: where it is reached, its own id (empty until it was asked), and its name."""

    url: str
    id: str = ""
    name: str = ""

    @property
    def by_socket(self) -> bool:
        """Whether it is reached by a socket of this machine."""
        return self.url.startswith(("unix://", "http+unix://"))


class NotFound(Refused):
    """What was named does not exist there."""


class Conflict(Transient):
    """The engine says that it cannot be done to a thing in that state."""


class Docker(Networks, Resources):
    """Calls any engine, from any number of threads; reads nothing until then.

    Each of `observers` is told every call that was answered: its method and its path.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._apis: dict[str, Any] = {}
        self._known: dict[str, Engine] = {}
        self.observers: list[Callable[[str, str], None]] = []

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            apis = list(self._apis.values())
            self._apis.clear()
        for api in apis:
            api.close()

    def engine(self, url: str = "") -> Engine:
        """The engine at that address, or the default one, with its id.

        The default is what the command `docker` takes: DOCKER_HOST, or its current context.
        """
        url = url or _default_url()
        if url not in self._known:
            told = self._call(Engine(url=url), "info")
            self._known[url] = Engine(url=url, id=told["ID"], name=told["Name"])
        return self._known[url]

    def version(self, url: str = "") -> tuple[str, str]:
        """The version of an engine and its address."""
        url = url or _default_url()
        return str(self._call(Engine(url=url), "version")["Version"]), url

    # Looking

    def containers(self, engine: Engine, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Containers in whatever state, as the engine lists them."""
        return list(self._call(engine, "containers", all=True, filters=filters))

    def inspect(self, engine: Engine, container: str) -> dict[str, Any] | None:
        """All about one container; None when there is none."""
        with contextlib.suppress(NotFound):
            return dict(self._call(engine, "inspect_container", container))
        return None

    def logs(self, engine: Engine, container: str, since: float, most: int) -> bytes:
        """The last lines that a container wrote from that moment on, at most so many."""
        return bytes(
            self._call(
                engine, "logs", container, stdout=True, stderr=True, since=since, tail=most,
                stream=False, timestamps=False,
            )
        )  # fmt: skip

    # Changing; each is harmless when it is so already

    def kill(self, engine: Engine, container: str, signal: str) -> None:
        """Signal its first process; Docker's restart policies leave it alone then."""
        with contextlib.suppress(Conflict):  # it does not run
            self._call(engine, "kill", container, signal=signal)

    def stop(self, engine: Engine, container: str, grace: float) -> None:
        """Ask it to end, and kill it when the grace is over."""
        seconds = max(0, round(grace))
        self._call(engine, "stop", container, timeout=seconds)

    def start(self, engine: Engine, container: str) -> None:
        self._call(engine, "start", container)

    def restart(self, engine: Engine, container: str, grace: float) -> None:
        """Stop and start it."""
        seconds = max(0, round(grace))
        self._call(engine, "restart", container, timeout=seconds)

    def pause(self, engine: Engine, container: str) -> None:
        with contextlib.suppress(Conflict):
            self._call(engine, "pause", container)

    def unpause(self, engine: Engine, container: str) -> None:
        with contextlib.suppress(Conflict):
            self._call(engine, "unpause", container)

    def remove(self, engine: Engine, container: str, *, volumes: bool) -> None:
        """Kill and remove it, with its anonymous volumes if asked to."""
        with contextlib.suppress(NotFound):
            self._call(engine, "remove_container", container, v=volumes, force=True)

    def disconnect(self, engine: Engine, network: str, container: str) -> None:
        try:
            self._call(engine, "disconnect_container_from_network", container, network, force=True)
        except NotFound:
            pass
        except Indeterminate as error:
            if "is not connected to" not in str(error):
                raise

    def connect(
        self, engine: Engine, network: str, container: str, endpoint: dict[str, JSON]
    ) -> None:
        """Connect it, with what the engine's API calls an endpoint's configuration."""
        self._call(engine, _CONNECT, container, network, endpoint)

    # Marks: a volume with labels, since nothing else of an engine bears what we write

    def put_mark(self, engine: Engine, name: str, labels: dict[str, str]) -> None:
        self._call(engine, "create_volume", name=name, labels=labels)

    def take_mark(self, engine: Engine, name: str) -> None:
        with contextlib.suppress(NotFound):
            self._call(engine, "remove_volume", name)

    def marks(self, engine: Engine, label: str) -> list[dict[str, Any]]:
        """The volumes with that label."""
        return list(self._call(engine, "volumes", filters={"label": label})["Volumes"] or ())

    # This machine, where the engine is on it

    def place(self) -> Place:
        """Where we are."""
        return here()

    def user(self) -> int:
        """The user we run as."""
        return os.geteuid()

    def user_of(self, pid: int) -> int:
        """The user that a process runs as; ours when it has ended."""
        seen = procfs.process(pid)
        return seen.user if seen else self.user()

    def members(self, pid: int) -> list[Identity]:
        """The processes of the control group of a container's first process."""
        return processes.members(pid)

    def presser(self, program: str) -> str:
        """The path of stress-ng, or empty for our own worker. Raises Refused."""
        found = self.program("stress-ng") if program != "worker" else ""
        if program == "stress-ng" and not found:
            raise Refused(
                "stress-ng is not installed", hint="apt-get install stress-ng, or mechanism: worker"
            )
        return found

    def is_here(self, pid: int, container: str) -> bool:
        """Whether that process of a container is on this machine."""
        return processes.is_here(pid, container)

    def alive(self, pid: int, container: str) -> bool:
        """Whether that process of a container still runs code of its own."""
        return processes.alive(pid, container)

    def may_signal(self, pid: int) -> bool:
        """Whether we are allowed to signal a process of this machine; it is not."""
        return processes.may_signal(pid)

    def crash(self, pid: int, container: str, number: int) -> None:
        """Signal a container's process past the engine. Raises Refused."""
        processes.send_signal(pid, container, number)

    def hold(self, order: Order) -> Seen:
        """Have a process of its own do and hold it until its deadline."""
        return mechanisms.hold(order)

    def look(self, order: Order) -> Seen:
        """Whether what such a process was asked to do is there."""
        return mechanisms.look(order)

    def end(self, order: Order) -> Seen:
        """Have it undone, whoever holds it."""
        return mechanisms.end(order)

    def held(self) -> list[Order]:
        """What is held on this machine by such processes."""
        return mechanisms.notes()

    # How calls are made

    def _call(self, engine: Engine, operation: str, *arguments: Any, **keywords: Any) -> Any:
        """One answer. Raises Refused when another engine answers there than the one meant."""
        if engine.id and self.engine(engine.url).id != engine.id:
            raise Refused(
                f"another Docker engine is at {engine.url} than {engine.name or engine.id}"
            )
        with self._translated(engine, operation):
            api = self._api(engine.url)
            if operation == _CONNECT:
                return _connect(api, *arguments)
            return getattr(api, operation)(*arguments, **keywords)

    def _api(self, url: str) -> Any:
        from docker import APIClient
        from docker.utils import kwargs_from_env

        with self._lock:
            if url not in self._apis:
                _knock(url)
                settings = kwargs_from_env({**os.environ, "DOCKER_HOST": url})
                api = APIClient(
                    **settings,
                    version="auto",
                    timeout=_ANSWERS_WITHIN,
                    use_ssh_client=url.startswith("ssh://"),
                )
                api.hooks["response"] = [self._tell]
                self._apis[url] = api
            return self._apis[url]

    def _tell(self, response: Any, **_: Any) -> None:
        path = re.sub(r"^/v[0-9.]+", "", response.request.path_url.partition("?")[0])
        for observer in self.observers:
            observer(str(response.request.method), path)

    @contextlib.contextmanager
    def _translated(self, engine: Engine, operation: str) -> Iterator[None]:
        """The SDK's errors in our words."""
        import requests
        from docker import errors

        try:
            yield
        except errors.APIError as error:
            raise _of_answer(error, operation) from None
        except errors.DockerException as error:
            raise _unreachable(str(error), engine.url) from None
        except requests.exceptions.RequestException as error:
            raise _of_request(error, engine.url, operation) from None
        except OSError as error:
            raise _unreachable(error.strerror or str(error), engine.url) from None


def until(look: Callable[[], bool], seconds: float) -> bool:
    """Look again and again until it is so, or the time is over; whether it is so."""
    end, pause = time.monotonic() + seconds, _LOOK_AGAIN
    while not look():
        cancellation = commands.current.get()
        if time.monotonic() > end or (cancellation is not None and cancellation.cancelled):
            return False
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(1.5 * pause, _SLOWEST_LOOK)
    return True


def connect() -> Docker:
    """A client that has not connected to anything yet."""
    return Docker()


def _connect(api: Any, container: str, network: str, endpoint: dict[str, JSON]) -> None:
    """The SDK's own call drops what it has no parameter for."""
    body = {"Container": container, "EndpointConfig": endpoint}
    response = api._post_json(api._url("/networks/{0}/connect", network), data=body)
    api._raise_for_status(response)


def _default_url() -> str:
    from docker.context import ContextAPI

    if url := os.environ.get("DOCKER_HOST"):
        return url
    chosen = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    return str(chosen.Host if chosen and chosen.Host else "unix:///var/run/docker.sock")


def _of_answer(error: Any, operation: str) -> ChaosrunError:
    """The error for an answer that is one."""
    status = error.response.status_code if error.response is not None else 0
    said = f"docker {operation}: {error.explanation or error}"
    if status == 404:
        return NotFound(said)
    if status == 409:
        return Conflict(said)
    if status in (401, 403):
        return Refused(said, hint="`chaosrun permissions` lists the calls it takes")
    return _unknown(operation)(said) if status >= 500 else Refused(said)


def _of_request(error: Any, url: str, operation: str) -> ChaosrunError:
    """The error for an answer that did not come."""
    import requests

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return _unreachable("it does not answer", url)
    if isinstance(error, requests.exceptions.ConnectionError) and _never_sent(error):
        return _unreachable(str(error), url)
    return _unknown(operation)(f"docker {operation}: {error}")


def _unreachable(why: str, url: str) -> ChaosrunError:
    if "Permission denied" in why:
        return Refused(
            f"not allowed to use the Docker engine at {url}",
            hint="run as root, or as a user of the group `docker`",
        )
    if "No such file" in why or "Connection refused" in why:
        why = "nothing listens there"
    return Transient(f"no Docker engine answers at {url}: {why}", hint=_NO_ENGINE)


def _knock(url: str) -> None:
    """Raise OSError when nobody listens at a socket; the SDK would leave its end of it open."""
    if url.startswith("unix://"):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as knock:
            knock.settimeout(_ANSWERS_WITHIN)
            knock.connect(url.removeprefix("unix://"))


def _never_sent(error: BaseException) -> bool:
    """Whether it broke before anything could be sent."""
    said = str(error)
    return any(
        each in said
        for each in ("No such file", "Connection refused", "Permission denied", "NewConnection")
    )


def _unknown(operation: str) -> type[ChaosrunError]:
    return Transient if operation.startswith(_READS) else Indeterminate
