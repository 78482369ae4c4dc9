"""`gateway status`: how a running gateway is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import admin_option, config_option, format_option, is_named


@click.command()
@config_option
@admin_option
@format_option
@click.pass_context
def command(context: click.Context, config: Path, admin: str | None, output: str) -> None:
    """How a running gateway is: what is in service, and what routes and upstreams have served.

    The token is GATEWAY_ADMIN_TOKEN, else the configuration's. Exits with 1 when it refuses, 3 when nobody answers.
    """
    from gateway.cli.admin_client import find_admin
    from gateway.cli.output import print_json

    client = find_admin(admin, config, is_named(context, "config"))
    ready = client.ask("GET", "/readyz").accepted
    about = client.get("/api/config")
    data = {
        "ready": ready,
        **{
            key: about[key] for key in ("version", "digest", "loaded_at", "gateway", "started_at", "files", "last_load")
        },
        "name": about["config"]["name"],
        "workers": about["workers"],
        "routes": client.get("/api/routes")["routes"],
        "upstreams": client.get("/api/upstreams")["upstreams"],
        "breakers": client.get("/api/breakers")["breakers"],
    }
    if output == "json":
        print_json(data)
    else:
        _print(data)


def _uptime(started_at: str) -> timedelta:
    """In whole seconds."""
    return timedelta(seconds=round((datetime.now(UTC) - datetime.fromisoformat(started_at)).total_seconds()))


def _print(data: dict[str, Any]) -> None:
    from gateway.cli.output import print_problem, print_table

    state = click.style("ready", fg="green") if data["ready"] else click.style("not ready", fg="red")
    click.echo(f"{data['name']} is {state}, aiogate {data['gateway']}, started {data['started_at']}")
    click.echo(f"configuration {data['version']} ({data['digest']}) of {data['files'][0]}, since {data['loaded_at']}")
    last = data["last_load"]
    if last["result"] != "success":
        click.echo(click.style(f"the reload at {last['at']} was refused:", fg="red"))
        for problem in last["problems"]:
            print_problem(problem["text"], problem["severity"])
    click.echo()
    print_table(
        ("WORKER", "PID", "UPTIME", "VERSION", "REQUESTS", "CONNECTIONS", "CPU S", "MEMORY MIB"),
        [
            [
                row["slot"],
                row["pid"],
                _uptime(row["started_at"]),
                *(row[key] for key in ("version", "active_requests", "connections", "cpu_seconds")),
                row["rss_bytes"] and row["rss_bytes"] / 2**20,
            ]
            for row in data["workers"]
        ],
    )
    click.echo()
    print_table(
        ("ROUTE", "CALLS", "ERRORS", "AVG MS", "MAX MS", "RATE 1M", "RATE 5M"),
        [
            [
                f"{row['frontend']}/{row['name']}" if row.get("frontend") else row["name"],
                *(row[key] for key in ("calls", "errors", "latency_avg_ms", "latency_max_ms", "rate_1m", "rate_5m")),
            ]
            for row in data["routes"]
        ],
    )
    click.echo()
    print_table(
        ("UPSTREAM", "ENDPOINT", "AVAILABILITY", "IN FLIGHT", "REQUESTS", "ERRORS", "ACTIVE", "IDLE", "QUEUED"),
        [
            [
                upstream["name"],
                *(one[key] for key in ("address", "availability", "in_flight", "requests", "errors")),
                *(one["pool"][key] for key in ("active", "idle", "queued")),
            ]
            for upstream in data["upstreams"]
            for one in upstream["endpoints"]
        ],
    )
    if data["breakers"]:
        click.echo()
        print_table(
            ("BREAKER", "STATE", "IN FLIGHT", "CALLS", "ERRORS"),
            [[row[key] for key in ("name", "state", "in_flight", "calls", "errors")] for row in data["breakers"]],
        )
