"""The sample auth service with passwords that cost little, keys that are at hand, and a clock that stands still."""

from __future__ import annotations

from functools import cache
from typing import Any

import bcrypt
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.accounts import Account, Accounts
from gateway.demo.auth import AuthService
from gateway.demo.signing import SigningKey, SigningKeys

ISSUER = "http://auth.example"
NOW = 1_800_000_000.0


@cache
def signing_key(number: int = 0) -> SigningKey:
    """Always the same for a number: a new one takes its time."""
    return SigningKey.generate()


@cache
def accounts() -> Accounts:
    """ada with lovelace, an admin, and grace with hopper."""
    return Accounts(
        Account(number, user, roles, frozenset(scope.split()), bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())
        for number, user, password, roles, scope in (
            (1, "ada", b"lovelace", ("admin", "user"), "items:read items:write"),
            (2, "grace", b"hopper", ("user",), "items:read reviews:read"),
        )
    )


class AuthClient:
    """A client of a running auth service. `now` is the service's time, in seconds since the epoch."""

    def __init__(self) -> None:
        self.now = NOW
        self.http: TestClient[Any, Any]

    @classmethod
    async def start(cls, aiohttp_client: AiohttpClient) -> AuthClient:
        """Start a service, which ends with the test."""
        client = cls()
        service = AuthService(ISSUER, accounts(), SigningKeys(signing_key()), lambda: client.now)
        client.http = await aiohttp_client(service.app())
        return client

    async def login(self, user: str = "ada", password: str = "lovelace") -> dict[str, Any]:
        """The tokens."""
        response = await self.http.post("/login", json={"user": user, "password": password})
        assert response.status == 200
        return await response.json()  # type: ignore[no-any-return]

    async def verified(self, access_token: str) -> int:
        """The status of /verify."""
        return (await self.http.get("/verify", headers=bearer(access_token))).status


def bearer(token: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}"}
