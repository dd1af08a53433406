"""`chaosrun version`: versions of chaosrun, Python and what it builds on."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

_PARTS = ("msgspec", "PyYAML", "cel-expr-python", "click", "jsonschema", "requests", "rich",
          "Jinja2", "psycopg")  # fmt: skip


@make.command(
    "version",
    examples="""
    chaosrun version
    chaosrun version --output json
    chaosrun --version            only the version, at once
    """,
)
@make.output_option()
@click.pass_obj
def command(console: Console, output: str) -> int:
    """Print the versions of chaosrun, Python and the libraries it uses."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from chaosrun import __version__

    found = {"chaosrun": __version__, "python": platform.python_version()}
    found["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    for name in _PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if output == "json":
        console.json(found)
    else:
        console.table(list(found.items()))
    return 0
