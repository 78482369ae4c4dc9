"""`gateway routes`: the routes of a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option, format_option


@click.command()
@config_option
@format_option
def command(config: Path, output: str) -> None:
    """The routes of a configuration, in file order; those of frontends, as FRONTEND/ROUTE, come last."""
    from gateway.admin.views import route_row
    from gateway.cli.offline import compiled_or_exit
    from gateway.cli.output import print_json, print_table
    from gateway.config.dump import mask_data
    from gateway.exchange import join_route_id

    generation, loaded = compiled_or_exit(config)
    rows = [
        {**route_row(route), "position": str(loaded.position((*loaded.path_of(route.frontend), "routes", route.order)))}
        for route in generation.routes()
    ]
    rows = mask_data(rows, generation.secrets)
    if output == "json":
        print_json(rows)
        return
    table = [
        (
            join_route_id(row["frontend"] or "", row["name"]),
            row["host"] or "*",
            row["path"],
            row["methods"] or "*",
            row["conditions"],
            row["action"],
        )
        for row in rows
    ]
    print_table(("ROUTE", "HOST", "PATH", "METHODS", "CONDITIONS", "ACTION"), table)
