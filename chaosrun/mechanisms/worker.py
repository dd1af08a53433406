"""Presses on one resource of a machine until it is killed, its parent is gone, or a deadline.

A program of its own with nothing but the standard library, so that it is small, starts quickly,
and says by its words what it is:

    python -S -I worker.py chaosrun-worker MARK DEADLINE KIND ARGUMENTS

KIND is a class below and ARGUMENTS are its fields as JSON. It prints `pressing` when it began, or
why not, and presses until then. Law (L3): it never outlives who started it. The kernel kills it
when its parent ends, its own deadline ends it too, and everything that it holds (memory, open
files, tasks, files that have no name any more) goes with it, so nothing is left to clean up. It
leaves the machine the room that it was told to leave, and gives back what it took when others
need it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

SIGN = "chaosrun-worker"
_LOOKS = 0.1
_ENDS_AT_ONCE = 0.1
_SLICE = 0.02
_CHUNK = 16 << 20
_BLOCK = 1 << 20
_PR_SET_PDEATHSIG = 1
_SPARE_FILES = 32
_LEAST_STACK = 64 << 10
_TASK_COSTS = 48 << 10
"""What a thread that does nothing takes from the kernel, rounded up: its stack and its record."""


class Refusal(Exception):
    """Why it cannot begin."""


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def available(of: str | int = "self") -> int:
    """How many bytes a process can still have without swapping, here and in its control group."""
    return min(_of_machine(), *(limit - used for limit, used in limits("memory", of)))


def _of_machine() -> int:
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024


def total(of: str | int = "self") -> int:
    """How many bytes of memory there are for a process, here or in its control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *(limit for limit, _ in limits("memory", of)))


_FILES = {
    "memory": (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ),
    "pids": (("pids.max", "pids.current"), ("pids.max", "pids.current")),
}


def limits(controller: str, of: str | int = "self") -> list[tuple[int, int]]:
    """Each limit on a process and what is used of it, of its control group and those above it."""
    found = [(1 << 62, 0)]
    with open(f"/proc/{of}/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for _, names, path in lines:
        version = 1 if names else 0  # the second version's line names no controller
        if names and controller not in names.split(","):
            continue
        root = f"/sys/fs/cgroup/{controller}" if names else "/sys/fs/cgroup"
        if not os.path.isdir(root + path):
            path = "/"  # the mount shows only what is below a container's own group
        while True:
            limit, used = (_number(f"{root}{path}/{name}") for name in _FILES[controller][version])
            if limit is not None and used is not None:
                found.append((limit, used))
            if path == "/":
                break
            path = os.path.dirname(path)
    return found


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):  # not there, or `max`
        return None


class Press:
    """One kind of pressure. `begin` returns once it is there; `look` is called ten times a second.

    Fields are what the harm gives; `by` is stress-ng's path, or empty for our own way.
    """

    by = ""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)
        self.children: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        raise NotImplementedError

    def look(self) -> None:
        """See that the machine keeps its room. Raises Refusal when pressing must end."""
        for child in self.children:
            if child.poll() is not None:
                raise Refusal(f"{child.args!r:.80} ended with {child.returncode}")

    def end(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()

    def stress(self, *words: object, directory: str = "") -> None:
        """Start stress-ng, which kills its own children when it is killed. Raises Refusal.

        It will not start where it cannot write, also when it has nothing to write.
        """
        place = directory or tempfile.gettempdir()
        child = subprocess.Popen(
            [self.by, "--quiet", "--oomable", "--temp-path", place, *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        self.children.append(child)
        try:
            raise Refusal(f"stress-ng ended at once, with exit code {child.wait(_ENDS_AT_ONCE)}")
        except subprocess.TimeoutExpired:
            return


class Cpu(Press):
    """`cores` processes that each want `load` (0 to 1) of a core."""

    cores: int
    load: float
    nice: int

    def begin(self) -> None:
        os.nice(self.nice)
        if self.by:
            self.stress("--cpu", self.cores, "--cpu-load", round(self.load * 100))
            return
        self._pids = [self._fork() for _ in range(self.cores)]

    def _fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            die_with_parent()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            self._burn()
        return pid

    def _burn(self) -> None:
        spent = time.process_time()
        began = time.monotonic()
        while True:
            until = time.monotonic() + _SLICE
            while time.monotonic() < until:
                pass
            used, passed = time.process_time() - spent, time.monotonic() - began
            time.sleep(min(1.0, max(0.0, used / self.load - passed)))
            if passed > 1:  # what was not had of the processor is not caught up on for ever
                spent, began = time.process_time(), time.monotonic()

    def end(self) -> None:
        super().end()
        for pid in getattr(self, "_pids", []):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Memory(Press):
    """Memory that is really there: `size` bytes, or until `share` of all is used.

    `floor` bytes stay available to others.
    """

    size: int
    share: float
    floor: int

    def begin(self) -> None:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # whoever must die of it, let it be us
        wanted = self.size or int(self.share * total()) - (total() - available())
        if wanted <= 0:
            raise Refusal(f"{self.share:.0%} of the memory is in use already")
        if available() - wanted < self.floor:
            room = available() - self.floor
            raise Refusal(
                f"{max(0, room) >> 20} MiB can be taken, as {self.floor >> 20} MiB stay available,"
                f" and {wanted >> 20} MiB are wanted"
            )
        if self.by:
            self.stress(
                *("--vm", 1, "--vm-bytes", f"{wanted}b", "--vm-keep", "--vm-populate"),
                *("--vm-hang", 0),
            )
            return
        self._chunks = list[mmap.mmap]()
        while wanted > 0:
            chunk = mmap.mmap(-1, min(_CHUNK, max(wanted, mmap.PAGESIZE)))
            for page in range(0, len(chunk), mmap.PAGESIZE):
                chunk[page] = 1
            self._chunks.append(chunk)
            wanted -= len(chunk)
            if available() < self.floor:
                raise Refusal("others took the memory meanwhile")

    def look(self) -> None:
        super().look()
        if available() < self.floor:
            raise Refusal("others need the memory")


class Io(Press):
    """`writers` that write, sync and read files of `size` bytes each in `directory`."""

    directory: str
    writers: int
    size: int

    def begin(self) -> None:
        if self.by:
            self.stress(
                *("--hdd", self.writers, "--hdd-bytes", f"{self.size}b"),
                *("--hdd-write-size", _BLOCK, "--hdd-opts", "wr-seq,rd-seq,fdatasync"),
                directory=self.directory,
            )
            return
        for _ in range(self.writers):
            file = _nameless(self.directory, "chaosrun-io")
            threading.Thread(target=self._press, args=(file,), daemon=True).start()

    def _press(self, file: int) -> None:
        block = os.urandom(_BLOCK)
        while True:
            for at in range(0, max(self.size, _BLOCK), _BLOCK):
                try:
                    os.pwrite(file, block, at)
                    os.fdatasync(file)
                except OSError:  # full: go on with what there is
                    time.sleep(_LOOKS)
                    break
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it comes off the disk
            for at in range(0, max(self.size, _BLOCK), _BLOCK):
                os.pread(file, _BLOCK, at)


class Disk(Press):
    """A file without a name that fills the file system of `directory`.

    `size` bytes, or until `share` of it is used; `floor` bytes stay free. Others that need
    more get it back from here.
    """

    directory: str
    name: str
    size: int
    share: float
    floor: int

    def begin(self) -> None:
        self._file = _nameless(self.directory, self.name)
        wanted = self._wanted()
        if wanted <= 0:
            raise Refusal(f"{self.directory} has no room to fill: {self._free() >> 20} MiB free")
        if self.size and wanted < self.size:
            raise Refusal(
                f"{self.directory} has room for {wanted >> 20} MiB, as {self.floor >> 20} MiB "
                f"stay free, and {self.size >> 20} MiB are wanted"
            )
        try:
            os.posix_fallocate(self._file, 0, wanted)
        except OSError as error:
            raise Refusal(f"cannot fill {self.directory}: {error.strerror}") from None

    def _space(self) -> tuple[int, int, int]:
        """All of it, what is free, and what of that is ours to take."""
        seen = os.fstatvfs(self._file)
        unit = seen.f_frsize
        return seen.f_blocks * unit, seen.f_bfree * unit, seen.f_bavail * unit

    def _free(self) -> int:
        return self._space()[2]

    def _wanted(self) -> int:
        whole, free, ours = self._space()
        wanted = self.size or int(self.share * whole) - (whole - free)
        return min(wanted, ours - self.floor)

    def look(self) -> None:
        missing = self.floor - self._free()
        if missing > 0:
            left = os.fstat(self._file).st_blocks * 512 - missing
            os.ftruncate(self._file, max(0, left))


class Files(Press):
    """`count` open files more, or until `share` of the machine's limit is open."""

    count: int
    share: float
    floor: int

    def begin(self) -> None:
        limit, used = int(_words("/proc/sys/fs/file-nr")[2]), int(_words("/proc/sys/fs/file-nr")[0])
        wanted = self.count or int(self.share * limit) - used
        if wanted <= 0:
            raise Refusal(f"{used} of {limit} files are open already")
        if used + wanted > limit - self.floor:
            raise Refusal(
                f"{used} of {limit} files are open, {self.floor} stay free: {wanted} are too many"
            )
        _room_for(wanted * 1024)
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        each = most - _SPARE_FILES
        while wanted > each:
            ours, theirs = os.pipe()
            if os.fork() == 0:
                die_with_parent()
                os.write(theirs, self._hold(each).encode() or b"\n")
                signal.pause()
            os.close(theirs)
            self._check(os.read(ours, 4096).decode().strip())
            os.close(ours)
            wanted -= each
        self._check(self._hold(wanted))

    def _hold(self, count: int) -> str:
        """Open that many; why it could not."""
        try:
            for _ in range(count):  # each an open of its own: copies of one count as one
                os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            return f"cannot open more files: {error.strerror}"
        return ""

    def _check(self, problem: str) -> None:
        if problem:
            raise Refusal(problem)


class Tasks(Press):
    """`count` threads that sleep, or until `share` of the limit on tasks is used.

    Threads count as processes do: against kernel.pid_max, threads-max and pids.max.
    """

    count: int
    share: float
    floor: int

    def begin(self) -> None:
        limit, used = self.limit()
        wanted = self.count or int(self.share * limit) - used
        if wanted <= 0:
            raise Refusal(f"{used} of {limit} tasks exist already")
        if used + wanted > limit - self.floor:
            raise Refusal(
                f"{used} of {limit} tasks exist and {self.floor} stay free: {wanted} are too many"
            )
        _room_for(wanted * _TASK_COSTS)
        threading.stack_size(_LEAST_STACK)
        self._lock = threading.Lock()
        self._lock.acquire()
        import _thread

        try:
            for _ in range(wanted):
                _thread.start_new_thread(self._lock.acquire, ())
        except RuntimeError:
            raise Refusal("the kernel gives no more threads") from None

    @staticmethod
    def limit(of: str | int = "self") -> tuple[int, int]:
        """The narrowest limit on tasks of a process, and how many count against it."""
        exist = int(_words("/proc/loadavg")[3].partition("/")[2])
        kernel = [int(_words(f"/proc/sys/kernel/{name}")[0]) for name in ("pid_max", "threads-max")]
        found = [*((each, exist) for each in kernel), *limits("pids", of)]
        return min(found, key=lambda each: each[0] - each[1])


def _words(path: str) -> list[str]:
    with open(path) as file:
        return file.read().split()


def _room_for(size: int) -> None:
    left = available() - size
    if left < total() // 10:
        raise Refusal(f"that would take {size >> 20} MiB of memory, and leave {left >> 20} MiB")


def _nameless(directory: str, name: str) -> int:
    """A new open file there whose name is gone again: when we end, so does it."""
    try:
        file, path = tempfile.mkstemp(prefix=f"{name}-", dir=directory)
    except OSError as error:
        raise Refusal(f"cannot write in {directory}: {error.strerror}") from None
    os.unlink(path)
    return file


KINDS = {"cpu": Cpu, "memory": Memory, "io": Io, "disk": Disk, "files": Files, "tasks": Tasks}


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def main(deadline: float, kind: str, arguments: str) -> int:
    """Press until the deadline by the wall clock or the boot clock, whichever is first."""
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    ends = time.clock_gettime(time.CLOCK_BOOTTIME) + deadline - time.time()
    press = KINDS[kind](**json.loads(arguments))
    try:
        press.begin()
        _say("pressing")
        while min(deadline - time.time(), ends - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0:
            press.look()
            time.sleep(_LOOKS)
    except Refusal as refusal:
        with contextlib.suppress(OSError):  # nobody listens any more
            _say(str(refusal))
        return 1
    finally:
        press.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[3]), sys.argv[4], sys.argv[5]))
