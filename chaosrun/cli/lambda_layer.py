"""`chaosrun lambda-layer`: the layer that makes functions on Lambda slow or fail on request."""

from __future__ import annotations

from pathlib import Path

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

_NEXT = """
  aws lambda publish-layer-version --layer-name chaosrun --zip-file fileb://{path}
  aws lambda update-function-configuration --function-name NAME --layers ARN \\
    --environment 'Variables={{AWS_LAMBDA_EXEC_WRAPPER={wrapper}, ...}}'

`...` are the variables it has already, and ARN is what the first command printed. The layer does
nothing until aws.lambda-inject switches it on, and ends that by itself."""


@make.command("lambda-layer", examples="chaosrun lambda-layer layer.zip")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def command(console: Console, file: Path) -> int:
    """Write the layer that aws.lambda-inject needs in a function, and say what to do with it."""
    from chaosrun.errors import Rejected
    from chaosrun.providers.aws import layer

    content = layer.zipped()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Rejected(f"cannot write {file}: {error.strerror}") from None
    console.print(f"wrote {file} ({len(content)} bytes). To use it in a function of Python:")
    console.print(_NEXT.format(path=file, wrapper=layer.WRAPPER))
    return 0
