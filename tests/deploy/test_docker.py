"""The image: what its Dockerfile promises to whoever runs it."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gateway import __version__
from gateway.config.specs import AdminSpec, ConfigSpec

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.sub(r"\\\n", " ", (ROOT / "deploy" / "docker" / "Dockerfile").read_text())
INSTRUCTIONS = [line.split(None, 1) for line in TEXT.splitlines() if line and not line.startswith("#")]
# Of the last stage, which is what is run.
LAST = INSTRUCTIONS[max(index for index, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def instruction(word: str) -> str:
    """The one instruction of this name."""
    (rest,) = (rest for name, rest in LAST if name == word)
    return rest


def test_it_runs_as_a_user_by_number() -> None:
    assert re.fullmatch(r"[1-9][0-9]{3,}:[1-9][0-9]{3,}", instruction("USER"))


def test_it_runs_the_gateway_and_stops_it_in_order() -> None:
    # In the JSON form, so that signals reach the gateway and no shell.
    assert json.loads(instruction("ENTRYPOINT")) == ["gateway"]
    assert json.loads(instruction("CMD")) == ["run", "-c", "/etc/aiogate/routes.yaml"]
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_its_ports_are_the_defaults() -> None:
    listener, admin = ConfigSpec(version=1).listeners[0].bind.port, AdminSpec().bind.port

    assert instruction("EXPOSE").split() == [str(listener), str(admin)]
    assert f"127.0.0.1:{admin}/healthz" in instruction("HEALTHCHECK")


def test_it_says_which_version_it_is() -> None:
    assert f'version="{__version__}"' in instruction("LABEL")
    assert f"aiogate:{__version__}" in TEXT


def test_what_is_copied_is_let_into_the_build() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        word
        for name, rest in INSTRUCTIONS
        if name == "COPY" and not rest.startswith("--from=")
        for word in rest.split()[:-1]
    ]

    assert sorted(copied) == sorted(let_in)
    assert {"gateway gateway", "plugins plugins"} <= {rest for name, rest in INSTRUCTIONS if name == "COPY"}


@pytest.mark.parametrize("secret", [".git/config", ".env", "routes.yaml", "tests/conftest.py"])
def test_nothing_else_is(secret: str) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert not any(fnmatch(secret, rule[1:]) or secret.startswith(rule[1:] + "/") for rule in rules if rule[0] == "!")
