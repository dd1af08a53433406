"""A real PostgreSQL server for tests, started once a session: loopback, a password, fsync on.

Take it into a conftest with `from tests.postgres import postgres_server, postgres_url`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "not-for-logs"
_MISSING = "PostgreSQL's server programs are missing: apt-get install postgresql"
_EMPTY = """
    SET client_min_messages = error;
    DROP SCHEMA IF EXISTS chaosrun CASCADE;
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public
"""


class PostgresServer:
    """A server with its data in a directory; it can be killed, and started again."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs, self._directory = programs, directory
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._free: list[str] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def create(self) -> None:
        """Make the data directory, owned by whom the server runs as: it refuses root."""
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if (user := _server_user()) is not None:
            for path in (self._directory, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self._directory / "data"), "-U", "chaosrun", "-N", "-E",
                  "UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}")  # fmt: skip

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        deadline = time.monotonic() + 30
        while not self._ready():
            if self._process is None or self._process.poll() is not None:
                # After a kill -9 the old server's children take a moment to notice, and until
                # then a new server refuses to start.
                self._process = self._spawn()
            if time.monotonic() > deadline:
                log = (self._directory / "log").read_text()[-2000:]
                raise AssertionError(f"PostgreSQL does not start:\n{log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`: no shutdown, no checkpoint."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it at once, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=20)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database. It is emptied afterwards, whoever still uses it."""
        import psycopg

        # Making one is cheap, having hundreds is not: after a kill -9 the server syncs them all.
        if not self._free:
            self._made += 1
            self._free.append(f"test{self._made}")
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE test{self._made}")
        name = self._free.pop()
        yield self.url(name)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} RESET ALL".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(_EMPTY)
        self._free.append(name)

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://chaosrun:{password}@127.0.0.1:{self.port}/{database}"

    def _ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        user = _server_user()
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self._directory / "data", "-p",
                    str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "shared_buffers=16MB",
                    "-c", "fsync=on", "-c", "max_connections=60",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self._directory, user=user and user.pw_uid, group=user and user.pw_gid,
                extra_groups=None if user is None else [],
            )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        user = _server_user()
        subprocess.run(
            [self._programs / program, *arguments], check=True, timeout=120, cwd=self._directory,
            stdout=subprocess.DEVNULL, user=user and user.pw_uid, group=user and user.pw_gid,
            extra_groups=None if user is None else [],
        )  # fmt: skip


def _server_user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def server_programs() -> Path | None:
    """Where the newest installed `initdb` and `postgres` are."""
    debian = Path("/usr/lib/postgresql")
    versions = [p for p in debian.glob("*/bin") if (p / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name.split(".")[0]))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; each test takes a `database()` of its own."""
    programs = server_programs()
    if programs is None:
        pytest.skip(_MISSING)
    directory = Path(tempfile.mkdtemp(prefix="chaosrun-postgres-"))
    server = PostgresServer(programs, directory)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_server.database() as url:
        yield url
