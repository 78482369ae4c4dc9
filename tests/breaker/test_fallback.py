"""What stands in for an answer, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.breaker.fallback import Fallbacks
from gateway.breaker.options import Fallback, Stale
from gateway.exchange import Attempt, Exchange
from gateway.plugin import Env
from gateway.testing import FakeUpstream, make_env, make_exchange, make_head
from gateway.wire.head import ResponseHead

NOW = 1000.0


def env(folder: Path = Path()) -> Env:
    return replace(make_env(upstreams={"standby": FakeUpstream()}), folder=folder)


def made(folder: Path = Path(), **options: Any) -> Fallbacks:
    return Fallbacks(Fallback(**options), env(folder))


def answered(status: int = 200, **fields: Any) -> Exchange:
    exchange = make_exchange(upstream_names=("service", "standby"), **fields)
    exchange.attempt = Attempt(1, "a:1", NOW)
    exchange.attempt.status = status
    return exchange


def pass_by(fallbacks: Fallbacks, exchange: Exchange, body: bytes = b"good", status: int = 200) -> None:
    fallbacks.watch(exchange, make_head(status, {"Content-Length": str(len(body))}), NOW)
    if exchange.tap is not None:
        exchange.tap.feed(body)
        exchange.tap.end()


@pytest.mark.parametrize(
    ("options", "status", "media_type", "body"),
    (
        ({"json": {"items": []}}, 200, "application/json", b'{"items":[]}'),
        ({"text": "später", "status": 503}, 503, "text/plain; charset=utf-8", "später".encode()),
        ({"text": "<p>", "headers": {"content-type": "text/html"}}, 200, "text/html", b"<p>"),
        ({"status": 204}, 204, None, b""),
        ({"headers": {"Location": "/"}, "status": 302}, 302, None, b""),
    ),
)
def test_a_literal_answer(options: dict[str, Any], status: int, media_type: str | None, body: bytes) -> None:
    exchange = make_exchange()

    reply = made(**options).answer(exchange, NOW)

    assert reply is not None
    assert (reply.status, reply.body) == (status, body)
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert headers.get("content-type") == media_type
    assert headers["gateway-fallback"] == exchange.fallback == "static"


def test_the_mark_is_not_the_users_to_set() -> None:
    reply = made(text="a", headers={"gateway-fallback": "mine", "X-A": "b"}).answer(make_exchange(), NOW)

    assert reply is not None
    assert reply.headers == {"X-A": "b", "Content-Type": "text/plain; charset=utf-8", "Gateway-Fallback": "static"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    (("sorry.html", "text/html"), ("sorry.json", "application/json"), ("sorry", "application/octet-stream")),
)
def test_a_file_is_read_once_beside_the_configuration(tmp_path: Path, name: str, media_type: str) -> None:
    (tmp_path / name).write_bytes(b"\x00sorry")
    fallbacks = made(tmp_path, file=name)
    (tmp_path / name).unlink()

    reply = fallbacks.answer(make_exchange(), NOW)

    assert reply is not None
    assert (reply.body, reply.headers["Content-Type"]) == (b"\x00sorry", media_type)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'no.html' cannot be read \(No such file .*\); it is looked for in /.*"):
        made(tmp_path, file="no.html")


def test_json_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="json cannot be written: Integer exceeds 64-bit range"):
        made(json=1 << 70)


def test_another_upstream() -> None:
    exchange = answered(502)

    assert made(to="standby").answer(exchange, NOW) is None

    assert (exchange.upstream, exchange.fallback) == ("standby", "upstream")


def test_the_upstream_that_failed_does_not_stand_in_for_itself() -> None:
    exchange = answered(502, upstream="standby")

    assert made(to="standby").answer(exchange, NOW) is None

    assert exchange.fallback == ""


def test_an_upstream_that_is_not_there() -> None:
    with pytest.raises(LookupError, match="no upstream 'standbi'"):
        made(to="standbi")


@pytest.mark.parametrize("otherwise", ({"text": "static"}, {"to": "standby"}, {}))
def test_the_last_good_answer_comes_first(otherwise: dict[str, Any]) -> None:
    fallbacks = made(stale=Stale(), **otherwise)
    before = answered(502)
    assert fallbacks.answer(before, NOW) is None or before.fallback == "static"
    assert before.fallback == {"text": "static", "to": "upstream"}.get("".join(otherwise), "")

    pass_by(fallbacks, answered())
    exchange = answered(502)
    reply = fallbacks.answer(exchange, NOW + 7)

    assert reply is not None
    assert (reply.body, exchange.fallback, exchange.upstream) == (b"good", "stale", "service")
    assert (reply.headers["Gateway-Fallback"], reply.headers["Age"]) == ("stale", "7")


@pytest.mark.parametrize(
    "exchange",
    (
        pytest.param(make_exchange(), id="a plugin's own answer"),
        pytest.param(answered(500), id="a failure that a plugin turned into a 200"),
        pytest.param(answered(fallback="upstream"), id="a fallback's answer"),
    ),
)
def test_what_is_no_good_answer_of_the_upstream(exchange: Exchange) -> None:
    fallbacks = made(stale=Stale())

    fallbacks.watch(exchange, make_head(200, {"Content-Length": "4"}), NOW)

    assert exchange.tap is None


def chunked() -> ResponseHead:
    head = make_head()
    head.block.chunked = True
    return head


@pytest.mark.parametrize(
    ("head", "kept"),
    (
        pytest.param(make_head(), False, id="ends with the connection"),
        pytest.param(make_head(headers={"Content-Length": "4"}), True, id="with a length"),
        pytest.param(chunked(), True, id="chunked"),
    ),
)
def test_a_body_that_may_have_broken_off_is_not_kept(head: ResponseHead, kept: bool) -> None:
    exchange = answered()

    made(stale=Stale()).watch(exchange, head, NOW)

    assert (exchange.tap is not None) is kept


def test_fields_are_kept_as_they_came() -> None:
    fallbacks = made(stale=Stale())
    exchange = answered()
    head = make_head(200, {"Content-Length": "4", "X-A": "theirs"})
    head.add("X-A", "ours")
    fallbacks.watch(exchange, head, NOW)
    assert exchange.tap is not None
    exchange.tap.end()

    reply = fallbacks.answer(answered(502), NOW)

    assert reply is not None
    assert reply.headers["X-A"] == "theirs"


def test_a_body_that_plugins_edit_is_kept_with_the_fields_of_that_moment() -> None:
    fallbacks = made(stale=Stale())
    exchange = answered()
    head = make_head(200, {"Content-Length": "4", "X-A": "theirs"}, b"good")
    head.add("X-A", "ours")
    fallbacks.watch(exchange, head, NOW)
    head.add("Content-Encoding", "gzip")
    head.body = b"compressed"
    assert exchange.tap is None

    reply = fallbacks.answer(answered(502), NOW)

    assert reply is not None
    assert (reply.headers["X-A"], reply.headers.get("Content-Encoding"), reply.body) == ("theirs, ours", None, b"good")


def test_a_body_that_broke_off_gives_its_bytes_back() -> None:
    fallbacks = made(stale=Stale())
    exchange = answered()
    fallbacks.watch(exchange, make_head(200, {"Content-Length": "4"}), NOW)
    assert exchange.tap is not None
    assert fallbacks.stale is not None
    exchange.tap.feed(b"ha")
    assert fallbacks.stale.gathering == 2

    fallbacks.finished(exchange)
    fallbacks.finished(exchange)

    assert fallbacks.stale.gathering == 0


def test_a_file_that_changes_and_an_upstream_that_goes(tmp_path: Path) -> None:
    (tmp_path / "sorry.txt").write_text("sorry")
    fallbacks = made(tmp_path, file="sorry.txt")
    assert fallbacks.is_current(env(tmp_path))
    (tmp_path / "sorry.txt").write_text("new")
    assert not fallbacks.is_current(env(tmp_path))
    (tmp_path / "sorry.txt").unlink()
    assert not fallbacks.is_current(env(tmp_path))
    assert made(to="standby").is_current(env())
    assert not made(to="standby").is_current(make_env())
    assert made(stale=Stale()).is_current(make_env())


def test_a_tap_that_is_there_stays() -> None:
    class Tap:
        def feed(self, data: bytes) -> None:
            """Look."""

        def end(self) -> None:
            """See."""

    exchange = answered()
    exchange.tap = tap = Tap()

    fallbacks = made(stale=Stale())
    fallbacks.watch(exchange, make_head(200, {"Content-Length": "4"}), NOW)
    fallbacks.finished(exchange)

    assert exchange.tap is tap


@pytest.mark.parametrize(
    ("options", "phases"),
    (
        ({"text": "a"}, set()),
        ({"stale": Stale()}, {"on_response", "on_finish"}),
        ({"to": "standby"}, {"on_response", "on_finish"}),
    ),
)
def test_the_phases_it_needs(options: dict[str, Any], phases: set[str]) -> None:
    assert made(**options).phases == phases


def test_an_application_takes_over_as_an_upstream_does() -> None:
    fallbacks = made(app="bff.web:app")
    assert (fallbacks.to, fallbacks.applications) == ("app:bff.web:app", ("bff.web:app",))
    assert fallbacks.is_current(make_env())
    exchange = make_exchange(upstream_names=("service", "app:bff.web:app"))
    assert fallbacks.answer(exchange, NOW) is None
    assert (exchange.upstream, exchange.fallback) == ("app:bff.web:app", "upstream")
    assert made(to="standby").applications == ()
