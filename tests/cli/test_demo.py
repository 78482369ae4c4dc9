"""`gateway demo` hands its configuration to the runner; what that does is tested in tests/demo."""

from pathlib import Path

import pytest

from gateway.demo import runner
from tests.support.commands import command


@pytest.mark.parametrize(("words", "expected"), [((), None), (("-c", "a.yaml"), Path("a.yaml"))])
def test_what_it_starts(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: Path | None) -> None:
    asked = []

    async def run_demo(config: Path | None, argv: list[str]) -> int:
        asked.append((config, argv))
        return 7

    monkeypatch.setattr(runner, "run_demo", run_demo)
    assert command("demo", *words).exit_code == 7
    assert asked == [(expected, [])]
