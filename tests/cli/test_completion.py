"""`gateway completion`: a script that the shell can read."""

import pytest

from tests.support.commands import command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    result = command("completion", shell)
    assert result.exit_code == 0
    assert "_GATEWAY_COMPLETE" in result.output


def test_another_shell() -> None:
    assert command("completion", "cmd").exit_code == 2
