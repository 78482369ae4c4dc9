"""`gateway demo`: sample services and a gateway before them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click


@click.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="A configuration; else ./routes.yaml, else the sample's own.",
)
def command(config: Path | None) -> None:
    """Start four sample services and the gateway, and print what to try. Ctrl-C stops all."""
    from gateway.demo.runner import run_demo

    raise SystemExit(asyncio.run(run_demo(config, [])))
