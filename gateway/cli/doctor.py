"""`gateway doctor`: what of the machine and the configuration stands in the way, and what to type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, format_option

if TYPE_CHECKING:
    from gateway.doctor.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@config_option
@format_option
def command(config: Path, output: str) -> None:
    """Check what a configuration needs: limits of the machine, libraries, clock, shared state, ports, files, upstreams.

    Each check that is not well says what comes of it, and what to type. Nothing is changed, and nothing is sent to
    upstreams but a connection. Exits with 1 when a check failed; warnings do not fail.
    """
    import logging
    import os

    from gateway.cli.admin_client import TOKEN_VARIABLE
    from gateway.cli.offline import SystemTime, compile_offline
    from gateway.compile import config_folder
    from gateway.doctor.examination import examine
    from gateway.doctor.services import check_configuration
    from gateway.telemetry.metrics import Metrics

    # What a store logs when it is not reached is a finding here, and not shown twice.
    logging.getLogger("gateway").addHandler(logging.NullHandler())
    compiled = compile_offline(config)
    errors = [str(problem) for problem in compiled.problems if problem.severity == "error"]
    own = check_configuration(str(config), errors, len(compiled.problems) - len(errors))
    token = os.environ.get(TOKEN_VARIABLE, "")
    facts, found = examine(
        compiled.loaded, compiled.generation, config_folder(config), os.environ, token, SystemTime(), Metrics()
    )
    findings = [own, *found]
    failed = sum(finding.level == "failed" for finding in findings)
    if output == "json":
        from dataclasses import asdict

        from gateway.cli.output import print_json

        warnings = sum(finding.level == "warning" for finding in findings)
        counts = {"failed": failed, "warnings": warnings, "surroundings": facts.surroundings}
        rows = [asdict(finding) for finding in findings]
        print_json({"file": str(config), "ok": not failed, **counts, "findings": rows})
    else:
        _print(findings)
    raise SystemExit(1 if failed else 0)


def _print(findings: list[Finding]) -> None:
    from gateway.cli.output import counted

    for finding in findings:
        level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
        click.echo(f"{level} {finding.check}: {finding.found}")
        if finding.means:
            click.echo(f"         {finding.means}")
        for line in finding.remedy:
            click.echo(f"           {line}")
    failed, warnings = (sum(one.level == level for one in findings) for level in ("failed", "warning"))
    words = [counted(failed, "check") + " failed" if failed else "no check failed"]
    words += [counted(warnings, "warning")] if warnings else []
    click.echo(click.style(", ".join(words), fg="red" if failed else "yellow" if warnings else "green"))
