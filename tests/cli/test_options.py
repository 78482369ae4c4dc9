"""Options that several commands share."""

import click
from click.testing import CliRunner

from gateway.cli.options import admin_option, config_option, format_option, is_named


@click.command()
@config_option
@admin_option
@format_option
@click.pass_context
def show(context: click.Context, config: str, admin: str | None, output: str) -> None:
    click.echo(f"{config} {is_named(context, 'config')} {admin} {output}")


def test_defaults() -> None:
    assert CliRunner().invoke(show, []).output == "routes.yaml False None text\n"


def test_what_is_given() -> None:
    words = ["-c", "routes.yaml", "--admin", "a:1", "--format", "json"]
    assert CliRunner().invoke(show, words).output == "routes.yaml True a:1 json\n"
    assert CliRunner().invoke(show, ["--format", "xml"]).exit_code == 2
