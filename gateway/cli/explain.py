"""`gateway explain`: which route takes a request, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import config_option, format_option


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be repeated.")
@click.option("--frontend", default="", metavar="NAME", help="As if it came to the listener of this frontend.")
@click.option("--all", "others", is_flag=True, help="Also the routes that do not fit, and why not.")
@config_option
@format_option
def command(
    method: str, url: str, headers: tuple[str, ...], frontend: str, others: bool, config: Path, output: str
) -> None:
    """Which route takes a request, and why: METHOD URL, such as GET http://localhost:8080/api/items/42.

    Nothing is sent. Exits with 1 when no route takes it.
    """
    from gateway.cli.offline import compiled_or_exit
    from gateway.cli.output import print_json
    from gateway.dry_run import dry_run, make_request

    pairs = [_pair(header) for header in headers]
    generation, loaded = compiled_or_exit(config)
    try:
        request = make_request(method, url, pairs, generation.table.identity_headers)
        data = dry_run(generation, loaded, request, others, frontend).to_json()
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    if output == "json":
        print_json(data)
    else:
        for line in lines(data):
            click.echo(line)
    raise SystemExit(0 if data["route"] is not None else 1)


def _pair(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        raise click.BadParameter(f"{header!r} is not a header; write 'NAME: VALUE'", param_hint="-H")
    return name.strip(), value.strip()


def lines(data: dict[str, Any]) -> Iterator[str]:
    """The explanation as text, line by line."""
    request = data["request"]
    query = f"?{request['query']}" if request["query"] else ""
    yield click.style(f"{request['method']} {request['host']}{request['path']}{query}", bold=True)
    if data["frontends"]:
        yield from ("", "Frontends, in the order in which they are asked:")
    for candidate in data["frontends"]:
        yield from _candidate(candidate["frontend"], candidate)
    if data["candidates"]:
        yield from ("", "Routes whose host and path fit, in the order in which they are asked:")
    for candidate in data["candidates"]:
        yield from _candidate(candidate["route"], candidate)
    if data["others"]:
        yield from ("", "Other routes:")
        width = max(len(other["route"]) for other in data["others"])
        yield from (f"  {other['route']:<{width}}  {other['why']}" for other in data["others"])
    yield ""
    yield from _result(data)


def _candidate(name: str, candidate: dict[str, Any]) -> Iterator[str]:
    colour = {"chosen": "green", "refused": "red"}.get(candidate["verdict"])
    why = f": {candidate['why']}" if candidate["verdict"] == "later" else ""
    yield f"  {click.style(name, bold=True)} {click.style(candidate['verdict'], fg=colour)}{why}"
    for check in candidate["checks"]:
        mark = click.style("yes", fg="green") if check["passed"] else click.style("no ", fg="red")
        yield f"    {mark}  {check['kind']:<8}{check['wanted']}  ({check['found']})"


def _parts(parts: list[dict[str, Any]]) -> Iterator[str]:
    shown = [(part["name"], f"{part['method']} {part['upstream']} {part['path']}") for part in parts]
    name = "parts     "
    for part, (label, asked) in zip(parts, shown, strict=True):
        notes = ["required"] if part["required"] else []
        notes += [f"after {' and '.join(part['needs'])}"] if part["needs"] else []
        notes += [f"for each of {part['foreach']}"] if part["foreach"] else []
        notes += [f"when {part['when']}"] if part["when"] else []
        wide = max(len(one) for one, _ in shown), max(len(one) for _, one in shown)
        yield f"{name}{label:<{wide[0]}}  {asked:<{wide[1]}}  {', '.join(notes)}".rstrip()
        name = " " * len(name)


def _result(data: dict[str, Any]) -> Iterator[str]:
    if data["frontend"]:
        whys = [one["why"] for one in data["frontends"] if one["verdict"] == "chosen"]
        yield f"frontend  {click.style(data['frontend'], fg='green')}  ({whys[0] if whys else 'its own listener'})"
    if data["route"] is None:
        yield f"answer    {click.style(str(data['status']), fg='red')}"
        yield f"why       {data['why']}"
        if data["allow"]:
            yield f"allow     {', '.join(data['allow'])}"
    else:
        yield f"route     {click.style(data['route'], fg='green')}  ({data['position']})"
        yield f"why       {data['why']}"
        yield f"action    {data['action']}"
        if data["status"] is not None:
            yield f"answer    {data['status']}{' ' + data['location'] if data['location'] else ''}"
    for target in data["targets"]:
        share = f" ({target['share']:.3g} of the requests)" if len(data["targets"]) > 1 else ""
        yield f"upstream  {target['upstream']}{share}"
        yield from (f"          {url}" for url in target["urls"])
        yield from (f"          {address} is drained" for address in target["drained"])
    yield from _parts(data["parts"])
    name = "plugins   "
    width = max((len(entry["name"]) for entry in data["plugins"]), default=0)
    for entry in data["plugins"]:
        reads = f"  reads the whole {entry['needs_body']} body" if entry["needs_body"] else ""
        yield f"{name}{entry['name']:<{width}}  {entry['position']}{reads}"
        name = " " * len(name)
    if not data["plugins"]:
        yield f"{name}none"
