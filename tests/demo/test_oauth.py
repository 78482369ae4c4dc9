"""What OAuth clients ask of the sample auth service, over real sockets."""

from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import ClientResponse
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.oauth import ACCESS_TOKEN, JWT, TOKEN_EXCHANGE
from gateway.demo.tokens import ACCESS_LIFETIME, SESSION_LIFETIME
from tests.support.auth_service import ISSUER, NOW, AuthClient

GATEWAY = {"Authorization": aiohttp.encode_basic_auth("gateway", "gateway-secret")}
PASSWORD = {"grant_type": "password", "username": "ada", "password": "lovelace"}


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> AuthClient:
    return await AuthClient.start(aiohttp_client)


async def ask(client: AuthClient, path: str, **form: str) -> ClientResponse:
    return await client.http.post(path, data=form, headers=GATEWAY)


async def granted(client: AuthClient, **form: str) -> dict[str, Any]:
    response = await ask(client, "/token", **form)
    assert response.status == 200, await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    return await response.json()  # type: ignore[no-any-return]


async def refusal(client: AuthClient, **form: str) -> str:
    """The error code of /token."""
    response = await ask(client, "/token", **form)
    assert response.status == 400
    assert response.headers["Cache-Control"] == "no-store"
    body = await response.json()
    assert set(body) == {"error", "error_description"}
    return str(body["error"])


async def introspected(client: AuthClient, token: str) -> dict[str, Any]:
    response = await ask(client, "/introspect", token=token)
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    return await response.json()  # type: ignore[no-any-return]


def exchange(subject: str, **form: str) -> dict[str, str]:
    return {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        **form,
    }


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": aiohttp.encode_basic_auth("gateway", "wrong")},
        {"Authorization": aiohttp.encode_basic_auth("ada", "lovelace")},
        {"Authorization": aiohttp.encode_basic_auth("", "")},
        {"Authorization": "Bearer abc"},
    ],
)
async def test_only_the_client_may_ask(client: AuthClient, path: str, headers: dict[str, str]) -> None:
    response = await client.http.post(path, data={**PASSWORD, "token": "x"}, headers=headers)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="sample"'
    assert response.headers["Cache-Control"] == "no-store"
    assert (await response.json())["error"] == "invalid_client"


async def test_the_client_s_secret_may_be_percent_encoded(client: AuthClient) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth("gateway", "gateway%2Dsecret")}

    assert (await client.http.post("/token", data=PASSWORD, headers=headers)).status == 200


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
async def test_what_is_missing_is_an_invalid_request(client: AuthClient, path: str) -> None:
    empty, as_json = await ask(client, path, other="x"), await client.http.post(path, json=PASSWORD, headers=GATEWAY)

    for response in (empty, as_json):
        assert response.status == 400
        assert (await response.json())["error"] == "invalid_request"


async def test_a_password_is_worth_tokens(client: AuthClient) -> None:
    tokens = await granted(client, **PASSWORD)

    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 300)
    assert tokens["scope"] == "items:read items:write"
    assert claims_of(tokens["access_token"])["sub"] == "1"
    assert await client.verified(tokens["access_token"]) == 200


async def test_a_password_grant_may_ask_for_less(client: AuthClient) -> None:
    tokens = await granted(client, **PASSWORD, scope="items:read")
    refreshed = await granted(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    assert claims_of(tokens["access_token"])["scope"] == "items:read"
    assert claims_of(refreshed["access_token"])["scope"] == "items:read"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({**PASSWORD, "password": "hopper"}, "invalid_grant"),
        ({**PASSWORD, "username": "nobody"}, "invalid_grant"),
        ({**PASSWORD, "scope": "items:read users:write"}, "invalid_scope"),
        ({"grant_type": "password", "username": "ada"}, "invalid_request"),
        ({"grant_type": "password", "password": "lovelace"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": TOKEN_EXCHANGE}, "invalid_request"),
        (exchange("x"), "invalid_request"),
    ],
)
async def test_what_is_refused(client: AuthClient, form: dict[str, str], code: str) -> None:
    assert await refusal(client, **form) == code


async def test_a_refresh_token_is_good_once(client: AuthClient) -> None:
    first = await granted(client, **PASSWORD)
    second = await granted(client, grant_type="refresh_token", refresh_token=first["refresh_token"])

    code = await refusal(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    after = await refusal(client, grant_type="refresh_token", refresh_token=second["refresh_token"])

    assert (code, after) == ("invalid_grant", "invalid_grant")
    assert await introspected(client, second["access_token"]) == {"active": False}


async def test_a_scope_that_cannot_be_had_does_not_use_the_refresh_token_up(client: AuthClient) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": (await client.login())["refresh_token"]}

    assert await refusal(client, **form, scope="users:write") == "invalid_scope"

    assert (await granted(client, **form, scope="items:read"))["scope"] == "items:read"


async def test_an_exchanged_token_is_for_another_audience_with_less_scope(client: AuthClient) -> None:
    subject = (await client.login())["access_token"]
    client.now += 100

    exchanged = await granted(client, **exchange(subject, audience="catalog", scope="items:read"))

    token = exchanged.pop("access_token")
    assert exchanged == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 200,
        "scope": "items:read",
    }
    claims = claims_of(token)
    assert (claims["aud"], claims["scope"], claims["sub"]) == ("catalog", "items:read", "1")
    assert claims["exp"] == claims_of(subject)["exp"]
    assert (await introspected(client, token))["aud"] == "catalog"
    assert await client.verified(token) == 401


async def test_an_exchange_without_wishes_keeps_audience_and_scope(client: AuthClient) -> None:
    subject = (await client.login())["access_token"]

    exchanged = await granted(client, **exchange(subject, requested_token_type=JWT, subject_token_type=JWT))

    assert exchanged["issued_token_type"] == JWT
    assert claims_of(exchanged["access_token"])["aud"] == "api"
    assert exchanged["scope"] == "items:read items:write"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scope": "items:read users:write"}, "invalid_scope"),
        ({"audience": "billing"}, "invalid_target"),
        ({"resource": "http://catalog"}, "invalid_target"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    ],
)
async def test_what_an_exchange_does_not_give(client: AuthClient, changes: dict[str, str], code: str) -> None:
    subject = (await client.login())["access_token"]

    assert await refusal(client, **exchange(subject, **changes)) == code


async def test_an_exchanged_token_cannot_be_exchanged_for_more(client: AuthClient) -> None:
    subject = (await client.login())["access_token"]
    exchanged = await granted(client, **exchange(subject, audience="catalog"))

    assert await refusal(client, **exchange(exchanged["access_token"], audience="users")) == "invalid_request"


async def test_what_introspection_tells_of_an_access_token(client: AuthClient) -> None:
    token = (await client.login())["access_token"]

    answer = await introspected(client, token)

    assert answer == {"active": True, "token_type": "Bearer", "username": "ada", **claims_of(token)}
    assert answer["iss"] == ISSUER


async def test_introspection_does_not_use_a_refresh_token_up(client: AuthClient) -> None:
    token = (await client.login("grace", "hopper"))["refresh_token"]

    answers = [await introspected(client, token) for _ in range(2)]

    assert (
        answers
        == [
            {
                "active": True,
                "sub": "2",
                "username": "grace",
                "scope": "items:read reviews:read",
                "exp": NOW + SESSION_LIFETIME,
            }
        ]
        * 2
    )


async def test_introspection_says_nothing_of_a_token_that_is_not_good(client: AuthClient) -> None:
    token = (await client.login())["access_token"]
    client.now += ACCESS_LIFETIME

    for bad in (token, token[:-4], "x", "é"):
        assert await introspected(client, bad) == {"active": False}


async def test_a_revoked_access_token_is_not_good_and_the_session_goes_on(client: AuthClient) -> None:
    tokens = await client.login()

    response = await ask(client, "/revoke", token=tokens["access_token"], token_type_hint="refresh_token")

    assert response.status == 200
    assert await introspected(client, tokens["access_token"]) == {"active": False}
    assert await client.verified(tokens["access_token"]) == 401
    assert await granted(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])


async def test_a_revoked_refresh_token_takes_its_session_along(client: AuthClient) -> None:
    tokens = await client.login()

    await ask(client, "/revoke", token=tokens["refresh_token"])

    assert await introspected(client, tokens["refresh_token"]) == {"active": False}
    assert await introspected(client, tokens["access_token"]) == {"active": False}


async def test_what_is_not_good_is_revoked_already(client: AuthClient) -> None:
    assert (await ask(client, "/revoke", token="x")).status == 200
