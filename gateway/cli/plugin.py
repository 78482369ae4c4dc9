"""`gateway plugin new`: a plugin and its test, to begin with."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from gateway.cli.options import config_option

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

PLUGIN = '''"""Marks every answer with a header.

    - {name}: {{header: X-Served-By, value: "{name}"}}

Options that are left out have the defaults below.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.plugin import Exchange, Plugin, Reply, ResponseHead


class {cls}(Plugin):
    """Sets one header. A phase that is not defined here costs nothing."""

    @dataclass(frozen=True)
    class Options:
        header: str = "X-Served-By"
        value: str = "{name}"

    def on_request(self, exchange: Exchange) -> Reply | None:
        """After routing, before anything is sent. A Reply, such as Reply.text(503, "later"), answers now."""
        return None

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        """Before the head goes to the client."""
        head.headers.set(self.options.header, self.options.value)
'''

TEST = '''"""What {name} does, without sockets and without waiting."""

from pathlib import Path

from gateway.library import Library
from gateway.testing import make_exchange, make_plugin, run

{cls} = Library(Path(__file__).parents[1]).find("{name}")


def test_answers_are_marked() -> None:
    plugin = make_plugin({cls}, value="me")

    head = run(plugin, make_exchange("GET", "/"))

    assert head.status == 200
    assert head.headers.get("X-Served-By") == "me"
'''


@click.group()
def command() -> None:
    """Make a new plugin."""


@command.command()
@click.argument("name")
@config_option
def new(name: str, config: Path) -> None:
    """Write plugins/NAME.py and plugins/test_NAME.py beside the configuration. The test passes at once."""
    from gateway.compile import config_folder
    from gateway.library import Library, holds_built_ins

    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise click.ClickException(
            f"{name!r} is no name for a plugin; use lower case letters, digits and '_', as in stamp_version"
        )
    base = config_folder(config)
    folder = base / "plugins"
    if holds_built_ins(folder):
        raise click.ClickException(
            f"{folder} holds the built-in plugins; give -c a configuration in a folder of your own"
        )
    for found in Library(base).list():
        if found.name == name:
            raise click.ClickException(f"the name {name!r} is taken by {found.place} ({found.source})")
    files = {
        folder / f"{name}.py": PLUGIN,
        folder / f"test_{name}.py": TEST,
    }
    for path in files:
        if path.exists():
            raise click.ClickException(f"{path} is there already")
    folder.mkdir(parents=True, exist_ok=True)
    cls = "".join(part.capitalize() for part in name.split("_"))
    for path, text in files.items():
        path.write_text(text.format(name=name, cls=cls))
        click.echo(f"wrote {path}")
    click.echo(f"next: python -m pytest {folder / f'test_{name}.py'}; then '- {name}' under plugins: in {config}")
