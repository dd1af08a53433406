"""The README's tables, derived: `python -m tools.readme check|write`.

Law: what the README lists is what the code has. The commands come from the command line's own
sections, verdicts and exit codes from the run's, the benchmark table from the last measured
`bench/results.json`. What is between a pair of markers is written by this file only.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

from bench import results
from chaosrun import discovery
from chaosrun.cli.root import SECTIONS
from chaosrun.events import Verdict
from chaosrun.verdicts import MEANING, exit_code

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def commands() -> str:
    """A row for each command, under the titles that `chaosrun --help` has."""
    rows = ["| | command | |", "|---|---|---|"]
    for title, entries in SECTIONS.items():
        for name, summary in entries.items():
            rows.append(f"| {title} | `chaosrun {name}` | {summary} |")
            title = ""
    return "\n".join(rows)


def verdicts() -> str:
    """A row for each verdict, loudest first."""
    rows = ["| verdict | exit code | meaning |", "|---|---|---|"]
    for verdict in Verdict:
        codes = str(exit_code(verdict))
        if verdict is Verdict.CANCELLED:
            codes += f" / {exit_code(verdict, SIGTERM)}"
        rows.append(f"| `{verdict}` | {codes} | {MEANING[verdict]} |")
    return "\n".join(rows)


def providers() -> str:
    """A row for each provider: its faults, probes, gates and halt sources."""
    rows = ["| provider | faults | probes | gates | halt sources |", "|---|---|---|---|---|"]
    for provider in discovery.builtin_providers():
        tables = (provider.faults, provider.probes, provider.gates, provider.halts)
        if any(tables):
            cells = " | ".join(", ".join(f"`{name}`" for name in sorted(t)) for t in tables)
            rows.append(f"| {provider.name} | {cells} |")
    return "\n".join(rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "verdicts": verdicts,
    "providers": providers,
    "benchmarks": results.markdown,
}


def rendered(text: str) -> str:
    """The README with each block derived anew. Raises ValueError when a marker is missing."""
    for name, derive in BLOCKS.items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        block = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
        if len(block.findall(text)) != 1:
            raise ValueError(f"README.md needs one pair of {opening} and {closing}")
        new = f"{opening}\n{derive()}\n{closing}"
        text = block.sub(lambda _, new=new: new, text)  # type: ignore[misc]
    return text


def main(action: str) -> int:
    """Write the README anew, or say how it differs; 0 when it is as it should be."""
    present = README.read_text()
    wanted = rendered(present)
    if action == "write":
        README.write_text(wanted)
        return 0
    if present == wanted:
        return 0
    lines = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), "README.md", "the code", lineterm=""
    )
    print("\n".join(lines))
    print("README.md is not what the code says: `make readme` writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
