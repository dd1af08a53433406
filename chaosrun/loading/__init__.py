"""The language: a file becomes a typed, frozen experiment, or all that is wrong with it.

source.py      bytes to text, and the place of everything in it
yaml_tree.py   text to nodes, safely; json_tree.py the same for JSON
parameters.py  values for parameters; interpolation.py puts them in
shape.py       every problem of data that is not of a type
checks.py      names, order, amounts; naming.py: what is named, arguments, expectations
loader.py      the way through all of it; rendering.py shows the problems
"""

from __future__ import annotations

from chaosrun.loading.loader import Checked, Loaded, check_files, digest_of, load_file
from chaosrun.loading.problems import Invalid, Problem

__all__ = ["Checked", "Invalid", "Loaded", "Problem", "check_files", "digest_of", "load_file"]
