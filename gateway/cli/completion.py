"""`gateway completion`: the script that a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script: `eval "$(gateway completion bash)"`."""
    from gateway.cli.main import main

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "gateway", "_GATEWAY_COMPLETE").source())
