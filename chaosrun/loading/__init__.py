"""The language: a file becomes a typed, frozen experiment, or all that is wrong with it.

source.py      bytes to text, and the place of everything in it
yaml_tree.py   text to nodes, safely; json_tree.py the same for JSON
parameters.py  values for parameters; interpolation.py puts them in
shape.py       every problem of data that is not of a type
checks.py      names, order, amounts; naming.py: what is named, arguments, expectations
loader.py      the way through all of it; rendering.py shows the problems
suites.py      the same for suites; schedules.py for schedules
"""

from __future__ import annotations

from chaosrun.loading.loader import (
    AnyLoaded,
    Checked,
    Loaded,
    LoadedEntry,
    LoadedSchedule,
    LoadedSuite,
    check_files,
    digest_of,
    load_any,
    load_file,
    name_of,
)
from chaosrun.loading.problems import Invalid, Problem

__all__ = [
    "AnyLoaded", "Checked", "Invalid", "Loaded", "LoadedEntry", "LoadedSchedule", "LoadedSuite",
    "Problem", "check_files", "digest_of", "load_any", "load_file", "name_of",
]  # fmt: skip
