"""`gateway restart`: a running gateway becomes the program that is installed now, and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import admin_option, config_option, is_named

if TYPE_CHECKING:
    from gateway.cli.admin_client import AdminClient

PATIENCE = 120.0
LOOKS = 0.2


@click.command()
@config_option
@admin_option
@click.pass_context
def command(context: click.Context, config: Path, admin: str | None) -> None:
    """Replace all workers of a running gateway, one after the other, without losing a request.

    They are those of the program that is installed by now, and it reads its configuration from the disk: also where the
    gateway listens may change. Nothing happens when that configuration is wrong. The token is GATEWAY_ADMIN_TOKEN, else
    the configuration's. Exits with 1 when it is refused, 3 when nobody answers.
    """
    from gateway.cli.admin_client import find_admin

    client = find_admin(admin, config, is_named(context, "config"))
    before = _workers(client)
    answer = client.ask("POST", "/api/restart")
    if not answer.accepted:
        client.refused(answer)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        after = _workers(client)
        if len(after) >= len(before) and not after & before:
            click.echo(f"restarted, workers: {', '.join(map(str, sorted(after)))}")
            return
        time.sleep(LOOKS)
    click.echo(f"not all workers were replaced within {PATIENCE:g} s; the gateway's log says why", err=True)
    raise SystemExit(1)


def _workers(client: AdminClient) -> set[int]:
    """The process ids of those that serve."""
    return {row["pid"] for row in client.get("/api/workers")["workers"]}
