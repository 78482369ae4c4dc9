"""Requests with user and password: who is let in, what that costs, and what goes upstream."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from gateway.plugins.basic_auth import MOST_KNOWN, RIGHT_FOR, WRONG_FOR, BasicAuth

import gateway.auth.verifier as verifier
from gateway.auth.claims import consumer_of
from gateway.auth.verifier import AT_ONCE, MOST_WAITING
from gateway.exchange import Exchange
from gateway.plugin import ADMITTED
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run_async
from gateway.wire.head import ResponseHead
from tests.support.polling import soon

# Fixed, so that tests have the same names in each process.
SALT = b"$2b$04$abcdefghijklmnopqrstuu"
STORED = bcrypt.hashpw(b"lovelace", SALT).decode()
UMLAUT = bcrypt.hashpw("geheim€".encode(), SALT).decode()
CHALLENGE = 'Basic realm="gateway", charset="UTF-8"'


def basic(user: str = "ada", password: str = "lovelace") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


class Bench:
    """A plugin with its clock, its metrics and its file. `verified` notes what was verified."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.file = folder / "users"
        self.file.write_text(f"# staff\nada:{STORED}\ngünther:{UMLAUT}\n")
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.env = replace(make_env(self.clock, self.metrics), folder=folder)
        self.plugin = make_plugin(BasicAuth, self.env, **{"file": "users", **options})
        self.verified: list[str] = []
        verify = verifier.verify_password

        def noting(password: str, stored: str) -> bool:
            self.verified.append(password)
            return verify(password, stored)

        monkeypatch.setattr(verifier, "verify_password", noting)

    async def ask(self, *fields: str) -> tuple[ResponseHead, Exchange]:
        exchange = make_exchange("GET", "/", [("Authorization", field) for field in fields])
        return await soon(run_async(self.plugin, exchange)), exchange

    async def status(self, *fields: str) -> int:
        return (await self.ask(*fields))[0].status

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        assert {plugin for plugin, _ in family.children} == {"basic_auth"}
        return {result: child.value for (_, result), child in family.children.items() if child.value}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


async def test_a_user_is_let_in(bench: Bench) -> None:
    for _ in range(2):
        head, exchange = await bench.ask(basic())
        assert (head.status, exchange.principal, consumer_of(exchange)) == (200, "ada", "ada")
        assert exchange.claims == {"sub": "ada", "consumer": "ada"}
        assert exchange.headers.get_all("x-user") == ["ada"]
        assert exchange.headers.get("authorization") is None, "the password went upstream"
    assert bench.counted() == {"allowed": 2}


async def test_names_and_passwords_are_utf_8(bench: Bench) -> None:
    head, exchange = await bench.ask(basic("günther", "geheim€"))

    assert (head.status, exchange.principal) == (200, "günther")
    assert await bench.status("Basic " + b64encode("günther:geheim".encode("latin-1")).decode()) == 401


@pytest.mark.parametrize(
    "field",
    (
        basic(password="wrong"),
        basic(password=""),
        basic(password="Lovelace"),
        basic(password="lovelace\0"),
        basic(password="lovelace "),
        basic(password="lovelace" * 10_000),
        basic("Ada"),
        basic("ada "),
        basic("ada\0"),
        basic("nobody"),
        basic("", ""),
        basic("ada", STORED),
        "Basic",
        "Basic ",
        "Basic ada:lovelace",
        basic() + "=",
        basic()[:-4],
        "Basic\t" + basic()[6:],
        "Basic " + "A" * 100_000,
        "Basic \xff\xfe",
    ),
)
@pytest.mark.parametrize("optional", (False, True))
async def test_what_is_wrong_never_passes(
    field: str, optional: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, optional=optional)
    for _ in range(2):
        head, exchange = await bench.ask(field)
        assert (head.status, head.headers.get("www-authenticate")) == (401, CHALLENGE)
        assert b'"detail":"the user name or the password is wrong"' in (head.body or b"")
        assert (exchange.principal, exchange.headers.get("x-user")) == (None, None)
    assert bench.counted() == {"denied": 2}


@pytest.mark.parametrize("fields", ((), ("Bearer abc",), ("",), ("Digest username=ada",)))
async def test_without_credentials(fields: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, realm="Back office")
    head, _ = await bench.ask(*fields)
    assert (head.status, head.headers.get("www-authenticate")) == (401, 'Basic realm="Back office", charset="UTF-8"')
    assert bench.counted() == {"missing": 1}

    head, exchange = await Bench(tmp_path, monkeypatch, optional=True).ask(*fields)
    assert (head.status, exchange.principal) == (200, None)
    assert exchange.headers.get_all("authorization") == list(fields), "others' credentials are theirs to take out"


async def test_services_are_told_as_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, forward=True, headers={"user": "X-Staff"})
    _, exchange = await bench.ask(basic())
    assert (exchange.headers.get("authorization"), exchange.headers.get("x-staff")) == (basic(), "ada")
    assert tuple(bench.plugin.identity_headers()) == ("X-Staff",)

    silent = Bench(tmp_path, monkeypatch, headers={})
    _, exchange = await silent.ask(basic())
    assert [name for name, _ in exchange.headers.items()] == ["Host"]
    assert tuple(silent.plugin.identity_headers()) == ()


async def test_what_was_right_is_known_for_a_while(bench: Bench) -> None:
    assert [await bench.status(basic()) for _ in range(3)] == [200] * 3
    assert len(bench.verified) == 1
    exchange = make_exchange(headers={"Authorization": basic()})
    assert bench.plugin.on_request(exchange) is ADMITTED
    assert exchange.principal == "ada"
    bench.clock.advance(RIGHT_FOR)

    assert bench.plugin.on_request(make_exchange(headers={"Authorization": basic()})) is None
    assert await bench.status(basic()) == 200
    assert len(bench.verified) == 2


@pytest.mark.parametrize("field", (basic(password="wrong"), basic("nobody")))
async def test_what_was_wrong_is_known_for_a_moment(field: str, bench: Bench) -> None:
    assert [await bench.status(field) for _ in range(3)] == [401] * 3
    assert len(bench.verified) == 1
    bench.clock.advance(WRONG_FOR)

    assert await bench.status(field) == 401
    assert len(bench.verified) == 2


async def test_one_decision_is_not_anothers(bench: Bench) -> None:
    assert await bench.status(basic()) == 200
    for field in (basic(password="wrong"), basic("ada:", "lovelace"), basic("grace")):
        assert await bench.status(field) == 401
    assert await bench.status(basic()) == 200


async def test_an_unknown_user_is_verified_too(bench: Bench) -> None:
    known, _ = await bench.ask(basic(password="wrong"))
    unknown, _ = await bench.ask(basic("nobody", "wrong"))

    assert bench.verified == ["wrong", "wrong"]
    assert [known.status, known.headers.get("www-authenticate")] == [unknown.status, CHALLENGE]
    assert len(known.body or b"") == len(unknown.body or b"")


async def test_the_same_at_the_same_time_is_verified_once(bench: Bench) -> None:
    answers = await soon(asyncio.gather(*(bench.ask(basic()) for _ in range(20))))

    assert [head.status for head, _ in answers] == [200] * 20
    assert [exchange.headers.get_all("x-user") for _, exchange in answers] == [["ada"]] * 20
    assert len(bench.verified) == 1
    assert bench.counted() == {"allowed": 20}


async def test_a_crowd_is_sent_away_and_those_who_are_known_pass(bench: Bench) -> None:
    assert await bench.status(basic()) == 200
    crowd = AT_ONCE + MOST_WAITING + 5
    asking = asyncio.gather(*(bench.ask(basic(password=f"{number}")) for number in range(crowd)))
    await asyncio.sleep(0)
    assert await bench.status(basic()) == 200
    heads = [head for head, _ in await soon(asking)]

    assert sorted(head.status for head in heads) == [401] * (AT_ONCE + MOST_WAITING) + [503] * 5
    (told,) = {head.headers.get("retry-after") for head in heads if head.status == 503}
    assert told == "2"
    assert bench.counted() == {"allowed": 2, "denied": AT_ONCE + MOST_WAITING, "error": 5}
    assert await bench.status(basic("ada", "lovelace")) == 200


async def test_what_is_known_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "verify_password", lambda password, stored: False)
    for number in range(MOST_KNOWN // 100):
        await bench.status(basic(f"{number}"))

    assert len(bench.plugin._known) <= MOST_KNOWN
    assert bench.plugin._known._recent._half * 2 == MOST_KNOWN


def test_a_file_that_changed(bench: Bench) -> None:
    text = bench.file.read_text()
    assert bench.plugin.is_current(bench.env)
    bench.file.write_text(f"# a comment more\n{text}")
    assert bench.plugin.is_current(bench.env)
    bench.file.write_text(f"{text}grace:{STORED}\n")
    assert not bench.plugin.is_current(bench.env)
    bench.file.write_text("ada")
    assert not bench.plugin.is_current(bench.env)
    bench.file.unlink()
    assert not bench.plugin.is_current(bench.env)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"file": "nowhere"}, "'nowhere' cannot be read"),
        ({"file": "bad"}, "bad:2: a stored password is"),
        ({"realm": 'a"b'}, "no realm"),
        ({"headers": {"consumer": "X-User"}}, "user"),
        ({"headers": {"user": "Authorization"}}, "every client's request"),
    ),
)
def test_options_that_cannot_work(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").write_text("#\nada:lovelace\n")
    with pytest.raises(ValueError, match=message) as caught:
        Bench(tmp_path, monkeypatch, **options)

    assert "lovelace" not in str(caught.value)


async def test_no_password_is_in_logs_and_reprs(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(bench.plugin.options)]
    for field in (basic(), basic(password="wrong-one"), basic("nobody", "wrong-one")):
        head, exchange = await bench.ask(field)
        shown += [repr(head), repr(exchange), str(head.body), repr(exchange.claims), repr(exchange.state)]
    text = "".join([*shown, caplog.text])

    assert [found for found in ("lovelace", "wrong-one", basic()[6:], STORED[7:]) if found in text] == []
