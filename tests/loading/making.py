"""A small valid experiment, and ways to load texts as a person would load files."""

from __future__ import annotations

from pathlib import Path

from chaosrun.loading import Invalid, Loaded, Problem, load_file

SMALL = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {name: small}
spec:
  title: A small experiment
  parameters: {}
  secrets: {}
  steadyState:
    - name: it answers
      probe: practice.look
      with: {url: "http://127.0.0.1/"}
      expect: status == 200
  method:
    - name: push
      fault: practice.push
      target: {name: thing}
      with: {force: 3}
      hold: 1s
"""


def changed(*changes: tuple[str, str]) -> str:
    """The small experiment with each first text replaced by the second."""
    text = SMALL
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    return text


def load(folder: Path, text: str | bytes, name: str = "file.yaml", **given: object) -> Loaded:
    """What a file with that text loads to."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_file(path, **given)  # type: ignore[arg-type]


def problems(
    folder: Path, text: str | bytes, name: str = "file.yaml", **given: object
) -> list[str]:
    """Each problem as `line:column message = suggestion`; none for a valid file."""
    try:
        load(folder, text, name, **given)
    except Invalid as error:
        return [in_one_line(problem) for problem in error.problems]
    return []


def in_one_line(problem: Problem) -> str:
    suggestion = f" = {problem.suggestion}" if problem.suggestion else ""
    return f"{problem.line}:{problem.column} {problem.message}{suggestion}"
