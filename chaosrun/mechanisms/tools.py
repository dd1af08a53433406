"""Running the system's own programs for networks: `tc`, `nft`, `ip`.

Law: each call has a timeout. A program that is missing is refused with the package to install.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence

from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms.inside import Inside
from chaosrun.units import JSON

_WITHIN = 10.0
_PACKAGES = {"tc": "iproute2", "ip": "iproute2", "nft": "nftables"}
PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Where they are, whatever PATH says."""


class Failed(Refused):
    """A program said no; its words are the message."""

    code = "tool-failed"


def run(words: Sequence[str], *, stdin: str = "", inside: Inside | None = None) -> str:
    """What the program wrote, in this place or another network namespace.

    Raises Failed with what it said, Refused, and Indeterminate.
    """
    if inside is not None and not inside.is_here:
        words = ["nsenter", f"--net={inside.network_file()}", "--", *words]
    path = os.pathsep.join((os.environ.get("PATH", ""), PLACES))
    try:
        done = subprocess.run(
            list(words), input=stdin, capture_output=True, text=True, timeout=_WITHIN,
            env={"PATH": path, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        package = _PACKAGES.get(words[0], words[0])
        raise Refused(
            f"the program {words[0]} is not installed", hint=f"install the package {package}"
        ) from None
    except subprocess.TimeoutExpired:
        raise Indeterminate(f"{words[0]} did not end within {_WITHIN:g}s") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise Failed(f"{' '.join(words[:6])}: {said}"[:600])
    return done.stdout


def run_json(words: Sequence[str], *, inside: Inside | None = None) -> JSON:
    """What the program wrote, read as JSON; an empty list where it wrote nothing."""
    text = run(words, inside=inside).strip()
    return json.loads(text) if text else []
