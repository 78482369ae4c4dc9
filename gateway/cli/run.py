"""`gateway run`: the edge gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import config_option

# More would only wait for each other.
MOST = 256


class WorkerCount(click.ParamType[int]):
    """A number of at least 1, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if value == "auto":
            return cores()
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= MOST:
            self.fail(f"{value!r} is neither a number from 1 to {MOST} nor auto", parameter, context)
        return number


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    "--bind",
    metavar="HOST:PORT",
    help="Listen here, or on unix:PATH, in place of the listeners, or of the one frontend's bind.",
)
@click.option("--admin", metavar="HOST:PORT", help="The admin listener, or unix:PATH, in place of the configuration's.")
@click.option(
    "--workers",
    type=WorkerCount(),
    default="1",
    show_default=True,
    help="Worker processes: a number, or auto for as many as there are cores.",
)
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

    raise SystemExit(run(config, bind, admin, frontends, workers, watch=watch, reload=reload))
