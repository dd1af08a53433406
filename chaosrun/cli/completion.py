"""`chaosrun completion`: a script that teaches a shell to complete chaosrun's words."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console


@make.command(
    "completion",
    examples="""
    eval "$(chaosrun completion bash)"                                  in ~/.bashrc
    eval "$(chaosrun completion zsh)"                                   in ~/.zshrc
    chaosrun completion fish > ~/.config/fish/completions/chaosrun.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print a completion script: commands, options, faults, probes, run ids."""
    from click.shell_completion import BashComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click knows all three"
    root = context.find_root().command
    script = kind(root, {}, "chaosrun", "_CHAOSRUN_COMPLETE")
    # click's own check of the version runs bash, and warns where there is none
    source = BashComplete.source_template if shell == "bash" else script.source_template
    context.find_object(Console).print(source % script.source_vars())  # type: ignore[union-attr]
    return 0
