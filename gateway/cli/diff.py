"""`gateway diff`: what would change in a running gateway if a file were loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import admin_option, config_option, format_option, is_named

if TYPE_CHECKING:
    from gateway.config.diff import Change, Detail
    from gateway.config.load import Loaded

SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
WIDEST = 120


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@admin_option
@format_option
@click.pass_context
def command(context: click.Context, file: Path, config: Path, admin: str | None, output: str) -> None:
    """What would change in a running gateway if FILE were loaded: routes, upstreams, plugins and settings.

    FILE is read here, with the variables of this shell. Secrets are masked on both sides, so that a change of a secret
    alone does not show. Exits with 1 when FILE is wrong or the gateway refuses, 3 when nobody answers.
    """
    from gateway.admin.views import effective
    from gateway.cli.admin_client import find_admin
    from gateway.cli.offline import compiled_or_exit
    from gateway.cli.output import print_json
    from gateway.config.diff import differences

    about = find_admin(admin, config, is_named(context, "config")).get("/api/config")
    served = [frontend["frontend"] for frontend in about["config"]["frontends"]]
    generation, loaded = compiled_or_exit(file, served if about["alone"] else ())
    changes = differences(about["config"], effective(generation))
    if output == "json":
        rows = [_row(change, loaded) for change in changes]
        running = {"version": about["version"], "digest": about["digest"]}
        print_json({"file": str(file), "in_service": running, "same": not changes, "changes": rows})
    else:
        _print(changes, loaded)
        counts = {kind: sum(change.kind == kind for change in changes) for kind in SIGNS}
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing would change"
        click.echo(f"{file} against configuration {about['version']} ({about['digest']}): {said}")


def _row(change: Change, loaded: Loaded) -> dict[str, Any]:
    row: dict[str, Any] = {"change": change.kind, "what": change.what, "name": change.name}
    if change.at is not None:
        row["position"] = str(loaded.position(change.at))
    row["details"] = [_detail_row(detail, loaded) for detail in change.details]
    return row


def _detail_row(detail: Detail, loaded: Loaded) -> dict[str, Any]:
    from gateway.config.diff import ABSENT

    values = {"before": detail.before, "after": detail.after}
    there = {key: value for key, value in values.items() if value is not ABSENT}
    return {"key": detail.key, **there, "position": str(loaded.position(detail.at))}


def _print(changes: list[Change], loaded: Loaded) -> None:
    for change in changes:
        sign, colour = SIGNS[change.kind]
        what = "" if change.what == "setting" else f"{change.what} "
        where = f" ({_line(loaded, change.at)})" if change.at is not None else ""
        if change.what == "setting" and change.details:
            where = f": {_values(change.details[0])}{where}"
        click.echo(click.style(f"{sign} {what}{change.name}", fg=colour) + where)
        for detail in change.details if change.what != "setting" else ():
            click.echo(f"    {detail.key}: {_values(detail)} ({_line(loaded, detail.at)})")


def _line(loaded: Loaded, at: tuple[str | int, ...]) -> str:
    position = loaded.position(at)
    return f"{position.file}:{position.line}"


def _values(detail: Detail) -> str:
    return f"{_text(detail.before)} -> {_text(detail.after)}"


def _text(value: Any) -> str:
    from gateway.config.diff import ABSENT

    if value is ABSENT:
        return "nothing"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
