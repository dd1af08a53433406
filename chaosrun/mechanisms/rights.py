"""Which Linux capabilities this process has (capabilities(7)).

Law: a right that is missing is said before anything is done, by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_BITS = {
    "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24, "CAP_SYS_TIME": 25,
}  # fmt: skip


def lacking(names: Iterable[str]) -> list[str]:
    """Those of the capabilities that this process does not have."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux: it has none
        return sorted(names)
    line = next(each for each in status.splitlines() if each.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return sorted(name for name in names if not mask >> _BITS[name] & 1)
