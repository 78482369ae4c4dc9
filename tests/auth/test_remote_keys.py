"""Keys are fetched from an issuer that may be slow, wrong or away, and what is there is kept."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.auth import remote_keys
from gateway.auth.remote_keys import MAX_DOCUMENT, KeyPlace, KeysUnavailable, RemoteKeys, checked_url
from gateway.testing import FakeClock
from tests.support.issuer import IssuerService, issuer_service, key
from tests.support.polling import eventually, soon, turns

LOG = logging.getLogger("tests.keys")
DISCOVERY = "/.well-known/openid-configuration"
ONE, TWO = "RS256-0", "RS256-1"


class Naps:
    """Stands in for asyncio in the module: `taken` are the seconds it wanted to sleep, `wake` ends a sleep."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._over = asyncio.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        await self._over.acquire()

    def wake(self) -> None:
        self._over.release()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    found = Naps()
    monkeypatch.setattr(remote_keys, "asyncio", found)
    monkeypatch.setattr(remote_keys.random, "uniform", lambda low, high: (low + high) / 2)
    return found


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerService]:
    async with issuer_service(key()) as service:
        yield service


class Bench:
    """Keys of one issuer, with their clock and what they say in the log."""

    def __init__(self, keys: RemoteKeys, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
        self.keys = keys
        self.clock = clock
        self._caplog = caplog

    async def has(self, *kids: str | None) -> list[bool]:
        return [await soon(self.keys.find(kid, "RS256")) is not None for kid in kids]

    @property
    def warnings(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.name == LOG.name]


def tasks() -> list[str]:
    """Those of keys, and of who waits for them."""
    return [repr(task) for task in asyncio.all_tasks() if "RemoteKeys" in repr(task.get_coro())]


Opened = Callable[..., contextlib.AbstractAsyncContextManager[Bench]]


@pytest.fixture
def opened(caplog: pytest.LogCaptureFixture) -> Opened:
    """Keys of an issuer whose set is at `url`, or found by discovery. At the end nothing of them is left."""

    @contextlib.asynccontextmanager
    async def bench(service: IssuerService, url: str | None = "", started: bool = True) -> AsyncIterator[Bench]:
        clock = FakeClock()
        place = KeyPlace(service.url, service.jwks if url == "" else url)
        async with aiohttp.ClientSession() as session:
            keys = RemoteKeys(place, ["RS256"], lambda: session, clock, LOG)
            if started:
                await soon(keys.start())
            yield Bench(keys, clock, caplog)
            await soon(keys.stop())
            assert tasks() == []

    return bench


# fetching


async def test_a_start_has_the_keys(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        assert issuer.asked == {"/jwks": 1}
        assert len(tasks()) == 1
        assert await bench.has(ONE, None) == [True, True]
        assert issuer.asked == {"/jwks": 1}
        assert bench.warnings == []


async def test_discovery_says_where_the_keys_are(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer, url=None) as bench:
        assert await bench.has(ONE) == [True]
        assert issuer.asked == {DISCOVERY: 1, "/jwks": 1}


async def test_an_issuer_may_have_a_path(issuer: IssuerService, opened: Opened) -> None:
    issuer.documents["/realms/one" + DISCOVERY] = {"issuer": f"{issuer.url}/realms/one/", "jwks_uri": issuer.jwks}
    async with aiohttp.ClientSession() as session:
        place = KeyPlace(f"{issuer.url}/realms/one/")
        keys = RemoteKeys(place, ["RS256"], lambda: session, FakeClock(), LOG)
        assert await soon(keys.find(ONE, "RS256")) is not None


async def test_keys_are_there_before_the_start_when_somebody_asks(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer, started=False) as bench:
        assert await bench.has(ONE, ONE) == [True, True]
        assert issuer.fetches == 1


def said(status: int = 200, body: bytes = b"", **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, body=body, headers={"Content-Type": "text/html", **headers})


def good() -> bytes:
    return json.dumps({"keys": [key().jwk()]}).encode()


def bomb() -> web.Response:
    packed = gzip.compress(good() + b" " * MAX_DOCUMENT * 50)
    assert len(packed) < MAX_DOCUMENT
    return web.Response(body=packed, headers={"Content-Encoding": "gzip"})


REFUSED: dict[str, tuple[Callable[[], web.StreamResponse], str]] = {
    "301": (lambda: web.Response(status=301, headers={"Location": "/elsewhere"}), "answered 301"),
    "302": (lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), "answered 302"),
    "304": (said(304), "answered 304"),
    "307": (lambda: web.Response(status=307, headers={"Location": "/elsewhere"}), "answered 307"),
    "201": (lambda: web.Response(status=201, body=good()), "answered 201"),
    "404": (said(404, b"no"), "answered 404"),
    "500 with keys": (lambda: web.Response(status=500, body=good()), "answered 500"),
    "503": (said(503), "answered 503"),
    "nothing": (said(), "keys in JSON are an object, and this is none"),
    "HTML": (said(200, b"<!doctype html><h1>Maintenance</h1>"), "keys in JSON are an object, and this is none"),
    "a list": (said(200, b"[]"), "keys in JSON are an object, and this is none"),
    "half": (lambda: web.Response(body=good()[:-9]), "keys in JSON are an object, and this is none"),
    "no keys": (said(200, b'{"keys": []}'), "no key of the set is for RS256"),
    "no list": (said(200, b'{"error": "x"}'), "a key set has a list of `keys`"),
    "too large": (lambda: web.Response(body=good() + b" " * MAX_DOCUMENT), f"more than {MAX_DOCUMENT} bytes"),
    "10,000 keys": (lambda: web.json_response({"keys": [key().jwk()] * 10_000}), f"more than {MAX_DOCUMENT} bytes"),
    "packed": (bomb, f"more than {MAX_DOCUMENT} bytes"),
    "a secret": (lambda: web.json_response({"keys": [key("HS256").jwk()]}), "no key of the set is for RS256"),
    "1024 bits": (lambda: web.json_response({"keys": [key(number=8, bits=1024).jwk()]}), "no key of the set is for"),
    "private": (lambda: web.json_response({"keys": [key().jwk(private=True)]}), "no key of the set is for RS256"),
    "not gzip": (lambda: web.Response(body=b"junk", headers={"Content-Encoding": "gzip"}), "Error"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_key_set(name: str, issuer: IssuerService, opened: Opened) -> None:
    issuer.instead, wanted = REFUSED[name]
    async with opened(issuer, started=False) as bench:
        with pytest.raises(KeysUnavailable):
            await bench.has(ONE)
        assert len(bench.warnings) == 1
        assert bench.warnings[0].startswith(f"no new keys of {issuer.url}: ")
        assert wanted in bench.warnings[0]
        assert issuer.asked == {"/jwks": 1}, "it was followed elsewhere"


@pytest.mark.parametrize("name", REFUSED)
async def test_the_keys_that_are_there_are_kept(name: str, issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        issuer.instead, _ = REFUSED[name]
        assert await bench.has("unknown", ONE) == [False, True]
        assert issuer.fetches == 2


async def test_exactly_so_many_bytes_are_read(issuer: IssuerService, opened: Opened) -> None:
    issuer.instead = lambda: web.Response(body=good().ljust(MAX_DOCUMENT))
    async with opened(issuer) as bench:
        assert await bench.has(ONE) == [True]


async def test_an_issuer_that_is_away(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        await issuer.stop()
        assert await bench.has("unknown", ONE) == [False, True]
        assert bench.warnings == [f"no new keys of {issuer.url}: {issuer.jwks}: ClientConnectorError"]


async def test_an_issuer_that_hangs(issuer: IssuerService, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(issuer) as bench:
        monkeypatch.setattr(remote_keys, "FETCH_SECONDS", 0.01)
        issuer.holding.clear()
        assert await bench.has("unknown", ONE) == [False, True]
        assert bench.warnings == [f"no new keys of {issuer.url}: it did not answer in time"]


async def test_an_issuer_that_never_ends(
    issuer: IssuerService, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head comes, and of the body nothing."""
    monkeypatch.setattr(remote_keys, "FETCH_SECONDS", 0.2)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with opened(issuer, url=url, started=False) as bench:
        with pytest.raises(KeysUnavailable):
            await bench.has(ONE)
        assert bench.warnings == [f"no new keys of {issuer.url}: it did not answer in time"]
    server.close()


# discovery


@pytest.mark.parametrize(
    ("document", "wanted"),
    (
        ({"issuer": "https://evil.example", "jwks_uri": "{jwks}"}, "names another issuer, or is none"),
        ({"issuer": "{url}/", "jwks_uri": "{jwks}"}, "names another issuer, or is none"),
        ({"issuer": ["{url}"], "jwks_uri": "{jwks}"}, "names another issuer, or is none"),
        ({"jwks_uri": "{jwks}"}, "names another issuer, or is none"),
        ([], "names another issuer, or is none"),
        (b"<html>", "names another issuer, or is none"),
        ({"issuer": "{url}"}, "'None' is no URL to fetch from"),
        ({"issuer": "{url}", "jwks_uri": None}, "'None' is no URL to fetch from"),
        ({"issuer": "{url}", "jwks_uri": "/jwks"}, "'/jwks' is no URL to fetch from"),
        ({"issuer": "{url}", "jwks_uri": "file:///etc/passwd"}, "is no URL to fetch from"),
        ({"issuer": "{url}", "jwks_uri": "http://keys.example/jwks"}, "is not https"),
        ({"issuer": "{url}", "jwks_uri": "http://169.254.169.254/"}, "is not https"),
        ({"issuer": "{url}", "jwks_uri": "http://127.0.0.1@keys.example/"}, "is no URL to fetch from"),
        ({"issuer": "{url}", "jwks_uri": "{jwks}\r\nX: y"}, "is no URL to fetch from"),
    ),
)
async def test_a_discovery_document_that_will_not_do(
    document: Any, wanted: str, issuer: IssuerService, opened: Opened
) -> None:
    if isinstance(document, dict):
        text = json.dumps(document).replace("{url}", issuer.url).replace("{jwks}", issuer.jwks)
        document = text.encode()
    issuer.documents[DISCOVERY] = document
    async with opened(issuer, url=None, started=False) as bench:
        with pytest.raises(KeysUnavailable):
            await bench.has(ONE)
        assert wanted in bench.warnings[0]
        assert "\n" not in bench.warnings[0]
        assert issuer.asked == {DISCOVERY: 1}


@pytest.mark.parametrize(
    "url",
    (
        "https://issuer.example",
        "https://issuer.example:8443/keys?tenant=a",
        "http://127.0.0.1:9004/jwks",
        "http://localhost/jwks",
        "http://[::1]:80/jwks",
    ),
)
def test_a_good_url(url: str) -> None:
    assert checked_url(url, False) == url


@pytest.mark.parametrize(
    "url",
    (
        *("", "issuer.example", "/jwks", "//issuer.example/jwks", "ftp://issuer.example", "https://", "https:///jwks"),
        *("https://user@issuer.example", "https://user:password@issuer.example", "file:///etc/passwd"),
        *("https://issuer.example:99999", "https://issuer.example:port", "https://issuer.example:0", "https://[::1"),
        *(
            "https://issuer.example/a b",
            "https://issuer.example/\r\nX: y",
            "https://is\tsuer.example",
            "https://é.example",
        ),
        *(" https://issuer.example", "https://issuer.example\n", "http://127.0.0.1\\@issuer.example/"),
    ),
)
@pytest.mark.parametrize("insecure", (False, True))
def test_what_is_no_url(url: str, insecure: bool) -> None:
    with pytest.raises(ValueError, match="is no URL to fetch from; write one such as https"):
        checked_url(url, insecure)


@pytest.mark.parametrize(
    "url",
    (
        *("http://issuer.example", "HTTP://issuer.example", "http://127.0.0.1.issuer.example", "http://10.0.0.1"),
        *(
            "http://localhost.issuer.example",
            "http://0.0.0.0",
            "http://127.0.0.1%00.example",
            "http://[::ffff:10.0.0.1]",
        ),
    ),
)
def test_plain_http_is_for_this_machine(url: str) -> None:
    with pytest.raises(ValueError, match="is not https: .* add insecure_http: true"):
        checked_url(url, False)
    assert checked_url(url, True) == url


# keys that are not known


async def test_a_rotation_is_picked_up_by_the_first_token(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        issuer.publish(key(number=1), key())
        assert await bench.has(TWO, ONE) == [True, True]
        assert issuer.fetches == 2


async def test_an_unknown_id_is_asked_for_once_in_thirty_seconds(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        assert await bench.has("a", "b", "a", ONE) == [False, False, False, True]
        assert issuer.fetches == 2
        issuer.publish(key(number=1))
        bench.clock.advance(29.9)
        assert await bench.has(TWO) == [False]
        assert issuer.fetches == 2
        bench.clock.advance(0.2)
        assert await bench.has(TWO, ONE) == [True, False]
        assert issuer.fetches == 3


async def test_a_thousand_at_once_are_one_fetch(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        issuer.publish(key(number=1), key())
        issuer.holding.clear()
        asked = [asyncio.create_task(bench.keys.find(TWO if n % 2 else f"x{n}", "RS256")) for n in range(1000)]
        await eventually(lambda: issuer.fetches == 2)
        issuer.holding.set()
        found = await soon(asyncio.gather(*asked))
        assert [one is not None for one in found] == [False, True] * 500
        assert issuer.fetches == 2


async def test_no_id_asks_nobody(issuer: IssuerService, opened: Opened) -> None:
    issuer.publish(key(), key(number=1))
    async with opened(issuer) as bench:
        assert await bench.has(None, None) == [False, False]
        assert issuer.fetches == 1


async def test_an_id_that_is_known_asks_nobody_while_another_is_asked_for(
    issuer: IssuerService, opened: Opened
) -> None:
    async with opened(issuer) as bench:
        issuer.holding.clear()
        unknown = asyncio.create_task(bench.keys.find("unknown", "RS256"))
        await eventually(lambda: issuer.fetches == 2)
        assert await bench.has(ONE) == [True]
        issuer.holding.set()
        assert await soon(unknown) is None


async def test_who_goes_away_takes_nothing_from_the_others(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer) as bench:
        issuer.publish(key(number=1))
        issuer.holding.clear()
        first, second = (asyncio.create_task(bench.keys.find(TWO, "RS256")) for _ in range(2))
        await eventually(lambda: issuer.fetches == 2)
        first.cancel()
        await asyncio.wait([first])
        issuer.holding.set()
        assert await soon(second) is not None
        assert first.cancelled()
        assert issuer.fetches == 2


# no keys yet


async def test_without_keys_an_issuer_is_asked_once_a_second(issuer: IssuerService, opened: Opened) -> None:
    await issuer.stop()
    async with opened(issuer, started=False) as bench:
        for _ in range(5):
            with pytest.raises(KeysUnavailable):
                await bench.has(ONE)
        assert len(bench.warnings) == 1
        await issuer.start()
        bench.clock.advance(0.9)
        with pytest.raises(KeysUnavailable):
            await bench.has(ONE)
        bench.clock.advance(0.2)
        assert await bench.has(ONE) == [True]


async def test_a_start_goes_on_without_the_issuer(
    issuer: IssuerService, opened: Opened, monkeypatch: pytest.MonkeyPatch, naps: Naps
) -> None:
    monkeypatch.setattr(remote_keys, "START_SECONDS", 0.01)
    issuer.holding.clear()
    async with opened(issuer) as bench:
        assert bench.warnings == [f"the issuer {issuer.url} has not answered yet; its tokens are not accepted"]
        assert bench.keys.keys is None
        issuer.holding.set()
        await eventually(lambda: bench.keys.keys is not None)
        assert await bench.has(ONE) == [True]
        assert issuer.fetches == 1


async def test_a_stop_while_it_fetches(issuer: IssuerService, opened: Opened) -> None:
    """Who waits is told that there are no keys; nobody but who goes away is cancelled."""
    issuer.holding.clear()
    async with opened(issuer, started=False) as bench:
        waiting = asyncio.create_task(bench.keys.find(ONE, "RS256"))
        await eventually(lambda: issuer.fetches == 1)
        await soon(bench.keys.stop())
        with pytest.raises(KeysUnavailable):
            await soon(waiting)
        issuer.holding.set()


async def test_a_stop_waits_for_no_issuer(
    issuer: IssuerService, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "FETCH_SECONDS", 600.0)
    async with opened(issuer) as bench:
        issuer.holding.clear()
        waiting = asyncio.create_task(bench.keys.find("unknown", "RS256"))
        await eventually(lambda: issuer.fetches == 2)
        await soon(bench.keys.stop())
        assert await soon(waiting) is None
        assert await bench.has(ONE) == [True]
    issuer.holding.set()


async def test_a_stop_without_a_start(issuer: IssuerService, opened: Opened) -> None:
    async with opened(issuer, started=False):
        pass
    assert issuer.fetches == 0


# refreshing


@pytest.mark.parametrize(
    ("field", "life"),
    (
        ({}, 3600),
        ({"Cache-Control": "max-age=1000"}, 1000),
        ({"Cache-Control": "public, MAX-AGE=1000, must-revalidate"}, 1000),
        ({"Cache-Control": "public,max-age=1000"}, 1000),
        ({"Cache-Control": "max-age=300"}, 300),
        ({"Cache-Control": "max-age=299"}, 300),
        ({"Cache-Control": "max-age=0"}, 300),
        ({"Cache-Control": "max-age=86400"}, 86_400),
        ({"Cache-Control": "max-age=86401"}, 86_400),
        ({"Cache-Control": "max-age=" + "9" * 400}, 86_400),
        ({"Cache-Control": "s-maxage=1000"}, 3600),
        ({"Cache-Control": "x-max-age=1000"}, 3600),
        ({"Cache-Control": "max-age=-5"}, 3600),
        ({"Cache-Control": "max-age=soon"}, 3600),
        ({"Cache-Control": "no-store"}, 3600),
    ),
)
async def test_keys_are_fetched_anew_before_they_are_old(
    field: dict[str, str], life: float, issuer: IssuerService, opened: Opened, naps: Naps
) -> None:
    issuer.headers = field
    async with opened(issuer) as bench:
        await eventually(lambda: naps.taken)
        assert naps.taken == [pytest.approx(life * 0.8)]
        issuer.publish(key(number=1))
        naps.wake()
        await eventually(lambda: len(naps.taken) == 2)
        assert issuer.fetches == 2
        assert bench.keys.keys is not None
        assert await bench.has(TWO) == [True]
        assert issuer.fetches == 2


async def test_a_refresh_that_fails_is_tried_again_and_again(issuer: IssuerService, opened: Opened, naps: Naps) -> None:
    async with opened(issuer) as bench:
        await eventually(lambda: naps.taken)
        issuer.instead = said(500)
        for count in range(2, 10):
            naps.wake()
            await eventually(lambda count=count: len(naps.taken) == count)
        assert naps.taken[1:] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert await bench.has(ONE) == [True]
        issuer.instead = None
        issuer.publish(key(number=1))
        naps.wake()
        await eventually(lambda: len(naps.taken) == 10)
        assert naps.taken[-1] == pytest.approx(3600 * 0.8)
        assert await bench.has(TWO) == [True]
        issuer.instead = said(500)
        naps.wake()
        await eventually(lambda: len(naps.taken) == 11)
        assert naps.taken[-1] == 1


async def test_instances_do_not_ask_in_step(issuer: IssuerService, opened: Opened, monkeypatch: Any) -> None:
    spread: list[tuple[float, float]] = []
    monkeypatch.setattr(remote_keys.random, "uniform", lambda low, high: spread.append((low, high)) or 1.0)
    monkeypatch.setattr(remote_keys, "START_SECONDS", 0.0)
    naps = Naps()
    monkeypatch.setattr(remote_keys, "asyncio", naps)
    issuer.instead = said(500)
    async with opened(issuer):
        await eventually(lambda: naps.taken)
        assert spread == [(0.8, 1.2)]


async def test_a_refresh_and_an_unknown_id_are_one_fetch(issuer: IssuerService, opened: Opened, naps: Naps) -> None:
    async with opened(issuer) as bench:
        await eventually(lambda: naps.taken)
        issuer.publish(key(number=1), key())
        issuer.holding.clear()
        naps.wake()
        await eventually(lambda: issuer.fetches == 2)
        waiting = asyncio.create_task(bench.keys.find(TWO, "RS256"))
        await turns()
        assert not waiting.done()
        issuer.holding.set()
        assert await soon(waiting) is not None
        assert issuer.fetches == 2
        # The refresh was nobody's question: one for an id that is not known is still free.
        assert await bench.has("unknown") == [False]
        assert issuer.fetches == 3


async def test_a_crash_of_the_session_is_an_issuer_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> aiohttp.ClientSession:
        raise RuntimeError("no session")

    keys = RemoteKeys(KeyPlace("https://issuer.example", "https://issuer.example/jwks"), [], broken, FakeClock(), LOG)
    with pytest.raises(KeysUnavailable):
        await keys.find(None, "RS256")
    assert "no session" in caplog.text
