"""A configuration compiled where no gateway runs: plugins are constructed and never started."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from gateway.cli.output import counted, print_problem
from gateway.compile import Generation, compile_table, config_folder
from gateway.config.load import Loaded, load
from gateway.config.problems import Problem
from gateway.control import UpstreamCaller
from gateway.library import Library
from gateway.plugin import Env
from gateway.process.shared_state import SharedState
from gateway.proxy import Proxy
from gateway.table import RouteTable
from gateway.telemetry.metrics import Metrics


class SystemTime:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a file. `generation` is None when any problem is an error."""

    loaded: Loaded
    generation: Generation | None
    problems: tuple[Problem, ...]
    library: Library


def compile_offline(path: Path, alone: Collection[str] = ()) -> Compiled:
    """Read and compile, with names in `alone` these frontends only; no socket is opened and no task made."""
    loaded = load(path, os.environ)
    metrics = Metrics()
    clock = SystemTime()
    proxy = Proxy(RouteTable.empty())
    shared = SharedState(clock, metrics)
    about_state = shared.adopt(loaded)
    env = Env(
        clock,
        metrics,
        logging.getLogger("gateway.check"),
        shared.store,
        _no_session,
        lambda name: UpstreamCaller(proxy, name),
        folder=config_folder(path),
    )
    library = Library(config_folder(path))
    generation, problems = compile_table(loaded, env, metrics, library, alone=alone)
    if about_state:
        generation, problems = None, (*problems, *about_state)
    return Compiled(loaded, generation, problems, library)


def compiled_or_exit(path: Path, alone: Collection[str] = ()) -> tuple[Generation, Loaded]:
    """For commands that need a right configuration: what is wrong is printed, and the exit code is 1."""
    compiled = compile_offline(path, alone)
    if compiled.generation is not None:
        return compiled.generation, compiled.loaded
    errors = [problem for problem in compiled.problems if problem.severity == "error"]
    for problem in errors:
        print_problem(compiled.loaded.render(problem), problem.severity, err=True)
    click.echo(f"{path}: {counted(len(errors), 'error')}", err=True)
    raise SystemExit(1)


def _no_session() -> NoReturn:
    raise RuntimeError("a plugin's constructor calls nobody: use env.http in start or later")
