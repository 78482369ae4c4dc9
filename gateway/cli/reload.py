"""`gateway reload`: have a running gateway read its configuration again."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import admin_option, config_option, is_named


@click.command()
@config_option
@admin_option
@click.pass_context
def command(context: click.Context, config: Path, admin: str | None) -> None:
    """Have a running gateway read its configuration again. What it has stays in service when the new one is wrong.

    The token is GATEWAY_ADMIN_TOKEN, else the configuration's. Exits with 1 when it is refused, 3 when nobody answers.
    """
    from gateway.cli.admin_client import find_admin
    from gateway.cli.output import print_problem

    client = find_admin(admin, config, is_named(context, "config"))
    answer = client.ask("POST", "/api/reload")
    problems = answer.data.get("problems", []) if isinstance(answer.data, dict) else []
    for problem in problems:
        print_problem(problem["text"], problem["severity"], err=not answer.accepted)
    if not answer.accepted:
        client.refused(answer)
    click.echo(f"configuration {answer.data['version']} ({answer.data['digest']}) is in service")
