"""The kit for plugin authors does what the gateway would do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.errors import Failure, GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import ADMITTED, Duration, Plugin, ResponseHead, Secret, UpstreamReply
from gateway.testing import (
    FakeClock,
    FakeSinks,
    FakeUpstream,
    make_env,
    make_exchange,
    make_head,
    make_plugin,
    run,
    run_async,
)


class Maintenance(Plugin):
    """The contract's own example."""

    @dataclass(frozen=True)
    class Options:
        message: str = "back soon"

    def on_request(self, exchange: Exchange) -> Reply | None:
        return Reply.text(503, self.options.message)


class Diary(Plugin):
    """Writes down its phases."""

    def note(self, phase: str) -> None:
        self.env.log.info("%s.%s", self.name, phase)

    def on_request(self, exchange: Exchange) -> Reply | None:
        self.note("on_request")
        return None

    async def admit(self, exchange: Exchange) -> Reply | None:
        self.note("admit")
        return None

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        self.note("on_attempt")
        return None

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        self.note("on_attempt_end")

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self.note("on_response")

    def on_finish(self, exchange: Exchange) -> None:
        self.note("on_finish")


def diaries(*names: str) -> list[Plugin]:
    plugins: list[Plugin] = []
    for name in names:
        plugins.append(make_plugin(Diary))
        plugins[-1].name = name
    return plugins


def test_the_contracts_example() -> None:
    head = run(make_plugin(Maintenance, message="soon"), make_exchange("GET", "/api/items"))

    assert (head.status, head.body, head.headers.get("content-length")) == (503, b"soon", "4")


def test_phases_run_in_the_contracts_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.test")

    run(diaries("a", "b"), make_exchange())

    assert caplog.messages == [
        "a.on_request", "a.admit", "b.on_request", "b.admit",
        "a.on_attempt", "b.on_attempt", "b.on_attempt_end", "a.on_attempt_end",
        "b.on_response", "a.on_response", "a.on_finish", "b.on_finish",
    ]  # fmt: skip


def test_a_reply_stops_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.test")
    first, last = diaries("a", "c")

    run([first, make_plugin(Maintenance), last], make_exchange())

    assert caplog.messages == ["a.on_request", "a.admit", "a.on_response", "a.on_finish"]


def test_an_exchange_is_as_it_would_be_after_routing() -> None:
    exchange = make_exchange("GET", "/a%20b?x=1", {"X-A": "1", "X-Forwarded-For": "6.6.6.6"}, captures={"id": "4"})

    assert (exchange.path, exchange.query, exchange.host) == ("/a b", "x=1", "gateway.test")
    assert (exchange.headers.get("x-a"), exchange.headers.get("x-forwarded-for")) == ("1", None)
    assert (exchange.captures, exchange.route, exchange.upstream) == ({"id": "4"}, "test", "service")


def test_a_trusted_peer_may_say_more() -> None:
    exchange = make_exchange("GET", "/", {"X-Forwarded-For": "6.6.6.6", "Host": "a"}, peer_trusted=True)

    assert (exchange.headers.get("x-forwarded-for"), exchange.host) == ("6.6.6.6", "a")


def test_a_field_that_an_exchange_lacks_is_refused() -> None:
    with pytest.raises(TypeError, match="an exchange has no 'rute'"):
        make_exchange(rute="item")


@pytest.mark.parametrize("name", ("X A", ""))
def test_the_wires_rules_hold_for_what_a_plugin_sets(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        make_exchange().headers.set(name, "1")


def test_what_happened_is_on_the_exchange_at_its_end() -> None:
    exchange, plugin = make_exchange(), make_plugin(Diary)

    head = run(plugin, exchange, lambda asked: Reply(201, {"X-Path": asked.path}, b"abc"), seconds=0.5)

    assert (head.status, head.body, head.headers.get("x-path")) == (201, b"abc", "/")
    assert (exchange.status, exchange.outcome, exchange.bytes_out, exchange.attempts) == (201, "answered", 3, 1)
    assert (exchange.ended - exchange.started, exchange.upstream_seconds) == (0.5, 0.5)
    assert plugin.env.clock.now() == 1000.5


def test_a_failing_upstream_is_the_gateways_answer() -> None:
    exchange = make_exchange()

    head = run(make_plugin(Diary), exchange, GatewayError(Kind.RESPONSE_TIMEOUT))

    assert (head.status, exchange.outcome, exchange.flag) == (504, "response_timeout", "UT")
    assert exchange.attempt is not None
    assert exchange.attempt.error == "response_timeout"
    assert head.headers.get("content-type") == "application/problem+json"


class Shouting(Plugin):
    needs_body = "response"

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        assert head.body is not None
        head.body = head.body.upper()


def test_a_body_is_there_for_those_who_declare_it() -> None:
    assert run(make_plugin(Shouting), make_exchange(), Reply(200, body=b"abc")).body == b"ABC"
    assert make_exchange(body=b"x").body == b"x"
    assert make_head(200, {"A": "b"}, b"x").body == b"x"


class Small(Shouting):
    max_body = 3

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        return head.status == 200

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        if head.body is not None and head.body.startswith(b"!"):
            raise GatewayError(Kind.UPSTREAM_MALFORMED)
        head.headers.set("X-Collected", str(head.body is not None))


def test_a_body_is_there_where_it_is_collected() -> None:
    collected, passed = (run(make_plugin(Small), make_exchange(), Reply(status, body=b"abc")) for status in (200, 201))

    assert (collected.body, collected.headers.get("x-collected")) == (b"abc", "True")
    assert (passed.body, passed.headers.get("x-collected")) == (b"abc", "False")


@pytest.mark.parametrize(
    ("body", "kind", "flag"),
    [(b"abcd", "upstream_body_too_large", "UPE"), (b"!", "upstream_malformed", "UPE")],
)
def test_an_answer_may_be_refused(body: bytes, kind: str, flag: str) -> None:
    exchange = make_exchange()

    head = run(make_plugin(Small), exchange, Reply(200, body=body))

    assert (head.status, exchange.outcome, exchange.flag) == (502, kind, flag)
    assert head.headers.get("x-collected") == "True", "that answer passes on_response as well"


def test_a_refused_answer_may_be_replaced_once() -> None:
    rescuer, exchange = Rescuer(), make_exchange()
    head = run([rescuer, make_plugin(Small)], exchange, Reply(200, body=b"!"))
    assert (head.body, exchange.outcome, exchange.flag) == (b"instead", "fallback", "UPE,FB")
    assert rescuer.failures == [Failure(502, "upstream_malformed", "reset")]

    rescuer, exchange = Rescuer("standby"), make_exchange(upstream_names=("service", "standby"))
    assert run([rescuer, make_plugin(Small)], exchange, Reply(200, body=b"!")).status == 502
    assert (len(rescuer.failures), exchange.attempts) == (1, 2)


class RefusesAll(Plugin):
    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        raise GatewayError(Kind.UPSTREAM_MALFORMED)


def test_the_gateways_own_answer_is_not_refused() -> None:
    with pytest.raises(GatewayError):
        run(make_plugin(RefusesAll), make_exchange())


class Instead(Plugin):
    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        return Reply.text(200, "fallback")


def test_a_reply_in_place_of_an_attempt() -> None:
    exchange = make_exchange()

    head = run(make_plugin(Instead), exchange, Reply(500))

    assert (head.status, head.body, exchange.outcome) == (200, b"fallback", "local")


class Delegation(Plugin):
    async def admit(self, exchange: Exchange) -> Reply | None:
        answer = await self.env.upstream("auth").request("GET", "/check", {"X-A": "1"})
        await self.env.shared.set("seen", b"1")
        return None if answer.status == 200 else Reply(answer.status)


def test_admit_may_call_fakes() -> None:
    auth = FakeUpstream([UpstreamReply(200, {}, b""), UpstreamReply(401, {}, b"")])
    plugin = make_plugin(Delegation, make_env(upstreams={"auth": auth}))

    assert [run(plugin, make_exchange()).status for _ in range(3)] == [200, 401, 401]
    assert auth.calls[0] == ("GET", "/check", {"X-A": "1"}, b"")


def test_a_fake_upstream_can_fail() -> None:
    plugin = make_plugin(Delegation, make_env(upstreams={"auth": FakeUpstream([GatewayError(Kind.CONNECT_FAILED)])}))

    assert run(plugin, make_exchange()).status == 502


class Rescuer(Plugin):
    """Answers for the upstream's failures, or sends them elsewhere."""

    def __init__(self, elsewhere: str = "") -> None:
        super().__init__(None, make_env())
        self.elsewhere = elsewhere
        self.failures: list[Failure] = []
        self.passed = b""

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        self.failures.append(failure)
        if self.elsewhere:
            exchange.set_upstream(self.elsewhere)
            return None
        return Reply.text(200, "instead")

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        exchange.tap = self

    def feed(self, data: bytes) -> None:
        self.passed += data

    def end(self) -> None:
        self.passed += b"."


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Reply(503), Failure(503, "", "5xx")),
        (GatewayError(Kind.CONNECT_FAILED), Failure(502, "connect_failed", "connect")),
        (GatewayError(Kind.BREAKER_OPEN), Failure(503, "breaker_open", "")),
    ],
)
def test_a_failure_may_be_answered(answer: Reply | GatewayError, failure: Failure) -> None:
    rescuer = Rescuer()
    exchange = make_exchange()
    head = run(rescuer, exchange, answer)
    assert (head.status, head.body) == (200, b"instead")
    assert rescuer.failures == [failure]
    flag = GatewayError(Kind(failure.error)).answer.flag + ",FB" if failure.error else "FB"
    assert (exchange.outcome, exchange.flag, exchange.fallback) == ("fallback", flag, "reply")


def test_a_failure_may_be_sent_elsewhere() -> None:
    exchange = make_exchange(upstream_names=("service", "standby"))

    def answer(asked: Exchange) -> Reply:
        return Reply.text(200, "standby") if asked.upstream == "standby" else Reply(500)

    assert run(Rescuer("standby"), exchange, answer).body == b"standby"
    assert exchange.attempts == 2


class Refuser(Plugin):
    """A breaker that is open."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        raise GatewayError(Kind.BREAKER_OPEN)


class Guard(Plugin):
    """Lets nobody pass."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        return Reply.empty(401)


def test_plugins_behind_an_open_breaker_decide_first() -> None:
    rescuer = Rescuer()
    refuser, guard = Refuser(None, make_env()), Guard(None, make_env())
    assert run([rescuer, refuser, guard], make_exchange()).status == 401
    assert not rescuer.failures
    assert run([rescuer, refuser], make_exchange()).body == b"instead"
    assert run([refuser], make_exchange()).status == 503


def test_no_failure() -> None:
    rescuer = Rescuer()
    assert run(rescuer, make_exchange(), Reply.text(404, "gone")).body == b"gone"
    assert run(rescuer, make_exchange(), GatewayError(Kind.BODY_TOO_LARGE)).status == 413
    assert not rescuer.failures
    assert rescuer.passed == b"gone."


def test_what_was_not_given_says_how_to_give_it() -> None:
    with pytest.raises(LookupError, match="make_env\\(upstreams="):
        run(make_plugin(Delegation), make_exchange())
    with pytest.raises(LookupError, match="make_env\\(http="):
        _ = make_env().http
    fake = object()
    assert make_env(http=fake).http is fake


class Sleepy(Plugin):
    async def admit(self, exchange: Exchange) -> Reply | None:
        await asyncio.sleep(0)
        return Reply(401)


def test_waiting_for_something_real_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="use `await run_async"):
        run(make_plugin(Sleepy), make_exchange())


async def test_with_a_loop_it_may_wait() -> None:
    assert (await run_async(make_plugin(Sleepy), make_exchange())).status == 401


class Knowing(Plugin):
    """Knows who is admitted, and lets nobody else pass."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        return ADMITTED if exchange.headers.get("x-key") else None

    async def admit(self, exchange: Exchange) -> Reply | None:
        return Reply(401)


def test_who_is_admitted_is_not_asked_about_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.test")
    plugins = [make_plugin(Knowing), *diaries("behind")]

    assert run(plugins, make_exchange("GET", "/", {"X-Key": "1"})).status == 200
    assert caplog.messages[:2] == ["behind.on_request", "behind.admit"]
    assert run(plugins, make_exchange()).status == 401


class Choosy(Plugin):
    @dataclass(frozen=True)
    class Options:
        key: Secret
        wait: Duration = Duration("5s")  # noqa: RUF009
        names: tuple[str, ...] = ()


def test_options_are_checked_as_at_load_time() -> None:
    plugin = make_plugin(Choosy, key=Secret("k"), wait=Duration(2), names=("a", "b"))

    assert plugin.options == Choosy.Options(Secret("k"), Duration(2), ("a", "b"))
    assert make_plugin(Choosy, key="k", wait="250ms").options.wait == 0.25
    with pytest.raises(ValueError, match="wait"):
        make_plugin(Choosy, key="k", waitt="1s")
    with pytest.raises(ValueError, match="key"):
        make_plugin(Choosy)
    with pytest.raises(ValueError, match="takes no options"):
        make_plugin(Diary, a=1)


def test_a_clock_moves_when_told() -> None:
    clock = FakeClock(10, 20)

    clock.advance(2.5)

    assert (clock.now(), clock.wall()) == (12.5, 22.5)


async def test_sinks_keep_what_is_written() -> None:
    sinks = FakeSinks()
    sink = make_env(sinks=sinks).open_sink("stdout")

    sink.write(b"a\n", 1)
    await sink.close()

    assert (sinks.written, sinks.closed) == ({"stdout": b"a\n"}, ["stdout"])


def test_no_plugins_is_a_plain_pass() -> None:
    assert run([], make_exchange(), Reply(204)).status == 204
