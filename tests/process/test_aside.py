"""Long work beside the loop leaves the process as it was."""

import asyncio
import gc
import sys
import threading

import pytest

from gateway.process.aside import SWITCH_INTERVAL, YOUNG, small_steps


class Ring:
    """In a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.parametrize("fails", [False, True])
def test_the_interpreter_is_as_before(fails: bool) -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    try:
        with small_steps():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
            assert gc.get_threshold()[0] == YOUNG
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert (sys.getswitchinterval(), gc.get_threshold()) == (pytest.approx(before[0]), before[1])


def test_what_lives_is_frozen_and_what_died_before_is_gone() -> None:
    def alive() -> int:
        return sum(isinstance(one, Ring) for one in gc.get_objects())

    Ring()
    with small_steps():
        assert alive() == 0
        kept = Ring()
        assert alive() == 1
    assert alive() == 0, "the collector does not see it any more"
    del kept.me


async def test_the_loop_has_its_turns() -> None:
    turns = 0
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            pass

    with small_steps():
        task = asyncio.create_task(asyncio.to_thread(work))
        for _ in range(20):
            await asyncio.sleep(0)
            turns += 1
        done.set()
        await task
    assert turns == 20
