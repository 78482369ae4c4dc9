"""The `gateway` command. It knows its commands by name and one line; their modules are imported when they run."""

from __future__ import annotations

import importlib
import os

import click

from gateway import __version__

COMMANDS = {
    "run": "Start the gateway.",
    "check": "Check a configuration: every error at once, and its route tests.",
    "explain": "Which route takes a request, and why.",
    "routes": "The routes of a configuration.",
    "plugins": "The plugins that a configuration can name.",
    "plugin": "Make a new plugin.",
    "schema": "The JSON Schema of routes.yaml, for editors.",
    "status": "How a running gateway is.",
    "doctor": "What of the machine and the services around stands in the way, and what to type.",
    "reload": "Have a running gateway read its configuration again.",
    "diff": "What would change in a running gateway if a file were loaded.",
    "restart": "Replace all workers of a running gateway, and lose nothing.",
    "rollback": "Bring back a version of a running gateway's configuration.",
    "demo": "Start the sample services and a gateway before them.",
    "completion": "Print the shell completion script.",
}


class Commands(click.Group):
    """The commands by name, without importing them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gateway.cli.{name}").command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """An API gateway and reverse proxy: routes.yaml in, live traffic out."""
    # https://no-color.org: present and not empty, whatever its value; else click colours terminals only.
    if os.environ.get("NO_COLOR"):
        context.color = False
