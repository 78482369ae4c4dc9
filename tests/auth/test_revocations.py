"""A token that was taken back is known as such everywhere, until it would have expired anyhow."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.revocations import Revocations
from gateway.plugin import SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock

ISSUER, OTHER = "https://a.example", "https://b.example"


class Bench:
    """Two gateways that share their state."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.shared = MemoryShared(self.clock)
        self.here, self.there = Revocations(self.shared), Revocations(self.shared)

    async def holds(self, **claims: Any) -> bool:
        return await self.there.hold({"iss": ISSUER, **claims})


async def test_nothing_is_revoked_at_first() -> None:
    assert await Bench().holds(jti="a", sub="ada", iat=1)


async def test_a_token_by_its_id() -> None:
    bench = Bench()
    await bench.here.revoke_token(ISSUER, "a", 60)

    assert not await bench.holds(jti="a")
    assert not await bench.holds(jti="a", sub="ada", iat=1)
    assert await bench.holds(jti="b")
    assert await bench.holds(sub="a", iat=1)
    assert await bench.there.hold({"iss": OTHER, "jti": "a"})


async def test_all_tokens_of_a_subject_until_now() -> None:
    bench = Bench()
    await bench.here.revoke_subject(ISSUER, "ada", 1000.9, 60)

    for issued in (0, 999, 1000, 1000.5, 1000.99, -5):
        assert not await bench.holds(sub="ada", iat=issued)
    for issued in (1001, 1001.5, 2000):
        assert await bench.holds(sub="ada", iat=issued)
    assert await bench.holds(sub="grace", iat=1)
    assert await bench.holds(jti="ada")
    assert await bench.there.hold({"iss": OTHER, "sub": "ada", "iat": 1})


async def test_a_token_that_does_not_say_when_it_was_issued_is_an_old_one() -> None:
    bench = Bench()
    await bench.here.revoke_subject(ISSUER, "ada", 1000, 60)

    assert not await bench.holds(sub="ada")
    assert not await bench.holds(sub="ada", iat="2000")


async def test_a_later_revocation_counts() -> None:
    bench = Bench()
    await bench.here.revoke_subject(ISSUER, "ada", 1000, 60)
    await bench.here.revoke_subject(ISSUER, "ada", 2000, 60)

    assert not await bench.holds(sub="ada", iat=1500)


async def test_it_is_forgotten_with_the_token() -> None:
    bench = Bench()
    await bench.here.revoke_token(ISSUER, "a", 60)
    await bench.here.revoke_subject(ISSUER, "ada", 1000, 60)
    bench.clock.advance(59)
    assert not await bench.holds(jti="a")
    assert not await bench.holds(sub="ada", iat=1)
    bench.clock.advance(2)
    assert await bench.holds(jti="a", sub="ada", iat=1)


async def test_no_name_imitates_another() -> None:
    """The issuer's and the token's names are kept apart, whatever is in them."""
    bench = Bench()
    await bench.here.revoke_token("ab", "c", 60)
    await bench.here.revoke_token("x", "y", 60)

    assert await bench.there.hold({"iss": "a", "jti": "bc"})
    assert await bench.there.hold({"iss": "abc", "jti": ""})
    assert await bench.there.hold({"iss": "x", "sub": "y", "iat": 1})
    assert not await bench.there.hold({"iss": "ab", "jti": "c"})


class Noting(MemoryShared):
    """Notes the keys."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.keys: list[str] = []

    async def get(self, key: str) -> bytes | None:
        self.keys.append(key)
        return await super().get(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.keys.append(key)
        await super().set(key, value, ttl)


@pytest.mark.parametrize("name", ("ada@example.com", "a b\r\n", "ä" * 300, "x" * 5000))
async def test_what_is_written_down_is_short_and_nobodys_name(name: str) -> None:
    shared = Noting()
    revocations = Revocations(shared)
    await revocations.revoke_token(ISSUER, name, 60)
    await revocations.revoke_subject(ISSUER, name, 1000, 60)
    assert not await revocations.hold({"iss": ISSUER, "jti": name})
    assert not await revocations.hold({"iss": ISSUER, "sub": name, "iat": 1})
    for key in shared.keys:
        assert len(key) < 100
        assert key.isascii()
        assert name not in key


class Away:
    async def get(self, key: str) -> bytes | None:
        raise SharedUnavailable("away")

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        raise SharedUnavailable("away")

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        raise SharedUnavailable("away")

    async def delete(self, key: str) -> None:
        raise SharedUnavailable("away")


async def test_without_the_store_nothing_is_said() -> None:
    revocations = Revocations(Away())
    for claims in ({"iss": ISSUER, "jti": "a"}, {"iss": ISSUER, "sub": "ada", "iat": 1}):
        with pytest.raises(SharedUnavailable):
            await revocations.hold(claims)
    with pytest.raises(SharedUnavailable):
        await revocations.revoke_token(ISSUER, "a", 60)
    with pytest.raises(SharedUnavailable):
        await revocations.revoke_subject(ISSUER, "ada", 1000, 60)
