"""`gateway rollback`: a running gateway goes back to a version of its configuration."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import admin_option, config_option, is_named


@click.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@config_option
@admin_option
@click.pass_context
def command(context: click.Context, version: int | None, config: Path, admin: str | None) -> None:
    """Bring back VERSION of the configuration, by default the one before; `GET /api/versions` lists them.

    It goes into service as a new version. The files on the disk stay as they are. The token is GATEWAY_ADMIN_TOKEN,
    else the configuration's. Exits with 1 when it is refused, 3 when nobody answers.
    """
    from gateway.cli.admin_client import find_admin
    from gateway.cli.output import print_problem

    client = find_admin(admin, config, is_named(context, "config"))
    answer = client.ask("POST", "/api/rollback", {"version": version} if version is not None else {})
    for problem in answer.data.get("problems", []) if isinstance(answer.data, dict) else []:
        print_problem(problem["text"], problem["severity"], err=not answer.accepted)
    if not answer.accepted:
        client.refused(answer)
    data = answer.data
    origin = f"with the files of version {data['restored']}"
    click.echo(f"configuration {data['version']} ({data['digest']}) is in service, {origin}")
    click.echo("The files on the disk are as they were: the next reload reads those, so mend them first.", err=True)
