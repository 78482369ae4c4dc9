"""What auth_delegation keeps of a service's answers: for its time, for who asked the same, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.delegation import Question
from gateway.exchange import Exchange
from gateway.plugin import UpstreamReply
from gateway.testing import make_exchange
from tests.support.delegation import CACHE, DENIED, DOWN, GOOD, Answer, Bench, asking, by_token
from tests.support.polling import eventually, soon, turns

# what is kept


async def test_a_decision_is_kept_for_its_time() -> None:
    bench = Bench(cache=CACHE, principal="X-User-Id")
    assert await bench.user() == "5"
    bench.clock.advance(29.9)
    exchange = asking()

    assert bench.ask(exchange).status == 200, "without a coroutine"

    assert (exchange.headers.get_all("x-user-id"), exchange.principal, bench.asked) == (["5"], "5", 1)
    bench.clock.advance(0.1)
    bench.service.judge = DENIED
    assert await bench.user() == 401
    bench.clock.advance(2.9)
    assert [bench.ask().status for _ in range(2)] == [401, 401]
    head = bench.ask()
    assert (head.body, head.headers.get("www-authenticate")) == (b"who?", "Bearer")
    bench.clock.advance(0.2)
    bench.service.judge = GOOD
    assert await bench.user() == "5"
    assert bench.asked == 3
    assert bench.counted() == {"allowed": 3, "denied": 4}


async def test_the_service_may_say_for_how_long() -> None:
    bench = Bench(UpstreamReply(200, {"x-user-id": "5", "cache-control": "private, max-age=10"}, b""), cache={})
    await bench.user()
    bench.clock.advance(9.9)
    bench.ask()
    assert bench.asked == 1
    bench.clock.advance(0.2)
    bench.service.judge = GOOD
    await bench.user()
    await bench.user()
    assert bench.asked == 3, "what it says nothing of is asked each time"


@pytest.mark.parametrize("answer", [GOOD, DENIED])
async def test_an_answer_with_a_cookie_is_of_one_request_alone(answer: UpstreamReply) -> None:
    bench = Bench(UpstreamReply(answer.status, answer.headers, b"", ("session=1",)), cache=CACHE)

    for number in range(3):
        await bench.user()
        assert bench.asked == number + 1


async def test_where_it_is_sent_to_log_in_is_asked_each_time() -> None:
    bench = Bench(
        lambda question: UpstreamReply(302, {"location": question.headers["X-Forwarded-Uri"]}, b""), cache=CACHE
    )

    assert [(await bench.ask_async(asking(path=path))).headers.get("location") for path in ("/a", "/b", "/a")] == [
        "/a", "/b", "/a",
    ]  # fmt: skip
    assert bench.asked == 3


async def test_no_more_is_kept_than_the_limit() -> None:
    bench = Bench(by_token, cache={**CACHE, "max": 4})
    for number in range(20):
        assert await bench.user(asking(str(number))) == str(number)
    kept = 0
    bench.service.judge = DENIED
    for number in reversed(range(20)):
        kept += await bench.user(asking(str(number))) == str(number)

    assert 1 <= kept <= 4


async def test_what_is_not_kept_takes_nobodys_place() -> None:
    bench = Bench(cache={**CACHE, "max": 4})
    assert await bench.user(asking("kept")) == "5"
    bench.service.judge = UpstreamReply(302, {"location": "/login"}, b"")
    for number in range(20):
        assert await bench.user(asking(str(number))) == 302

    assert await bench.user(asking("kept")) == "5"


REQUEST: dict[str, Any] = {
    "method": "GET",
    "path": "/a",
    "headers": [("Host", "a.example"), ("Authorization", "Bearer t"), ("Cookie", "a=1"), ("Cookie", "b=2")],
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("method", {"method": "HEAD"}),
    ("path", {"path": "/a/"}),
    ("encoded path", {"path": "/%61"}),
    ("query", {"path": "/a?x"}),
    ("host", {"headers": [("Host", "b.example"), *REQUEST["headers"][1:]]}),
    ("port", {"headers": [("Host", "a.example:81"), *REQUEST["headers"][1:]]}),
    ("scheme", {"scheme": "https"}),
    (
        "scheme of a trusted peer",
        {"headers": [*REQUEST["headers"], ("X-Forwarded-Proto", "https")], "peer_trusted": True},
    ),
    ("token", {"headers": [("Host", "a.example"), ("Authorization", "Bearer T"), *REQUEST["headers"][2:]]}),
    ("no token", {"headers": [("Host", "a.example"), *REQUEST["headers"][2:]]}),
    ("second cookie", {"headers": [*REQUEST["headers"][:3], ("Cookie", "b=3")]}),
    ("order of cookies", {"headers": [*REQUEST["headers"][:2], ("Cookie", "b=2"), ("Cookie", "a=1")]}),
    ("cookies in one field", {"headers": [*REQUEST["headers"][:2], ("Cookie", "a=1; b=2")]}),
    (
        "cookie in another field",
        {"headers": [*REQUEST["headers"][:1], ("Cookie", "Bearer t"), ("Authorization", "a=1")]},
    ),
]


@pytest.mark.parametrize(("name", "other"), OTHERS, ids=[name for name, _ in OTHERS])
async def test_another_request_is_another_question(name: str, other: dict[str, Any]) -> None:
    bench = Bench(cache=CACHE)
    await bench.user(make_exchange(**REQUEST))
    await bench.user(make_exchange(**REQUEST))
    assert bench.asked == 1
    await bench.user(make_exchange(**{**REQUEST, **other}))
    assert bench.asked == 2, name


@pytest.mark.parametrize("other", [{"path": "/b?c"}, {"method": "DELETE"}, {"scheme": "https"}])
async def test_a_credential_may_be_all_that_is_asked_about(other: dict[str, Any]) -> None:
    bench = Bench(by_token, cache={**CACHE, "per": "credential"})

    for exchange in (asking("a"), asking("b"), asking("a", **other), asking("b", **other)):
        token = exchange.headers.get("authorization")
        assert f"Bearer {await bench.user(exchange)}" == token
    assert bench.asked == 2


async def test_headers_in_the_key_need_not_be_told() -> None:
    bench = Bench(cache={**CACHE, "by": ["Authorization", "Cookie", "accept-language"]})
    for language in ("de", "en", "de"):
        await bench.user(make_exchange("GET", "/", {"Accept-Language": language}))

    assert bench.asked == 2
    assert "accept-language" not in bench.service.calls[0].headers


PIECES = st.text(alphabet="ab:;,=\"'\\()[] \t\x80/?", max_size=6).map(str.strip)
VALUES = st.lists(PIECES, max_size=2)
REQUESTS = st.tuples(
    VALUES,
    VALUES,
    st.sampled_from(["a", "ab", "a:1"]),
    st.sampled_from(["GET", "POST", "GETa"]),
    st.sampled_from(["/", "/a", "/a/a", "/GET"]),
    st.sampled_from(["", "a", "/a", "?"]),
)
Asked = tuple[list[str], list[str], str, str, str, str]


def made(asked: Asked) -> Exchange:
    tokens, cookies, host, method, path, query = asked
    fields = [("Host", host), *(("Authorization", one) for one in tokens), *(("Cookie", one) for one in cookies)]
    return make_exchange(method, f"{path}?{query}", fields)


@settings(max_examples=150)
@given(st.lists(REQUESTS, min_size=2, max_size=6), st.sampled_from(["request", "credential"]))
def test_no_request_gets_the_answer_to_another(requests: list[Asked], per: str) -> None:
    """Whatever separators values hold."""

    async def check() -> None:
        exchanges: dict[str, Asked] = {}

        def judge(question: Question) -> UpstreamReply:
            return UpstreamReply(200, {"x-user-id": question.headers["X-Request-Id"]}, b"")

        bench = Bench(judge, cache={**CACHE, "per": per})
        for number, asked in enumerate(requests):
            exchange = made(asked)
            exchange.request_id = f"r{number}"
            exchanges[exchange.request_id] = asked
            user = await bench.user(exchange)
            assert isinstance(user, str)
            first = exchanges[user]
            assert first[:2] == asked[:2]
            assert per == "credential" or first == asked
        different = {repr(asked if per == "request" else asked[:2]) for asked in requests}
        assert bench.asked == len(different)

    asyncio.run(check())


# many who ask the same


async def many(bench: Bench, exchanges: Iterable[Exchange]) -> list[asyncio.Task[str | int | None]]:
    """All under way, behind the gate."""
    bench.service.gate = asyncio.Event()
    tasks = [asyncio.create_task(bench.user(exchange)) for exchange in exchanges]
    await turns()
    return tasks


async def released(bench: Bench, tasks: list[asyncio.Task[str | int | None]]) -> list[str | int | None]:
    assert bench.service.gate is not None
    bench.service.gate.set()
    return await soon(asyncio.gather(*tasks))


@pytest.mark.parametrize(("judge", "user"), [(GOOD, "5"), (DENIED, 401), (DOWN, 503)])
async def test_what_many_ask_at_once_is_asked_once(judge: Answer, user: str | int) -> None:
    bench = Bench(judge, cache={})
    tasks = await many(bench, [asking() for _ in range(20)] + [asking("other")])

    assert bench.asked == 2
    assert await released(bench, tasks) == [user] * 21
    assert bench.asked == 2
    assert sum(bench.counted().values()) == 21
    assert bench.state == "closed"


async def test_who_asks_at_the_same_time_gets_an_answer_of_its_own() -> None:
    bench = Bench(by_token, cache={})
    tasks = await many(bench, [asking(str(number)) for number in range(10)])

    assert await released(bench, tasks) == [str(number) for number in range(10)]


async def test_who_goes_away_takes_no_answer_from_the_others() -> None:
    bench = Bench(cache=CACHE)
    tasks = await many(bench, [asking() for _ in range(3)])
    tasks[0].cancel()
    await turns()

    assert await released(bench, tasks[1:]) == ["5", "5"]
    assert (bench.asked, tasks[0].cancelled()) == (1, True)
    assert bench.ask().status == 200, "it is kept, too"


@pytest.mark.parametrize("cache", [None, {}])
async def test_a_question_that_nobody_waits_for_is_given_up(cache: object) -> None:
    bench = Bench(cache=cache)
    tasks = await many(bench, [asking() for _ in range(3)])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await eventually(lambda: [one.in_flight for one in bench.plugin.breakers().values()] == [0])

    counts = next(iter(bench.plugin.breakers().values())).snapshot(bench.clock.now())["counts"]
    assert not any(counts.values()), "it says nothing about the service"
    bench.service.gate = None
    assert await bench.user() == "5"


@pytest.mark.parametrize("status", [200, 401])
async def test_a_cookie_is_for_who_asked(status: int) -> None:
    bench = Bench(cache=CACHE)

    def judge(question: Question) -> UpstreamReply:
        request = question.headers["X-Request-Id"]
        return UpstreamReply(status, {"x-user-id": request, "x-request": request}, b"", (f"session={request}",))

    bench.service.judge = judge
    bench.service.gate = asyncio.Event()
    exchanges = [asking() for _ in range(3)]
    tasks = [asyncio.create_task(bench.ask_async(exchange)) for exchange in exchanges]
    await turns()
    assert bench.asked == 1
    bench.service.gate.set()
    heads = await soon(asyncio.gather(*tasks))

    for exchange, head in zip(exchanges, heads, strict=True):
        if status == 200:
            assert exchange.headers.get_all("x-user-id") == [exchange.request_id]
            assert head.headers.get("set-cookie") is None
        else:
            assert head.headers.get_all("set-cookie") == [f"session={exchange.request_id}"]
    assert bench.asked == 3


async def test_requests_of_two_frontends_are_two_where_the_request_counts() -> None:
    bench = Bench(cache={**CACHE, "per": "request"})
    for path, frontend in (("/a", ""), ("/m/a", "mobile"), ("/w/a", "web"), ("/m/a", "mobile")):
        await bench.ask_async(asking(path=path, frontend=frontend, raw_path="/a"))
    assert [call.headers["X-Forwarded-Uri"] for call in bench.service.calls] == ["/a", "/m/a", "/w/a"]
