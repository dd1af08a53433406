"""Objects of one kind, followed as they change: listed once, then watched.

Law: a watch that is cut goes on from the last version that was told, so that no change is lost
and none comes twice; where the server has forgotten that version, all are listed anew. Nobody waits
past the given time, or more than a moment once the effect is cancelled.

(The client's own `Watch` is not used: it passes bookmarks on without taking their version, tries
an expired version once more and then raises, and cannot be ended while it waits for a line.)
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec

from chaosrun import commands
from chaosrun.errors import ChaosrunError, Indeterminate, Transient
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Expired, NotFound, error_of
from chaosrun.providers.kubernetes.kinds import Kind, Object, Ref, uid_of

_MOST = 8
_WATCH, _LATE, _SOON = 30.0, 5.0, 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_MOMENT, _TOGETHER = 0.1, 0.005


class Watched(msgspec.Struct, frozen=True):
    """What is followed: one list as `Kubernetes.all` gives it, or of it what `keep` says.

    Only what is kept is held in memory, and only what becomes of it is a change.
    """

    access: Access
    kind: Kind
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    keep: Callable[[Object], bool] | None = None


def single(access: Access, ref: Ref) -> Watched:
    """One object, by name."""
    return Watched(access, ref.kind, ref.namespace, fields=f"metadata.name={ref.name}")


class Lines(Protocol):
    """An answer that goes on."""

    def lines(self) -> Generator[bytes, None, None]:
        """Each whole line. Raises Transient."""

    def close(self) -> None:
        """End it, from any thread."""


class Calls(Protocol):
    """The calls that it takes."""

    def pages(
        self, access: Access, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Iterator[Object]:
        """A list, page by page."""

    def stream(self, access: Access, path: str, query: Mapping[str, str], quiet: float) -> Lines:
        """A watch."""


class Following:
    """Everything that is watched, each on a thread of its own, until it is left.

    More than a few lists are not followed: a zone of a hundred nodes is not worth as many
    connections.
    """

    def __init__(self, calls: Calls, watching: Sequence[Watched], end: float) -> None:
        self._news = threading.Event()
        wanted = watching if len(watching) <= _MOST else ()
        self._followers = [_Follower(calls, each, end, self._news) for each in wanted]

    def __enter__(self) -> Self:
        for each in self._followers:
            each.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._followers:
            each.close()

    @property
    def alive(self) -> bool:
        """Whether all are followed: what may not be watched is not."""
        return bool(self._followers) and all(each.is_alive() for each in self._followers)

    def changed(self, until: float, *, alive: bool) -> bool:
        """Wait for the next change, as long as it is `alive` as it was.

        False when there was none in time, we are cancelled, or nothing is followed any more.
        """
        while (left := until - time.monotonic()) > 0 and self.alive is alive:
            if commands.cancelled():
                return False
            if not alive:
                commands.pause(min(left, _MOMENT))
            elif self._news.wait(min(left, _MOMENT)):
                time.sleep(_TOGETHER)  # changes come in bursts
                self._news.clear()
                return True
        return False

    def all(
        self, access: Access, kind: Kind, namespace: str, labels: str, fields: str
    ) -> list[Object] | None:
        """That list as it is now, if it is followed: of it what is kept."""
        asked = (access, kind, namespace, labels, fields)
        for each in self._followers:
            of = each.watched
            if asked == (of.access, of.kind, of.namespace, of.labels, of.fields):
                return each.now()
        return None

    def get(self, access: Access, ref: Ref) -> Object | None:
        """That object as it is now, if it is followed. Raises NotFound."""
        found = self.all(access, ref.kind, ref.namespace, "", f"metadata.name={ref.name}")
        if found == []:
            raise NotFound(f"{ref.label} is not there")
        return found[0] if found else None


class _Follower(threading.Thread):
    """Keeps one list as it is now, and says when it is another."""

    def __init__(self, calls: Calls, watched: Watched, end: float, news: threading.Event) -> None:
        super().__init__(name="chaosrun-watch", daemon=True)
        self.watched = watched
        self._calls, self._end, self._news = calls, end, news
        self._objects: dict[str, Object] | None = None
        self._version, self._told = "", 0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._stream: Lines | None = None
        self._cancellation = commands.Cancellation()

    def now(self) -> list[Object] | None:
        """The list, once it is known."""
        with self._lock:
            return None if self._objects is None else list(self._objects.values())

    def close(self) -> None:
        """End it: at once where it waits for the next change, soon where it waits for an answer."""
        with self._lock:
            self._over.set()
            self._cancellation.cancel()  # a call of ours is not tried again
            if self._stream is not None:
                self._stream.close()

    def run(self) -> None:
        """List and watch, again and again, to the end of the time or to what can never be."""
        commands.current.set(self._cancellation)
        pause = 0.0
        while not self._over.wait(pause) and time.monotonic() < self._end:
            began, self._told = time.monotonic(), 0
            try:
                if not self._version:
                    self._list()
                self._watch()
                if not self._told and time.monotonic() - began < _SOON:
                    self._version = ""  # some servers end it without a word when it is expired
            except Expired:
                self._version = ""
            except (Transient, Indeterminate):
                pass
            except ChaosrunError:
                return
            good = self._told or time.monotonic() - began > _LONGEST_PAUSE
            pause = _FIRST_PAUSE if good else min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)

    def _list(self) -> None:
        of, found, version = self.watched, dict[str, Object](), ""
        for page in self._calls.pages(
            of.access, of.kind, of.namespace, labels=of.labels, fields=of.fields
        ):
            version = str(page["metadata"].get("resourceVersion", ""))
            found |= {uid_of(each): each for each in page.get("items") or () if self._meant(each)}
        with self._lock:
            self._objects = found
        self._version = version
        self._news.set()

    def _watch(self) -> None:
        """Take in what is told until the server ends it. Raises Expired, and what a call raises."""
        of = self.watched
        seconds = math.ceil(min(_WATCH, max(1.0, self._end - time.monotonic())))
        query = {
            "watch": "1", "resourceVersion": self._version, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds), "labelSelector": of.labels, "fieldSelector": of.fields,
        }  # fmt: skip
        query = {name: value for name, value in query.items() if value}
        stream = self._calls.stream(of.access, of.kind.path(of.namespace), query, seconds + _LATE)
        with self._lock:
            self._stream = stream
            if self._over.is_set():
                stream.close()
        try:
            with contextlib.closing(stream.lines()) as lines:
                for line in lines:
                    self._take(line)
        finally:
            with self._lock:
                self._stream = None

    def _take(self, line: bytes) -> None:
        """Take in one event."""
        try:
            event = json.loads(line)
            kind, found = event["type"], event["object"]
            if kind == "ERROR":
                told = json.dumps(found).encode()
                raise error_of(int(found.get("code") or 500), told, "GET", "a watch")
            version = str(found["metadata"]["resourceVersion"])
        except (ValueError, TypeError, KeyError):
            raise Transient("a watch tells what is no event") from None
        self._told += 1
        if kind != "BOOKMARK":
            self._keep(found, there=kind != "DELETED")
        self._version = version

    def _keep(self, found: Object, *, there: bool) -> None:
        key, meant = uid_of(found), there and self._meant(found)
        with self._lock:
            objects = self._objects if self._objects is not None else {}
            before = objects.get(key)
            if meant:
                objects[key] = found
            elif before is not None:
                del objects[key]
        if meant or before is not None:
            self._news.set()

    def _meant(self, found: Object) -> bool:
        return self.watched.keep is None or self.watched.keep(found)
