"""Random digits that nobody has had before."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gateway.ids import DRAWN, Digits

# What a process and its child take after the process has drawn.
FORKING = """
import os, sys
from gateway.ids import DIGITS
DIGITS.take(1)
if os.fork():
    os.wait()
print(DIGITS.take(32))
"""


@pytest.mark.parametrize("count", [1, 16, 32, 100, DRAWN])
def test_as_many_as_asked_for(count: int) -> None:
    digits = Digits()
    for _ in range(3):
        assert re.fullmatch(f"[0-9a-f]{{{count}}}", digits.take(count))


def test_no_two_are_the_same_across_draws() -> None:
    digits = Digits()
    taken = [digits.take(32) for _ in range(3 * DRAWN // 32 + 1)]

    assert len(set(taken)) == len(taken)


def test_what_was_dropped_is_never_given() -> None:
    digits = Digits()
    digits.take(32)
    left = digits._left
    digits.drop()

    assert digits.take(32) not in left


def test_a_forked_process_has_its_own() -> None:
    said = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True).stdout.split()

    assert len(said) == 2
    assert said[0] != said[1]
