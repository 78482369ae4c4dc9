"""`gateway check`: every error at once, warnings, and the route tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, format_option

if TYPE_CHECKING:
    from gateway.config.problems import Problem


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@format_option
def command(config: Path, strict: bool, output: str) -> None:
    """Check a configuration: every error at once, and its route tests.

    Warns of routes that can never be chosen, upstreams that no route goes to, and includes that match nothing. Plugins
    are made but not started, and no socket is opened. Exits with 1 when there is an error.
    """
    from gateway.cli.offline import compile_offline
    from gateway.config.problems import to_json
    from gateway.route_tests import count_route_tests, run_route_tests

    compiled = compile_offline(config)
    generation = compiled.generation
    found = list(compiled.problems)
    tests = count_route_tests(generation) if generation is not None else 0
    if generation is not None:
        found += run_route_tests(generation, compiled.loaded)
    if strict:
        found = [replace(problem, severity="error") for problem in found]
    errors = sum(problem.severity == "error" for problem in found)
    if output == "json":
        from gateway.cli.output import print_json

        rows = [{**to_json(problem), "text": compiled.loaded.render(problem)} for problem in found]
        counts = {"errors": errors, "warnings": len(found) - errors, "tests": tests}
        print_json({"file": str(config), "ok": not errors, **counts, "problems": rows})
    else:
        _print(config, found, [compiled.loaded.render(problem) for problem in found], tests, generation is not None)
    raise SystemExit(1 if errors else 0)


def _print(config: Path, found: list[Problem], texts: list[str], tests: int, compiled: bool) -> None:
    from gateway.cli.output import counted, print_problem

    for problem, text in zip(found, texts, strict=True):
        print_problem(text, problem.severity)
    errors = sum(problem.severity == "error" for problem in found)
    warnings = len(found) - errors
    parts = [counted(errors, "error")] if errors else ["no errors"]
    parts += [counted(warnings, "warning")] if warnings else []
    if compiled:
        parts.append(f"{counted(tests, 'route test')} run")
    summary = f"{config}: {', '.join(parts)}"
    click.echo(click.style(summary, fg="red" if errors else "yellow" if warnings else "green"))
