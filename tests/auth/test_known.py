"""Who is let in at once, and who has to be looked at."""

from __future__ import annotations

import pytest

from gateway.auth.decisions import DecisionCache, fingerprint
from gateway.auth.delegation import Verdict
from gateway.auth.known import KnownTokens, KnownVerdicts
from gateway.auth.token_judge import Verified
from gateway.exchange import Exchange, Reply
from gateway.telemetry.metrics import Counter
from gateway.testing import make_exchange

TOKEN = "Bearer abc"
FIELDS = (("X-User-Id", "ada"),)


def tokens(missing: frozenset[str] = frozenset(), until: float = 100.0) -> tuple[KnownTokens, Counter]:
    cache, counter = DecisionCache[Verified](10), Counter()
    verified = Verified("ada", {"sub": "ada"}, FIELDS, missing, 60.0)
    cache.put(fingerprint(TOKEN.encode()), verified, until)
    return KnownTokens(cache, counter, lambda: 50.0), counter


def shown(**facts: object) -> Exchange:
    return make_exchange(headers={"Authorization": TOKEN, "Cookie": "a=1"}, **facts)


def test_a_token_that_is_known_to_hold() -> None:
    known, counter = tokens()
    exchange = shown()

    assert known.let_in(exchange)
    assert (exchange.principal, exchange.claims, counter.value) == ("ada", {"sub": "ada"}, 1)
    assert exchange.headers.get_all("X-User-Id") == ["ada"]


@pytest.mark.parametrize(
    ("known", "exchange"),
    [
        (tokens(), make_exchange()),
        (tokens(), make_exchange(headers={"Authorization": "Bearer another"})),
        (tokens(), shown(claims={"sub": "another"})),
        (tokens(missing=frozenset(["write"])), shown()),
        (tokens(until=50.0), shown()),
    ],
    ids=["none", "unknown", "known before", "not enough", "over"],
)
def test_every_other_token_is_looked_at(known: tuple[KnownTokens, Counter], exchange: Exchange) -> None:
    claims = exchange.claims

    assert not known[0].let_in(exchange)
    assert (exchange.principal, exchange.claims, known[1].value) == (None, claims, 0)
    assert exchange.headers.get("X-User-Id") is None


def verdicts(
    reply: Reply | None = None, until: float = 100.0, whole: bool = True, principal: str | None = "ada"
) -> tuple[KnownVerdicts, Counter]:
    cache, counter = DecisionCache[Verdict](10), Counter()
    known = KnownVerdicts(cache, (b"authorization", b"cookie"), whole, ("X-Ticket",), counter, lambda: 50.0)
    cache.put(known.key(shown(path="/a")), Verdict(principal, FIELDS, reply, 30.0), until)
    return known, counter


def test_a_request_that_the_service_is_known_to_allow() -> None:
    known, counter = verdicts()
    exchange = shown(path="/a")
    exchange.headers.add("X-Ticket", "mine")

    assert known.let_in(exchange)
    assert (exchange.principal, exchange.claims, counter.value) == ("ada", {}, 1)
    assert exchange.headers.get_all("X-User-Id") == ["ada"]
    assert exchange.headers.get("X-Ticket") is None


def test_who_it_is_stays_where_the_service_does_not_say() -> None:
    known, _ = verdicts(principal=None)
    exchange = shown(path="/a", principal="shop")

    assert known.let_in(exchange)
    assert exchange.principal == "shop"


@pytest.mark.parametrize(
    ("known", "facts"),
    [
        (verdicts(), {"path": "/b"}),
        (verdicts(), {"path": "/a?b"}),
        (verdicts(), {"path": "/a", "method": "POST"}),
        (verdicts(), {"path": "/a", "host": "b.example"}),
        (verdicts(), {"path": "/a", "scheme": "https"}),
        (verdicts(), {"path": "/a", "claims": {"sub": "bob"}}),
        (verdicts(reply=Reply(403)), {"path": "/a"}),
        (verdicts(until=50.0), {"path": "/a"}),
    ],
    ids=["path", "query", "method", "host", "scheme", "known before", "refused", "over"],
)
def test_every_other_request_is_looked_at(known: tuple[KnownVerdicts, Counter], facts: dict[str, object]) -> None:
    exchange = shown(**facts)

    assert not known[0].let_in(exchange)
    assert known[1].value == 0
    assert exchange.headers.get("X-User-Id") is None


def test_by_the_credential_alone() -> None:
    known, _ = verdicts(whole=False)

    assert known.let_in(shown(path="/b", method="POST"))
    assert not known.let_in(make_exchange(headers={"Authorization": TOKEN}))
