"""Commands of the command line, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli.main import main


def command(*words: object, env: dict[str, str | None] | None = None, color: bool = False) -> Result:
    """Run `gateway WORDS`. What it raises beside SystemExit is raised here."""
    settings = {"NO_COLOR": None, "GATEWAY_ADMIN_TOKEN": None, **(env or {})}
    return CliRunner().invoke(main, [str(word) for word in words], env=settings, color=color, catch_exceptions=False)


def json_of(*words: object) -> Any:
    """The JSON that a command that succeeds prints."""
    result = command(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def config(folder: Path, text: str) -> Path:
    """`text` as folder/routes.yaml."""
    path = folder / "routes.yaml"
    path.write_text(text)
    return path
