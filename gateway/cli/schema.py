"""`gateway schema`: the JSON Schema of routes.yaml."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON Schema of routes.yaml, with the options of the built-in plugins.

    An editor finds it by the file's first line: # yaml-language-server: $schema=./routes.schema.json
    """
    from gateway.cli.output import print_json
    from gateway.config.schema import json_schema
    from gateway.library import BUILT_IN, Library

    library = Library()
    print_json(json_schema({name: library.find(name).Options for name in BUILT_IN}))
