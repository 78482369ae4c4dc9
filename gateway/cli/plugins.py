"""`gateway plugins`: the plugins that a configuration can name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, format_option

if TYPE_CHECKING:
    from gateway.library import Found, Library


@click.command()
@config_option
@format_option
def command(config: Path, output: str) -> None:
    """The plugins that a configuration can name: built in, from packages, and in plugins/ beside it."""
    from gateway.cli.output import print_json, print_table
    from gateway.compile import config_folder
    from gateway.library import Library

    library = Library(config_folder(config))
    rows = [_row(library, found) for found in library.list()]
    if output == "json":
        print_json(rows)
        return
    table = [(row["name"], row["source"], row["phases"], row["error"] or row["about"]) for row in rows]
    print_table(("PLUGIN", "SOURCE", "PHASES", "ABOUT"), table)


def _row(library: Library, found: Found) -> dict[str, Any]:
    from gateway.dry_run import phases_of
    from gateway.errors import ConfigError

    row: dict[str, Any] = {"name": found.name, "source": found.source, "place": found.place}
    try:
        plugin = library.find(found.name)
    except ConfigError as error:
        return {**row, "phases": [], "about": "", "error": str(error)}
    # The file says what the plugin is for, the class how it does it.
    module = inspect.getmodule(plugin)
    about = inspect.getdoc(module) if module is not None else None
    about = about or inspect.cleandoc(plugin.__doc__ or "")
    return {**row, "phases": list(phases_of(plugin)), "about": about.partition("\n")[0], "error": None}
