"""The queue on PostgreSQL, shared by all replicas: procrastinate, which has its home here.

Law: procrastinate wakes a worker and spreads the work. Its jobs may be lost or come twice: the
agenda has each fire once, and the sweep offers again what nobody has claimed. Its tables are in
the journal's own schema.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

import procrastinate
import psycopg
from procrastinate import exceptions
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.journal.agenda import FireRow
from chaosrun.service import logs
from chaosrun.service.queues import Work
from chaosrun.units import Secret

_TASK: Final = "chaosrun.fire"
_QUEUE: Final = "chaosrun"
_RETRY: Final = 1.0
_POLL: Final = 2.0
_SCHEMA_LOCK: Final = 0x6368616F73_01
_DEFAULTS: Final = {
    "application_name": "chaosrun-queue",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c search_path=chaosrun -c statement_timeout=8s -c lock_timeout=5s",
}


class SharedQueue:
    """A queue that the replicas on many machines share."""

    def __init__(self, address: Secret) -> None:
        self._address = address
        self._offering = procrastinate.App(
            connector=procrastinate.SyncPsycopgConnector(
                conninfo=address.reveal(), min_size=0, max_size=1, timeout=5.0
            )
        )
        self._opened = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    @classmethod
    def open(cls, url: str) -> Self:
        """The queue beside the journal at that URL, its tables made as needed."""
        try:
            parameters: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url)}
        except psycopg.Error:  # whose text may quote a part of the password
            raise Rejected("the journal's URL is not one that PostgreSQL knows") from None
        queue = cls(Secret(make_conninfo(**parameters)))
        try:
            queue._make_tables()
        except (psycopg.Error, exceptions.ConnectorException):
            raise JournalUnavailable(
                "the queue's tables cannot be made",
                hint="grant all on schema chaosrun, and look at the server's log",
            ) from None
        return queue

    def offer(self, fires: Sequence[FireRow]) -> None:
        with self._lock:
            try:
                if not self._opened:
                    self._offering.open()
                    self._opened = True
                for fire in fires:
                    self._defer(fire)
            except (exceptions.ConnectorException, psycopg.Error) as error:
                logs.warn("queue unavailable", reason=type(error).__name__)

    def serve(self, work: Work, most: int) -> None:
        with ThreadPoolExecutor(most, thread_name_prefix="fire") as threads:
            asyncio.run(self._serve(work, most, threads))

    def stop(self) -> None:
        self._stopping.set()
        loop, serving = self._loop, self._serving
        if loop is not None and serving is not None:
            loop.call_soon_threadsafe(serving.cancel)

    def close(self) -> None:
        with self._lock:
            if self._opened:
                self._offering.close()
                self._opened = False

    def _defer(self, fire: FireRow) -> None:
        job = self._offering.configure_task(
            _TASK, queue=_QUEUE, queueing_lock=f"{fire.schedule}/{fire.due}"
        )
        try:
            job.defer(schedule=fire.schedule, due=fire.due)
        except exceptions.AlreadyEnqueued:
            return

    async def _serve(self, work: Work, most: int, threads: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self._serving = asyncio.create_task(self._work(work, most, threads))
            if self._stopping.is_set():  # it may have been set before there was a task
                self._serving.cancel()
            try:
                await self._serving
            except asyncio.CancelledError:
                return
            except (exceptions.ConnectorException, psycopg.Error, OSError) as error:
                logs.warn("queue unavailable", reason=type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _work(self, work: Work, most: int, threads: ThreadPoolExecutor) -> None:
        app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=self._address.reveal(), min_size=1, max_size=3, timeout=5.0
            )
        )

        @app.task(name=_TASK, queue=_QUEUE)
        async def fire(schedule: str, due: int) -> None:
            await asyncio.get_running_loop().run_in_executor(threads, work, schedule, due)

        async with app.open_async():
            await self._forget_stalled(app)
            await app.run_worker_async(
                queues=[_QUEUE], concurrency=most, install_signal_handlers=False,
                delete_jobs="always", fetch_job_polling_interval=_POLL,
            )  # fmt: skip

    async def _forget_stalled(self, app: procrastinate.App) -> None:
        """Delete the jobs of workers that died: their fires are found by the sweep."""
        for job in await app.job_manager.get_stalled_jobs(queue=_QUEUE):
            await app.job_manager.finish_job(
                job, status=procrastinate.jobs.Status.FAILED, delete_job=True
            )

    def _make_tables(self) -> None:
        connection: psycopg.Connection[Any]
        with psycopg.connect(self._address.reveal()) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            there = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
            if there is None or there[0] is None:
                connection.execute(procrastinate.schema.SchemaManager.get_schema())
