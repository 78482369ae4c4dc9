"""`gateway run`: the edge gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option


@click.command()
@config_option
@click.option(
    "--frontend",
    "frontends",
    multiple=True,
    metavar="NAME",
    help="Only this frontend, on its own bind; may be repeated.",
)
@click.option(
    "--bind", metavar="HOST:PORT", help="Listen here, in place of the listeners, or of the one frontend's bind."
)
@click.option("--admin", metavar="HOST:PORT", help="The admin listener, in place of the configuration's.")
@click.option("--workers", type=click.IntRange(1, 1), default=1, show_default=True, help="Worker processes.")
@click.option("--watch", is_flag=True, help="Read the configuration again when its files have changed.")
@click.option("--reload", is_flag=True, help="As --watch, and for the code of plugins beside the configuration too.")
def command(
    config: Path,
    frontends: tuple[str, ...],
    bind: str | None,
    admin: str | None,
    workers: int,
    watch: bool,
    reload: bool,
) -> None:
    """Start the gateway on a configuration, or some of its frontends alone.

    SIGHUP reads it again and opens log files anew; SIGTERM and Ctrl-C stop after what is under way. Exits with 2 when
    the configuration is wrong.
    """
    from gateway.process.server import run

    raise SystemExit(run(config, bind, admin, frontends, watch=watch, reload=reload))
