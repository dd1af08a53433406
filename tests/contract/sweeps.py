"""A sweep is nobody's fault: what it calls is no fault's to declare."""

from __future__ import annotations

import sys
from typing import Any


def in_a_sweep(find: Any) -> bool:
    """Whether this thread is in that function, by which a provider looks for marks."""
    frame = sys._getframe()
    while frame is not None and frame.f_code is not find.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None
