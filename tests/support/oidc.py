"""oidc-provider, an authorization server that somebody else wrote, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.polling import soon

FOLDER = Path(__file__).resolve().parents[1] / "oidc"
CLIENT_ID = "gateway"
CLIENT_SECRET = "gateway-secret"
CLIENT_AUTH = {"Authorization": aiohttp.encode_basic_auth(CLIENT_ID, CLIENT_SECRET)}


def missing() -> str | None:
    """Why there is no provider here, None when there is one."""
    if shutil.which("node") is None:
        return "node is not installed; oidc-provider needs version 20 or newer"
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        return "oidc-provider is not installed: make test does that where npm is there"
    return None


needs_oidc_provider = pytest.mark.skipif(missing() is not None, reason=missing() or "")


class OidcProvider:
    """A running provider, for tests on any loop.

    `issuer` is its address, without a slash at the end, `kid` that of the key that signs. Its access tokens are for the
    audience `api`; those of the client `gateway` may have the scope `items:read`.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.issuer = ""
        self.kid = ""

    def listen(self) -> None:
        """Wait until it says who it is."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the provider ended; what it said is above"
        said = json.loads(line)
        self.issuer, self.kid = said["issuer"], said["kid"]

    async def rotate(self) -> str:
        """Sign with a new key, whose `kid` this is. The key before stays in the key set until the next rotation."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        await soon(asyncio.to_thread(self.listen))
        return self.kid

    async def metadata(self) -> dict[str, Any]:
        """The discovery document."""
        return await self._get(f"{self.issuer}/.well-known/openid-configuration")

    async def key_set(self) -> dict[str, Any]:
        """The keys that verify tokens, as RFC 7517 §5."""
        return await self._get((await self.metadata())["jwks_uri"])

    async def access_token(self, *, opaque: bool = False, scope: str = "items:read") -> str:
        """One of client credentials for the client `gateway`: an RS256 JWT, or one that only introspection explains."""
        resource = "urn:example:opaque" if opaque else "urn:example:jwt"
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        answer = await self._ask("token_endpoint", form)
        return str(json.loads(answer)["access_token"])

    async def introspect(self, token: str) -> dict[str, Any]:
        """What RFC 7662 tells of an opaque token. The provider refuses to be asked about a JWT."""
        return json.loads(await self._ask("introspection_endpoint", {"token": token}))  # type: ignore[no-any-return]

    async def revoke(self, token: str) -> None:
        """RFC 7009, of an opaque token."""
        await self._ask("revocation_endpoint", {"token": token})

    @staticmethod
    async def _get(url: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200, await response.text()
            return await response.json()  # type: ignore[no-any-return]

    async def _ask(self, endpoint: str, form: dict[str, str]) -> str:
        url = (await self.metadata())[endpoint]
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=form, headers=CLIENT_AUTH) as response,
        ):
            text = await response.text()
            assert response.status == 200, text
            return text


@contextlib.contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """A provider on a port of its own."""
    words = ("node", "provider.mjs")
    with subprocess.Popen(words, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            provider = OidcProvider(process)
            provider.listen()
            yield provider
        finally:
            process.kill()
