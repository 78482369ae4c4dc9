"""`gateway run` hands its options to the server; what that does is tested in tests/process."""

from pathlib import Path

import pytest

from gateway.process import server
from tests.support.commands import command


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(*options: object, **flags: object) -> int:
        asked.append((*options, *(name for name, given in flags.items() if given)))
        return 7

    monkeypatch.setattr(server, "run", run)
    assert command("run").exit_code == 7
    words = ("-c", "a.yaml", "--frontend", "a", "--frontend", "b", "--bind", ":1", "--admin", ":2", "--workers", "1")
    words += ("--watch", "--reload")
    assert command("run", *words).exit_code == 7
    assert asked == [
        (Path("routes.yaml"), None, None, ()),
        (Path("a.yaml"), ":1", ":2", ("a", "b"), "watch", "reload"),
    ]


def test_more_workers_are_of_a_later_issue() -> None:
    assert command("run", "--workers", "2").exit_code == 2
