"""Verifications run in threads, few at a time, and cost the same for those who are not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import bcrypt
import pytest

import gateway.auth.verifier as verifier
from gateway.auth.passwords import verify_password
from gateway.auth.verifier import AT_ONCE, MOST_WAITING, Busy, PasswordVerifier
from tests.support.polling import PATIENCE, eventually, soon, turns

STORED = {name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode() for name in ("ada", "grace", "edsger")}


class Work:
    """In place of `verify_password`: notes what it is asked, and works on until it is told to end."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.running = 0
        self.most = 0
        self.go_on = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __call__(self, password: str, stored: str) -> bool:
        with self._lock:
            self.asked.append((password, stored))
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go_on.acquire(timeout=PATIENCE)
        with self._lock:
            self.running -= 1
        return True

    def end(self, count: int = 1000) -> None:
        self.go_on.release(count)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    slow = Work()
    monkeypatch.setattr(verifier, "verify_password", slow)
    yield slow
    slow.end()


async def test_right_and_wrong() -> None:
    checks = PasswordVerifier(STORED)

    assert await checks.verify("ada", "ada") is True
    assert await checks.verify("ada", "grace") is False
    assert await checks.verify("ada", "") is False
    assert await checks.verify("Ada", "ada") is False


@pytest.mark.parametrize("user", ("nobody", "", "ADA", "ada\0", "a" * 4000))
async def test_an_unknown_user_costs_a_verification_and_never_passes(user: str, work: Work) -> None:
    work.end()
    checks = PasswordVerifier(STORED)

    assert await checks.verify(user, "ada") is False, "the password of the one who stood in let somebody in"
    assert await checks.verify(user, "again") is False
    ((_, first), (_, second)) = work.asked
    assert first in STORED.values(), "the work is not that of a user who is there"
    assert first == second, "a name that costs now this, now that shows that nobody has it"


async def test_no_password_of_anybody_lets_an_unknown_user_in() -> None:
    checks = PasswordVerifier(STORED)

    assert [await checks.verify("nobody", name) for name in STORED] == [False] * 3


async def test_unknown_users_cost_what_the_known_ones_cost(work: Work) -> None:
    work.end()
    checks = PasswordVerifier(STORED)
    for number in range(100):
        await checks.verify(f"nobody{number}", "x")

    assert {stored for _, stored in work.asked} == set(STORED.values())


async def test_so_many_at_once(work: Work) -> None:
    checks = PasswordVerifier(STORED)
    asking = [asyncio.create_task(checks.verify("ada", f"{number}")) for number in range(AT_ONCE * 3)]
    await eventually(lambda: work.running == AT_ONCE)
    await turns()
    assert len(work.asked) == AT_ONCE
    work.end()

    assert await soon(asyncio.gather(*asking)) == [True] * AT_ONCE * 3
    assert work.most == AT_ONCE


async def test_who_goes_away_leaves_the_thread_its_place(work: Work) -> None:
    checks = PasswordVerifier(STORED)
    for _ in range(5):
        gone = [asyncio.create_task(checks.verify("ada", "gone")) for _ in range(AT_ONCE)]
        await turns()
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
    await eventually(lambda: work.running == AT_ONCE)
    later = asyncio.create_task(checks.verify("ada", "later"))
    await turns()
    assert len(work.asked) == AT_ONCE, "hanging up made more threads work"
    work.end()

    assert await soon(later) is True
    assert work.most == AT_ONCE


async def test_so_many_wait_and_no_more(work: Work) -> None:
    checks = PasswordVerifier(STORED)
    asking = [asyncio.create_task(checks.verify("ada", "x")) for _ in range(AT_ONCE + MOST_WAITING)]
    await turns()
    with pytest.raises(Busy):
        await checks.verify("ada", "x")
    with pytest.raises(Busy):
        await checks.verify("nobody", "x")
    asking.pop().cancel()
    await turns()
    asking.append(asyncio.create_task(checks.verify("ada", "x")))
    await turns()
    work.end()

    assert await soon(asyncio.gather(*asking)) == [True] * (AT_ONCE + MOST_WAITING)
    assert await checks.verify("ada", "x") is True


async def test_an_error_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(password: str, stored: str) -> bool:
        raise MemoryError

    checks = PasswordVerifier(STORED)
    monkeypatch.setattr(verifier, "verify_password", fail)
    for _ in range(AT_ONCE + 1):
        with pytest.raises(MemoryError):
            await soon(checks.verify("ada", "ada"))
    monkeypatch.setattr(verifier, "verify_password", verify_password)

    assert await soon(checks.verify("ada", "ada")) is True
