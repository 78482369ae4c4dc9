"""oidc-provider as the tests use it: it is there, and what it gives is what the standards say."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.support.oidc import OidcProvider, needs_oidc_provider

pytestmark = needs_oidc_provider


async def verified(provider: OidcProvider, token: str) -> dict[str, Any]:
    """The claims, by the key in the set that the token names. KeyError when it is not there."""
    key = jwt.PyJWKSet.from_dict(await provider.key_set())[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], audience="api", issuer=provider.issuer)


async def test_the_metadata_names_its_issuer(provider: OidcProvider) -> None:
    metadata = await provider.metadata()

    assert metadata["issuer"] == provider.issuer
    for name in ("jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert metadata[name].startswith(f"{provider.issuer}/")


async def test_a_token_of_client_credentials_is_a_jwt(provider: OidcProvider) -> None:
    token = await provider.access_token()

    claims = await verified(provider, token)

    assert token.count(".") == 2
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("gateway", "gateway", "items:read")
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "at+jwt", "kid": provider.kid}


async def test_a_rotation_keeps_the_key_before_and_no_older_one(provider: OidcProvider) -> None:
    first = await provider.access_token()

    kid = await provider.rotate()
    second = await provider.access_token()

    assert jwt.get_unverified_header(second)["kid"] == kid
    assert jwt.get_unverified_header(first)["kid"] != kid
    assert await verified(provider, first)
    assert await verified(provider, second)

    await provider.rotate()

    assert await verified(provider, second)
    with pytest.raises(KeyError):
        await verified(provider, first)


async def test_an_opaque_token_is_active_until_it_is_revoked(provider: OidcProvider) -> None:
    token = await provider.access_token(opaque=True)
    await provider.rotate()

    before = await provider.introspect(token)
    await provider.revoke(token)
    after = await provider.introspect(token)

    assert "." not in token
    assert before["active"] is True
    assert (before["client_id"], before["scope"], before["aud"]) == ("gateway", "items:read", "api")
    assert after == {"active": False}


async def test_a_token_that_was_never_given_out_is_inactive(provider: OidcProvider) -> None:
    assert await provider.introspect("never") == {"active": False}
