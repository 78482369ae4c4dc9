"""Keys, passwords and access rules in a running worker: what gets past them, and what services see of it."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import bcrypt
import pytest

from gateway.errors import ConfigError
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.misbehaving import status
from tests.support.raw_upstream import RawUpstream, answering, saying, upstream
from tests.support.runtimes import HEAD, Running, prepared, running

KEY = "Zk3-this-is-long-and-random-enough"
LIMITED = "kY8-so-is-this-one-with-a-quota"
STORED = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
DENIED = "203.0.113.9"

ROUTES = """
upstreams:
  up: {{endpoints: ['http://127.0.0.1:{port}'], outliers: off}}
trusted_proxies: [127.0.0.1]
routes:
  - name: keys
    match: {{path: /keys/**}}
    to: up
    plugins:
      - breaker: {{requests: 2, fallback: {{text: instead}}}}
      - api_key: {{file: keys.yaml}}
  - name: users
    match: {{path: /users/**}}
    to: up
    plugins:
      - basic_auth: {{file: users, realm: Staff}}
      - access: {{allow: [{{principals: [ada]}}, {{principals: [grace], methods: [GET]}}]}}
  - name: either
    match: {{path: /either/**}}
    to: up
    plugins:
      - api_key: {{file: keys.yaml, optional: true}}
      - basic_auth: {{file: users, optional: true}}
      - access:
          deny: [{{cidr: [{denied}]}}]
          allow: [{{consumers: [shop, ada]}}, {{anonymous: true, methods: [GET]}}]
  - name: open
    to: up
"""


def key_line(key: str, more: str = "consumer: shop, scopes: [items:read]") -> str:
    return f"  - {{hash: 'sha256:{sha256(key.encode()).hexdigest()}', {more}}}\n"


def basic(user: str, password: str) -> bytes:
    return b"Authorization: Basic " + b64encode(f"{user}:{password}".encode())


def with_key(key: str = KEY, name: str = "X-Api-Key") -> bytes:
    return f"{name}: {key}".encode("latin-1")


def write_credentials(folder: Path) -> None:
    (folder / "keys.yaml").write_text(f"keys:\n{key_line(KEY)}{key_line(LIMITED, 'consumer: small, quota: 2/d')}")
    (folder / "users").write_text(f"# staff\nada:{STORED}\ngrace:{STORED}\n")


@contextlib.asynccontextmanager
async def guarded(folder: Path, service: RawUpstream) -> AsyncIterator[Running]:
    write_credentials(folder)
    async with running(folder, HEAD + ROUTES.format(port=service.port, denied=DENIED)) as worker:
        yield worker


async def ask(worker: Running, path: str, *fields: bytes, method: str = "GET") -> Message:
    async with worker.client() as client:
        return await client.ask(request(path, *fields, method=method), method)


def seen(service: RawUpstream) -> dict[str, str]:
    """The fields of the last request that came through, names in lower case."""
    message = service.requests[-1]
    assert len({name.lower() for name, _ in message.fields}) == len(message.fields), message.fields
    return {name.decode().lower(): value.decode("latin-1") for name, value in message.fields}


async def test_a_key_becomes_a_consumer(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        answer = await ask(worker, "/keys/1", with_key(), b"X-Consumer: office", b"X_Consumer: office", b"X_Api_Key: a")
        assert answer.status == 200
        fields = seen(service)
        assert fields["x-consumer"] == "shop"
        assert not {"x-api-key", "x_api_key", "x_consumer"} & fields.keys()


@pytest.mark.parametrize(
    ("fields", "told"),
    (
        ((), 401),
        ((with_key(""),), 401),
        ((with_key("wrong"),), 401),
        ((with_key(KEY.lower()),), 401),
        ((with_key("k" * 4000),), 401),
        ((with_key("k" * 100_000),), 431),
        ((with_key(KEY + "\0"),), 400),
        ((with_key(name="X_Api_Key"),), 401),
        ((with_key(name="X-Api_Key"),), 401),
        ((with_key(name="Authorization"),), 401),
        ((with_key(), with_key()), 400),
        ((with_key(), with_key("wrong", "x-api-key")), 400),
        ((with_key(), b"Connection: X-Api-Key"), 401),
        ((b"X-Consumer: shop",), 401),
        ((b"X-Api-Key : " + KEY.encode(),), 400),
        ((b"X-Api-Key:\r\n " + KEY.encode(),), 400),
        ((with_key("wrong"), with_key(name="X_Api_Key")), 401),
    ),
)
async def test_without_the_key_nothing_comes_through(tmp_path: Path, fields: tuple[bytes, ...], told: int) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        answer = await ask(worker, "/keys/1", *fields)
        assert (answer.status, service.requests) == (told, [])
        if told == 401:
            assert answer.get("www-authenticate") == 'ApiKey realm="gateway"'
        assert KEY.encode() not in answer.body


async def test_no_fallback_stands_in_for_a_refusal(tmp_path: Path) -> None:
    async with upstream(saying(status(500))) as service, guarded(tmp_path, service) as worker:
        for _ in range(4):
            assert (await ask(worker, "/keys/1", with_key())).body == b"instead"
            assert (await ask(worker, "/keys/1", with_key("wrong"))).status == 401
            assert (await ask(worker, "/keys/1")).status == 401


async def test_a_quota(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        answers = [await ask(worker, f"/{route}/1", with_key(LIMITED)) for route in ("keys", "keys", "keys", "keys")]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert 1 <= int(answers[-1].get("retry-after") or 0) <= 86_400
        assert (await ask(worker, "/keys/1", with_key())).status == 200
        assert len(service.requests) == 3


async def test_a_user_and_a_password(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        for _ in range(2):
            assert (await ask(worker, "/users/1", basic("ada", "lovelace"), b"X-User: root")).status == 200
            assert seen(service)["x-user"] == "ada"
            assert "authorization" not in seen(service)
        assert (await ask(worker, "/users/1", basic("grace", "lovelace"))).status == 200
        answer = await ask(worker, "/users/1", basic("grace", "lovelace"), method="POST")
        assert (answer.status, answer.get("www-authenticate")) == (403, None)
        assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("fields", "told"),
    (
        ((), 401),
        ((basic("ada", "wrong"),), 401),
        ((basic("nobody", "lovelace"),), 401),
        ((basic("ada", "lovelace") + b"=",), 401),
        ((basic("ada", "love\0lace"),), 401),
        ((basic("ada", "l" * 5000),), 401),
        ((b"Authorization: Basic",), 401),
        ((b"Authorization: Bearer abc",), 401),
        ((basic("ada", "lovelace"), basic("ada", "lovelace")), 400),
        ((basic("nobody", "x"), basic("ada", "lovelace")), 400),
        ((basic("ada", "lovelace"), b"Connection: authorization"), 401),
        ((b"Proxy-" + basic("ada", "lovelace"),), 401),
        ((b"X-User: ada",), 401),
    ),
)
async def test_without_the_password_nothing_comes_through(tmp_path: Path, fields: tuple[bytes, ...], told: int) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        answer = await ask(worker, "/users/1", *fields)
        assert (answer.status, service.requests) == (told, [])
        if told == 401:
            assert answer.get("www-authenticate") == 'Basic realm="Staff", charset="UTF-8"'


async def test_one_of_several_ways_in(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        for fields in ((with_key(),), (basic("ada", "lovelace"),)):
            assert (await ask(worker, "/either/1", *fields, method="POST")).status == 200
        for fields in ((with_key("wrong"),), (basic("ada", "wrong"),), (with_key(), basic("ada", "wrong"))):
            assert (await ask(worker, "/either/1", *fields)).status == 401
        assert (await ask(worker, "/either/1", b"X-User: ada", b"X-Consumer: shop")).status == 200
        assert not {"x-user", "x-consumer"} & seen(service).keys()
        assert (await ask(worker, "/either/1", method="POST")).status == 403
        assert (await ask(worker, "/either/1", with_key(LIMITED))).status == 403
        assert len(service.requests) == 3


async def test_identities_cannot_be_brought_along_to_any_route(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        await ask(worker, "/open", b"X-User: ada", b"x_user: ada", b"X-CONSUMER: shop", with_key(), b"X-Other: 1")
        assert not {"x-user", "x_user", "x-consumer"} & seen(service).keys()
        assert (seen(service)["x-other"], seen(service)["x-api-key"]) == ("1", KEY)


@pytest.mark.parametrize(
    "address",
    (DENIED, f"::ffff:{DENIED}", f"::FFFF:{DENIED}", "::ffff:cb00:7109", f"[::ffff:{DENIED}]:80", f"{DENIED}:80"),
)
async def test_a_denied_address_in_all_its_forms(tmp_path: Path, address: str) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        answer = await ask(worker, "/either/1", f"X-Forwarded-For: {address}".encode(), with_key())
        assert (answer.status, service.requests) == (403, [])
        assert b"deny" not in answer.body
        assert (await ask(worker, "/either/1", b"X-Forwarded-For: 203.0.113.8", with_key())).status == 200


async def test_a_reload_reads_the_files_again(tmp_path: Path) -> None:
    async with upstream(answering) as service, guarded(tmp_path, service) as worker:
        assert (await ask(worker, "/keys/1", with_key())).status == 200
        assert (await ask(worker, "/users/1", basic("ada", "lovelace"))).status == 200
        before = set(worker.runtime.generation.plugins.values())
        assert await worker.runtime.reload()
        assert set(worker.runtime.generation.plugins.values()) == before

        (tmp_path / "keys.yaml").write_text(f"keys:\n{key_line('another')}")
        (tmp_path / "users").write_text(f"grace:{STORED}\n")
        assert await worker.runtime.reload()
        assert [(await ask(worker, "/keys/1", with_key(key))).status for key in (KEY, "another")] == [401, 200]
        # Also what was known a moment ago.
        assert (await ask(worker, "/users/1", basic("ada", "lovelace"))).status == 401
        assert (await ask(worker, "/users/1", basic("grace", "lovelace"))).status == 200

        (tmp_path / "users").write_text("grace:lovelace\n")
        assert not await worker.runtime.reload()
        assert "users:1: a stored password is" in str(worker.runtime.problems)
        assert "lovelace" not in str(worker.runtime.problems)
        assert (await ask(worker, "/users/1", basic("grace", "lovelace"))).status == 200


@pytest.mark.parametrize(
    ("file", "text", "message"),
    (
        ("users", "ada:lovelace\n", "users:1: a stored password is"),
        ("keys.yaml", f"keys:\n  - {{hash: {KEY}, consumer: shop}}\n", "keys.yaml:2:5"),
    ),
)
async def test_bad_files_are_found_before_the_start(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_credentials(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        async with prepared(tmp_path, HEAD + ROUTES.format(port=9, denied=DENIED)):
            pass

    assert not [secret for secret in (KEY, "lovelace") if secret in str(caught.value)]
