"""From a file to a frozen schedule with its question, or to everything that is wrong with them.

Law (L4): an iCalendar that cannot be read makes the schedule wrong: it might hold a freeze.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path as File

import msgspec

from chaosrun.calendars import Calendar
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.loading import loader, shape
from chaosrun.loading.loader import SUFFIXES, LoadedSchedule
from chaosrun.loading.parameters import Given
from chaosrun.loading.problems import Findings, Invalid, Problem
from chaosrun.loading.source import Path
from chaosrun.loading.suites import load_question
from chaosrun.schedules.fires import Timetable
from chaosrun.schedules.spec import Schedule
from chaosrun.units import JSON

_LARGEST = 4 * 1024 * 1024
_SAYS_SO = re.compile(rb"""(^|[{,\s"'])kind["']?\s*:\s*["']?Schedule["']?\s*([,}#\r\n]|$)""")
_SOME_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


def load_schedule(
    path: File | str, *, question: bool = True, secrets_elsewhere: bool = False
) -> LoadedSchedule:
    """The schedule in a file; with its question, unless that is not asked for. Raises Invalid.

    `secrets_elsewhere` when another process will run it, which may have secrets that this has not.
    """
    source, findings, data = loader.open_document(File(path))
    findings.secrets_elsewhere = secrets_elsewhere
    return load(data, Given(), source.file, findings, question=question)


def schedule_files(paths: Sequence[str]) -> list[File]:
    """The files that are named, and those of kind Schedule in the directories that are."""
    named = {File(path) for path in paths}
    return [file for file in candidates(paths) if file in named or is_schedule(file)]


def candidates(paths: Sequence[str]) -> list[File]:
    """The files that are named, and those in the directories that could hold a schedule.

    What is hidden is left alone: Kubernetes keeps each ConfigMap's files in such a directory too.
    """
    found = []
    for path in paths:
        place = File(path)
        if not place.is_dir():
            found.append(place)
            continue
        for file in sorted(place.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(place).parts)
            if file.suffix in SUFFIXES and not hidden and file.is_file():
                found.append(file)
    return found


def is_schedule(file: File) -> bool:
    """Whether a file says that it is a schedule; read no further than that takes."""
    try:
        content = file.read_bytes()[:_LARGEST]
    except OSError:
        return False
    return _SAYS_SO.search(content) is not None


def load(
    data: dict[str, JSON], given: Given, file: str, findings: Findings, *, question: bool = True
) -> LoadedSchedule:
    """The schedule that plain data says. Raises Invalid with every problem."""
    if data.get("kind") != "Schedule":
        kind = data.get("kind")
        findings.value(("kind",), f"this is {f'of kind {kind}' if kind else 'not a schedule'}",
                       "a schedule has `kind: Schedule`", code="unknown-kind")  # fmt: skip
        raise findings.invalid()
    if given.sets or given.values:
        message = "a schedule takes no parameters: it gives them, under `spec.parameters`"
        raise Invalid([Problem(file="--set", message=message)])
    schedule = None
    try:
        schedule = from_plain(data, Schedule)
    except msgspec.ValidationError:
        shape.check(data, Schedule, (), findings)
    spec = data.get("spec")
    asked = None
    if isinstance(spec, dict) and question:
        for key in ("experiment", "suite"):
            asked = asked or load_question(spec, key, ("spec",), file, findings)
    texts = _icalendars(schedule, file, findings) if schedule is not None else ()
    findings.raise_any()
    if schedule is None:
        raise Invalid([Problem(file=file, message="is not a schedule")])
    if schedule.spec.random is None and schedule.spec.open_hours() is not None:
        _see_it_fire(Timetable(schedule, texts), findings)
        findings.raise_any()
    return LoadedSchedule(schedule=schedule, icalendars=texts, question=asked, source=file)


def _see_it_fire(table: Timetable, findings: Findings) -> None:
    """Report a window in which none of a year's times is: nobody would notice until they look."""
    if table.ever_fires(_SOME_INSTANT):
        return
    start = table.begins or _SOME_INSTANT
    fire = next(table.candidates(start, start + timedelta(days=366)), None)
    if fire is None:
        return  # it expires before its first time, and `schedule list` says so
    local = fire.at.astimezone(table.zone)
    key = "window" if table.schedule.spec.window else "calendar"
    findings.value(
        ("spec", key),
        f"none of its times is open: {local:%a %H:%M}, for one, is closed:"
        f" {table.closed_by(fire.at)}",
        "move the times into the open hours, or the hours around the times",
        code="never-fires",
    )


def timetable(loaded: LoadedSchedule) -> Timetable:
    """A loaded schedule, ready to say when it fires."""
    return Timetable(loaded.schedule, loaded.icalendars)


def _icalendars(schedule: Schedule, file: str, findings: Findings) -> tuple[str, ...]:
    texts = []
    files = schedule.spec.calendar.files if schedule.spec.calendar else ()
    for index, name in enumerate(files):
        path: Path = ("spec", "calendar", "files", index)
        try:
            content = (File(file).parent / name).read_bytes()
            text = content.decode("utf-8-sig")
            if len(content) > _LARGEST:
                raise Refused(f"it has more than {_LARGEST} bytes")
            zone = schedule.spec.timezone
            Calendar(timezone=zone, icalendars=(text,)).opening(_SOME_INSTANT)
        except OSError as error:
            findings.value(path, f"cannot read the iCalendar {name}: {error.strerror}")
        except UnicodeDecodeError:
            findings.value(path, f"the iCalendar {name} is not UTF-8")
        except Refused as error:
            findings.value(path, f"the iCalendar {name} cannot be read: {error}", error.hint)
        else:
            texts.append(text)
    return tuple(texts)
