"""What a daemon says: one line for each thing that happened, as JSON or as text.

Law (L9): nothing is said that was not scrubbed for the journal, or is one of our own words.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

import msgspec

from chaosrun import events as e
from chaosrun.events import AnyEvent

_log = logging.getLogger("chaosrun")
_QUIET = ("procrastinate", "uvicorn", "psycopg", "asyncio", "apscheduler")
_TOLD = ("step", "lease", "verdict", "reason", "error", "gate", "open", "by", "detail")


def configure(kind: str, stream: TextIO | None = None) -> None:
    """Say everything on that stream (standard error), as `json` or as `text`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if kind == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def say(text: str, **fields: Any) -> None:
    """Something happened."""
    _log.info(text, extra={"fields": fields})


def warn(text: str, **fields: Any) -> None:
    """Something happened that a person may want to look at."""
    _log.warning(text, extra={"fields": fields})


def wrong(text: str, **fields: Any) -> None:
    """Something is wrong."""
    _log.error(text, extra={"fields": fields})


def observe(run: str, _sequence: int, event: AnyEvent) -> None:
    """Tell of a run's event; single samples are in the journal only."""
    if isinstance(event, e.Sampled | e.Planned):
        return
    kind = str(type(event).__struct_config__.tag)
    fields = {name: getattr(event, name) for name in _TOLD if getattr(event, name, "") != ""}
    if isinstance(event, e.Started):
        fields["experiment"] = event.experiment.metadata.name
        fields |= {"schedule": event.schedule} if event.schedule else {}
    loud = isinstance(event, e.Finished) and event.verdict in (e.Verdict.STRANDED, e.Verdict.ERROR)
    (wrong if loud else say)(kind, run=run, **fields)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if not record.name.startswith("chaosrun"):
        fields["by"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        fields["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
    return fields


def _stamp(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03}Z"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        line = {"at": _stamp(record), "level": level, "event": record.getMessage()}
        return msgspec.json.encode({**line, **_fields(record)}, enc_hook=str).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = " ".join(f"{name}={_one(value)}" for name, value in _fields(record).items())
        level = "" if record.levelno <= logging.INFO else f" {record.levelname.lower()}:"
        return f"{_stamp(record)}{level} {record.getMessage()}{'  ' if said else ''}{said}"


def _one(value: Any) -> str:
    text = str(value)
    plain = text.isprintable() and text and not any(c in ' "=' for c in text)
    return text if plain else msgspec.json.encode(text).decode()
