"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`-c FILE`, routes.yaml by default."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=Path("routes.yaml"),
        show_default=True,
        help="The configuration file.",
    )(command)


def is_named(context: click.Context, option: str) -> bool:
    """Did the user give the option, rather than leave its default?"""
    return context.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT


def admin_option(command: Command) -> Command:
    """`--admin HOST:PORT`, or `unix:PATH`, of a running gateway."""
    return click.option(
        "--admin",
        metavar="HOST:PORT",
        help="The admin listener, or unix:PATH; else the one in the configuration, else 127.0.0.1:9901.",
    )(command)


def format_option(command: Command) -> Command:
    """`--format text|json`."""
    return click.option(
        "--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output."
    )(command)
