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
    words = ("-c", "a.yaml", "--frontend", "a", "--frontend", "b", "--bind", ":1", "--admin", ":2", "--workers", "3")
    words += ("--watch", "--reload")
    assert command("run", *words).exit_code == 7
    assert asked == [
        (Path("routes.yaml"), None, None, (), 1),
        (Path("a.yaml"), ":1", ":2", ("a", "b"), 3, "watch", "reload"),
    ]


@pytest.mark.parametrize("workers", ["0", "-1", "257", "many", "1.5"])
def test_numbers_of_workers_that_make_no_sense(workers: str) -> None:
    result = command("run", "--workers", workers)
    assert result.exit_code == 2
    assert "is neither a number from 1 to 256 nor auto" in result.stderr


def test_auto_is_as_many_workers_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 2, 3}, raising=False)
    asked = []
    monkeypatch.setattr(server, "run", lambda *options, **more: asked.append(options[-1]) or 0)
    assert command("run", "--workers", "auto").exit_code == 0
    assert asked == [3]
