"""`gateway schema`, and the copy of it in the repository."""

import json
from pathlib import Path

from gateway.library import BUILT_IN
from tests.support.commands import command

ROOT = Path(__file__).parents[2]


def test_the_copy_is_current() -> None:
    assert command("schema").output == (ROOT / "routes.schema.json").read_text(), "run make schema"


def test_it_knows_the_options_of_the_built_ins() -> None:
    schema = json.loads(command("schema").output)
    entry = schema["$defs"]["PluginUse"]["anyOf"]
    assert entry[0]["enum"] == sorted(BUILT_IN)
    assert set(entry[2]["properties"]) == set(BUILT_IN)
