"""The sample auth service, over real sockets."""

import threading
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.accounts import Accounts
from gateway.demo.auth import ISSUER as DEFAULT_ISSUER
from gateway.demo.auth import auth
from gateway.demo.services import HOST, PORTS, SERVICES
from gateway.demo.signing import RETIRED_FOR
from gateway.demo.tokens import ACCESS_LIFETIME, SESSION_LIFETIME
from tests.support.auth_service import ISSUER, AuthClient, bearer, signing_key

CHALLENGE = 'Bearer realm="sample"'


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> AuthClient:
    return await AuthClient.start(aiohttp_client)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def refreshed(client: AuthClient, token: str) -> dict[str, Any] | None:
    response = await client.http.post("/refresh", json={"refresh_token": token})
    assert response.status in (200, 401)
    return await response.json() if response.status == 200 else None


async def test_the_service_as_the_demo_starts_it(aiohttp_client: AiohttpClient) -> None:
    client: TestClient[Any, Any] = await aiohttp_client(auth())

    tokens = await (await client.post("/login", json={"user": "ada", "password": "lovelace"})).json()
    key_set = jwt.PyJWKSet.from_dict(await (await client.get("/.well-known/jwks.json")).json())

    key = key_set[jwt.get_unverified_header(tokens["access_token"])["kid"]]
    claims = jwt.decode(
        tokens["access_token"], key, algorithms=["RS256"], audience="api", issuer="http://127.0.0.1:9004"
    )
    assert (claims["sub"], claims["preferred_username"], claims["roles"]) == ("1", "ada", ["admin", "user"])
    assert "items:read" in claims["scope"].split()
    assert claims["exp"] - claims["iat"] == 300


def test_the_issuer_is_where_the_demo_has_the_service() -> None:
    port = dict(zip([name for name, _ in SERVICES], PORTS, strict=True))["auth"]

    assert f"http://{HOST}:{port}" == DEFAULT_ISSUER


async def test_two_services_have_two_keys(aiohttp_client: AiohttpClient) -> None:
    clients: list[TestClient[Any, Any]] = [await aiohttp_client(auth()) for _ in range(2)]

    first, second = [await (await client.get("/.well-known/jwks.json")).json() for client in clients]

    assert first["keys"][0]["kid"] != second["keys"][0]["kid"]


async def test_a_log_in_by_json_or_by_form(client: AuthClient) -> None:
    fields = {"user": "grace", "password": "hopper"}

    for response in (await client.http.post("/login", json=fields), await client.http.post("/login", data=fields)):
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        body = await response.json()
        assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 300)


async def test_an_unknown_user_and_a_wrong_password_get_one_and_the_same_answer(client: AuthClient) -> None:
    answers = []
    for user in ("ada", "nobody"):
        response = await client.http.post("/login", json={"user": user, "password": "wrong"})
        headers = {name: value for name, value in response.headers.items() if name != "Date"}
        answers.append((response.status, headers, await response.text()))

    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert answers[0][1]["WWW-Authenticate"] == CHALLENGE


async def test_passwords_are_checked_beside_the_loop(client: AuthClient, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def log_in(self: Accounts, user: str, password: str) -> None:
        threads.append(threading.get_ident())

    monkeypatch.setattr(Accounts, "log_in", log_in)

    await client.http.post("/login", json={"user": "ada", "password": "lovelace"})
    await client.http.get("/verify", headers=basic("ada", "lovelace"))

    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("fields", [{}, {"user": "ada"}, {"password": "lovelace"}, {"user": 1, "password": "x"}])
async def test_a_log_in_without_user_or_password_is_told_so(client: AuthClient, fields: dict[str, Any]) -> None:
    response = await client.http.post("/login", json=fields)

    assert response.status == 400
    assert '"user": "ada"' in (await response.json())["error"]


async def test_a_refresh_gives_the_next_two_tokens(client: AuthClient) -> None:
    first = await client.login()

    second = await refreshed(client, first["refresh_token"])

    assert second is not None
    assert second["access_token"] != first["access_token"]
    assert await refreshed(client, second["refresh_token"]) is not None


async def test_a_refresh_token_that_comes_twice_ends_its_session(client: AuthClient) -> None:
    first = await client.login()
    second = await refreshed(client, first["refresh_token"])
    assert second is not None

    assert await refreshed(client, first["refresh_token"]) is None

    assert await refreshed(client, second["refresh_token"]) is None
    assert await client.verified(second["access_token"]) == 401


async def test_a_session_ends_by_itself(client: AuthClient) -> None:
    tokens = await client.login()
    client.now += SESSION_LIFETIME

    assert await refreshed(client, tokens["refresh_token"]) is None


@pytest.mark.parametrize("path", ["/refresh", "/logout"])
async def test_without_a_token_there_is_nothing_to_do(client: AuthClient, path: str) -> None:
    response = await client.http.post(path)

    assert response.status == 400
    assert "this needs refresh_token" in (await response.json())["error"]


@pytest.mark.parametrize("given", ["refresh_token", "access_token", "both"])
@pytest.mark.parametrize("later", [0, ACCESS_LIFETIME])
async def test_a_logout_ends_the_session_also_when_the_access_token_has_expired(
    client: AuthClient, given: str, later: int
) -> None:
    tokens = await client.login()
    client.now += later

    response = await client.http.post(
        "/logout",
        json={"refresh_token": tokens["refresh_token"]} if given != "access_token" else None,
        headers=bearer(tokens["access_token"]) if given != "refresh_token" else {},
    )

    assert response.status == 204
    assert await client.verified(tokens["access_token"]) == 401
    assert await refreshed(client, tokens["refresh_token"]) is None


async def test_a_logout_with_what_is_no_token_changes_nothing(client: AuthClient) -> None:
    response = await client.http.post("/logout", data=b'{"refresh_token": "\\ud800"}', headers=bearer("abc"))

    assert response.status == 204


async def test_a_logout_leaves_other_sessions_and_may_come_twice(client: AuthClient) -> None:
    ended, other = await client.login(), await client.login()
    fields = {"refresh_token": ended["refresh_token"]}

    statuses = [(await client.http.post("/logout", json=fields)).status for _ in range(2)]

    assert statuses == [204, 204]
    assert await client.verified(other["access_token"]) == 200


async def test_whose_token_it_is(client: AuthClient) -> None:
    response = await client.http.get("/verify", headers=bearer((await client.login())["access_token"]))

    assert response.status == 200
    assert (response.headers["X-User-Id"], response.headers["X-User-Roles"]) == ("1", "admin,user")
    assert response.headers["Cache-Control"] == "private, max-age=10"
    assert response.headers["Vary"] == "Authorization, X-Forwarded-Method"


async def test_whose_password_it_is(client: AuthClient) -> None:
    response = await client.http.get("/verify", headers=basic("grace", "hopper"))

    assert response.status == 200
    assert (response.headers["X-User-Id"], response.headers["X-User-Roles"]) == ("2", "user")
    assert response.headers["Cache-Control"] == "private, max-age=10"


async def test_a_yes_is_not_kept_for_longer_than_the_token_is_good(client: AuthClient) -> None:
    token = (await client.login())["access_token"]
    client.now += ACCESS_LIFETIME - 3.5

    response = await client.http.get("/verify", headers=bearer(token))

    assert response.headers["Cache-Control"] == "private, max-age=3"


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, CHALLENGE),
        ({"Authorization": "Digest abc"}, CHALLENGE),
        (basic("ada", "hopper"), CHALLENGE),
        (basic("nobody", "lovelace"), CHALLENGE),
        (bearer("abc"), f'{CHALLENGE}, error="invalid_token"'),
    ],
)
async def test_who_does_not_show_who_they_are(client: AuthClient, headers: dict[str, str], challenge: str) -> None:
    response = await client.http.get("/verify", headers=headers)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.headers["Cache-Control"] == "no-store"
    assert "X-User-Id" not in response.headers


@pytest.mark.parametrize(
    ("user", "password", "method", "status"),
    [
        ("ada", "lovelace", "DELETE", 200),
        ("grace", "hopper", "DELETE", 403),
        ("grace", "hopper", "GET", 200),
        ("grace", "hopper", "delete", 200),
    ],
)
async def test_only_an_admin_may_delete(client: AuthClient, user: str, password: str, method: str, status: int) -> None:
    token = (await client.login(user, password))["access_token"]
    forwarded = {"X-Forwarded-Method": method, "X-Forwarded-Uri": "/api/items/42?token=secret"}

    for credentials in (bearer(token), basic(user, password)):
        response = await client.http.get("/verify", headers={**credentials, **forwarded})

        assert response.status == status
        if status == 403:
            assert await response.json() == {"error": "only an admin may DELETE /api/items/42"}
            assert "X-User-Id" not in response.headers


async def test_the_key_set_and_a_rotation(client: AuthClient) -> None:
    old = (await client.login())["access_token"]

    kid = (await (await client.http.post("/_rotate")).json())["kid"]
    new = (await client.login())["access_token"]
    response = await client.http.get("/.well-known/jwks.json")
    client.now += RETIRED_FOR
    later = await (await client.http.get("/.well-known/jwks.json")).json()

    assert response.headers["Cache-Control"] == "max-age=300"
    assert [key["kid"] for key in (await response.json())["keys"]] == [kid, signing_key().kid]
    assert [jwt.get_unverified_header(token)["kid"] for token in (old, new)] == [signing_key().kid, kid]
    assert [key["kid"] for key in later["keys"]] == [kid]


async def test_tokens_from_before_a_rotation_are_good(client: AuthClient) -> None:
    token = (await client.login())["access_token"]

    await client.http.post("/_rotate")

    assert await client.verified(token) == 200


async def test_the_metadata_tells_where_everything_is(client: AuthClient) -> None:
    metadata = await (await client.http.get("/.well-known/openid-configuration")).json()

    assert metadata["issuer"] == ISSUER
    places = [metadata[name] for name in metadata if name.endswith(("_endpoint", "_uri"))]
    assert len(places) == 4
    for place in places:
        path = place.removeprefix(ISSUER)
        assert (await client.http.post(path)).status in (401, 405), path
    assert "urn:ietf:params:oauth:grant-type:token-exchange" in metadata["grant_types_supported"]


async def test_the_service_can_be_switched(client: AuthClient) -> None:
    response = await client.http.get("/verify?error=503")

    assert response.status == 503
