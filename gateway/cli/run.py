"""`gateway run`: the edge gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option


@click.command()
@config_option
@click.option("--bind", metavar="HOST:PORT", help="Listen here, in place of the configuration's listeners.")
@click.option("--admin", metavar="HOST:PORT", help="The admin listener, in place of the configuration's.")
@click.option("--workers", type=click.IntRange(1, 1), default=1, show_default=True, help="Worker processes.")
def command(config: Path, bind: str | None, admin: str | None, workers: int) -> None:
    """Start the gateway on a configuration.

    SIGHUP reads it again and opens log files anew; SIGTERM and Ctrl-C stop after what is under way. Exits with 2 when
    the configuration is wrong.
    """
    from gateway.process.server import run

    raise SystemExit(run(config, bind, admin))
