"""The clock of a driver: UTC seconds that never jump.

Law: within one process time only moves forward, at its own pace, whatever is done to the
wall clock. Suspended time counts where the kernel can tell (CLOCK_BOOTTIME).
"""

from __future__ import annotations

import time
from collections.abc import Callable

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_clock() -> Callable[[], float]:
    """A function that gives the present time: the wall clock of now, carried on steadily."""
    offset = time.time() - time.clock_gettime(_BOOT)
    return lambda: offset + time.clock_gettime(_BOOT)
