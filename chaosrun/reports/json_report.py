"""The summary as JSON, for programs: the form that schemas/result.schema.json describes."""

from __future__ import annotations

import msgspec

from chaosrun.codec import to_json
from chaosrun.reports.result import Summary


def json_report(told: Summary) -> str:
    """The whole summary, indented, ending in a line end."""
    return msgspec.json.format(to_json(told), indent=2).decode() + "\n"
