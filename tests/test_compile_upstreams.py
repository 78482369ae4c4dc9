"""Each key of an upstream ends in the right place of the living one, and what an edit did not touch lives on."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from gateway.compile import Generation, compile_table
from gateway.compile_upstreams import check_policy, key_of, make_balancer
from gateway.config.load import load
from gateway.config.upstream_specs import HashBalanceSpec, HashSpec, HealthSpec, KeySpec, StickyBalanceSpec, StickySpec
from gateway.library import Library
from gateway.routing.actions import Forward, Mirror
from gateway.state.board import Board, Seat
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env, make_exchange
from gateway.units import Duration
from gateway.upstreams.balance.balancer import Balancer
from gateway.upstreams.balance.ewma import Ewma
from gateway.upstreams.balance.hash_ring import HashRing
from gateway.upstreams.balance.least_request import LeastRequest
from gateway.upstreams.balance.random_choice import RandomChoice
from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.upstreams.balance.sticky import StickyCookie
from gateway.upstreams.concurrency import Aimd, Fixed, Gradient, Limiter, SharedLimiter
from gateway.upstreams.health import CheckPolicy
from gateway.upstreams.outliers import OutlierPolicy, SuccessRate
from gateway.upstreams.retry import HedgePolicy, RetryPolicy
from gateway.upstreams.upstream import Upstream, UpstreamTimeouts
from tests.support.choices import make_choices
from tests.support.runtimes import write_config

NOW = 1000.0
ENDPOINTS = "endpoints: ['http://127.0.0.1:1', {url: 'http://127.0.0.1:2', weight: 3, priority: 1}]"
PLAIN = "{endpoints: ['http://127.0.0.1:9']}"


def compiled(
    folder: Path,
    keys: str = "",
    route: str = "to: up",
    path: str = "/**",
    before: Generation | None = None,
    endpoints: str = ENDPOINTS,
    seat: Seat | None = None,
) -> tuple[Generation | None, list[str]]:
    """Of an upstream `up` with `keys`, one more, and one route."""
    text = (
        f"version: 1\nupstreams:\n  up: {{{', '.join(filter(None, [endpoints, keys]))}}}\n  copy: {PLAIN}\n"
        f"routes: [{{name: r, match: {{path: '{path}'}}, {route}}}]\n"
    )
    metrics = Metrics()
    loaded = load(write_config(folder, text), {})
    generation, problems = compile_table(loaded, make_env(metrics=metrics, seat=seat), metrics, Library(folder), before)
    return generation, [str(problem).replace(f"{folder}/routes.yaml:", "") for problem in problems]


def good(
    folder: Path,
    keys: str = "",
    route: str = "to: up",
    before: Generation | None = None,
    endpoints: str = ENDPOINTS,
    seat: Seat | None = None,
) -> Generation:
    generation, problems = compiled(folder, keys, route, before=before, endpoints=endpoints, seat=seat)
    assert generation is not None, problems
    return generation


def upstream_of(folder: Path, keys: str) -> Upstream:
    return good(folder, keys).table.upstreams["up"]


def test_the_defaults(tmp_path: Path) -> None:
    up = upstream_of(tmp_path, "")
    assert type(up.balance) is RoundRobin
    assert (up.panic, up.slow_start, up.host, up.forwarded) == (0.0, 0.0, None, False)
    assert (up.checks, up.retries, up.hedge, up.limiter) == (None, None, None, None)
    assert up.outliers.policy == OutlierPolicy()
    assert up.timeouts == UpstreamTimeouts()
    assert up.meters.name == "up"


def test_endpoints(tmp_path: Path) -> None:
    one, other = upstream_of(tmp_path, "").endpoints
    assert (one.address, one.weight, one.priority) == ("127.0.0.1:1", 1, 0)
    assert (other.address, other.weight, other.priority) == ("127.0.0.1:2", 3, 1)
    assert one.changes is other.changes


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("round_robin", RoundRobin),
        ("least_request", LeastRequest),
        ("random", RandomChoice),
        ("ewma", Ewma),
        ("{hash: {header: X-User}}", HashRing),
        ("{sticky: {}}", StickyCookie),
    ],
)
def test_balance(tmp_path: Path, text: str, kind: type[Balancer]) -> None:
    up = upstream_of(tmp_path, f"balance: {text}")
    assert type(up.balance) is kind
    assert up.pick(make_exchange(), NOW) is up.endpoints[0]


def test_a_hash_ring_goes_by_its_key_and_its_load() -> None:
    choices = make_choices(1, 1, 1)
    ann = make_exchange(headers={"X-User": "ann"})
    plain = make_balancer(HashBalanceSpec(hash=HashSpec(header="x-user")))
    bounded = make_balancer(HashBalanceSpec(hash=HashSpec(header="x-user", max_load=1.25)))
    mine = plain.pick(choices, ann, NOW)
    assert mine is not None
    mine.in_flight = 50
    assert {plain.pick(choices, ann, NOW) for _ in range(5)} == {mine}
    assert bounded.pick(choices, ann, NOW) is not mine


@pytest.mark.parametrize(
    ("ttl", "attribute"),
    [(None, None), ("1h", "Max-Age=3600"), ("90s", "Max-Age=90"), ("1500ms", "Max-Age=2"), ("1ms", "Max-Age=1")],
)
def test_a_sticky_cookie_has_its_name_and_age(ttl: str | None, attribute: str | None) -> None:
    spec = StickySpec(cookie="at", ttl=Duration(ttl) if ttl is not None else None)
    exchange = make_exchange()
    make_balancer(StickyBalanceSpec(sticky=spec)).pick(make_choices(1), exchange, NOW)
    assert exchange.cookie is not None
    assert exchange.cookie.startswith("at=")
    ages = [part for part in exchange.cookie.split("; ") if part.startswith("Max-Age")]
    assert ages == ([] if attribute is None else [attribute])


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (KeySpec(header="x-user"), "ann"),
        (KeySpec(cookie="sid"), "7"),
        (KeySpec(query="q"), "a b"),
        (KeySpec(capture="id"), "42"),
        (KeySpec(client_ip=True), "192.0.2.1"),
        (KeySpec(path=True), "/items/42"),
        (KeySpec(header="x-none"), None),
    ],
)
def test_what_requests_agree_in(spec: KeySpec, key: str | None) -> None:
    headers = {"X-User": "ann", "Cookie": "sid=7"}
    assert key_of(spec)(make_exchange(path="/items/42?q=a+b", headers=headers, captures={"id": "42"})) == key


def test_panic_and_slow_start(tmp_path: Path) -> None:
    up = upstream_of(tmp_path, "panic: 30%, slow_start: 45s")
    assert (up.panic, up.slow_start) == (0.3, 45.0)


def test_health() -> None:
    assert check_policy(HealthSpec()) == CheckPolicy(kind="tcp")
    spec = HealthSpec(
        path="/h?full=1",
        host="a.example",
        interval=Duration("3s"),
        timeout=Duration("1s"),
        status=("204", "3xx", "400-401"),
        body="o+k",
        passes=4,
        failures=5,
    )
    assert check_policy(spec) == CheckPolicy(
        kind="http",
        path="/h?full=1",
        host="a.example",
        interval=3.0,
        timeout=1.0,
        statuses=frozenset([204, *range(300, 400), 400, 401]),
        body=re.compile("o+k"),
        passes=4,
        failures=5,
    )


def test_checks(tmp_path: Path) -> None:
    assert upstream_of(tmp_path, "health: {}").checks == CheckPolicy(kind="tcp")
    assert upstream_of(tmp_path, "health: {path: /h}").checks == CheckPolicy(kind="http", path="/h")


def test_outliers(tmp_path: Path) -> None:
    off = OutlierPolicy(errors=0, connect_errors=0, success_rate=None)
    assert upstream_of(tmp_path, "outliers: off").outliers.policy == off
    text = (
        "outliers: {errors: 7, connect_errors: 2, ejection: 3s, max_ejection: 9s, max_ejected: 25%,"
        " success_rate: {interval: 5s, requests: 50, endpoints: 3, deviations: 2.5}}"
    )
    rate = SuccessRate(interval=5.0, requests=50, endpoints=3, deviations=2.5)
    assert upstream_of(tmp_path, text).outliers.policy == OutlierPolicy(7, 2, 3.0, 9.0, 0.25, rate)


def test_retries(tmp_path: Path) -> None:
    assert upstream_of(tmp_path, "retries: {}").retries == RetryPolicy()
    text = (
        "retries: {attempts: 4, on: [timeout, 503, 5xx], per_try: 2s, non_idempotent: true, budget: 10%,"
        " min_retries: 1, backoff: {base: 5ms, max: 1s}, max_retry_after: 4s, replay: 1KiB}"
    )
    up = upstream_of(tmp_path, text)
    assert up.retries == RetryPolicy(
        attempts=4,
        conditions=frozenset(["connect", "reset", "timeout"]),
        statuses=frozenset(range(500, 600)),
        per_try=2.0,
        non_idempotent=True,
        budget=0.1,
        min_retries=1,
        base=0.005,
        longest=1.0,
        max_retry_after=4.0,
        replay=1024,
    )
    assert (up.try_timeout, up.replay_limit) == (2.0, 1024)
    assert (up.budget.share, up.budget.smallest) == (0.1, 1)


def test_a_hedge(tmp_path: Path) -> None:
    up = upstream_of(tmp_path, "hedge: {after: 50ms, budget: 5%}")
    assert up.hedge == HedgePolicy(0.05, 0.05)
    assert up.hedges.share == 0.05


def test_concurrency(tmp_path: Path) -> None:
    fixed = upstream_of(tmp_path, "concurrency: 7").limiter
    assert fixed is not None
    assert fixed.limit == Fixed(7.0)
    adaptive = upstream_of(tmp_path, "concurrency: {adaptive: {start: 8, min: 8, max: 9}}").limiter
    assert adaptive is not None
    assert type(adaptive.limit) is Gradient
    assert_bounds(adaptive, 8, 9)
    aimd = "concurrency: {adaptive: {algorithm: aimd, latency: 200ms, start: 8, min: 8, max: 9}}"
    adaptive = upstream_of(tmp_path, aimd).limiter
    assert adaptive is not None
    assert type(adaptive.limit) is Aimd
    assert_bounds(adaptive, 8, 9)


def test_a_fixed_limit_is_that_of_all_workers(tmp_path: Path) -> None:
    board = Board.create(2)
    limiters = []
    for number in range(2):
        for text in ("concurrency: 1", "concurrency: 2", "concurrency: {adaptive: {}}"):
            generation = good(tmp_path, text, seat=board.take_seat(number))
            limiters.append(generation.table.upstreams["up"].limiter)
    assert [type(limiter) for limiter in limiters] == [SharedLimiter, SharedLimiter, Limiter] * 2
    one, wider, _, other, *_ = limiters
    assert one is not None
    assert other is not None
    assert wider is not None
    assert one.take("normal")
    assert not other.take("normal")
    assert wider.take("normal"), "another limit is another count"


def assert_bounds(limiter: Limiter, smallest: int, largest: int) -> None:
    """Its limit begins at the smallest value and never leaves these."""
    limit = limiter.limit
    assert limit.value == smallest
    for _ in range(1000):
        limit.observe(0.2, 9, False)
    assert limit.value == largest
    for _ in range(1000):
        limit.observe(0.201 if isinstance(limit, Aimd) else 100.0, 9, isinstance(limit, Gradient))
    assert limit.value == smallest


def test_timeouts_pool_and_headers(tmp_path: Path) -> None:
    up = upstream_of(
        tmp_path,
        "timeouts: {connect: 2s, response: 3s, body: 4s, total: 5s}, host: b.example, forwarded: rfc7239,"
        " pool: {max_connections: 1, max_queue: 2, queue_timeout: 3s, idle: 4s, max_age: 5s}",
    )
    assert up.timeouts == UpstreamTimeouts(2.0, 3.0, 4.0, 5.0)
    assert (up.host, up.forwarded) == ("b.example", True)
    limits = up.endpoints[0].pool.limits
    assert (limits.max_connections, limits.max_queue, limits.connect) == (1, 2, 2.0)
    assert (limits.queue_timeout, limits.idle, limits.max_age) == (3.0, 4.0, 5.0)


# a reload

STATEFUL = "balance: {hash: {header: X-User}}, concurrency: {adaptive: {}}, outliers: {errors: 1}"


def test_what_an_edit_did_not_touch_lives_on(tmp_path: Path) -> None:
    first = good(tmp_path, STATEFUL)
    up = first.table.upstreams["up"]
    up.endpoints[0].put("drain", NOW)
    up.endpoints[1].ejected_until = NOW + 60
    assert up.limiter is not None
    up.limiter.take("normal")

    second = good(tmp_path, f"retries: {{}}, timeouts: {{total: 1s}}, {STATEFUL}", before=first)
    again = second.table.upstreams["up"]
    assert again is not up
    assert again.endpoints == up.endpoints
    assert (again.balance, again.limiter, again.changes) == (up.balance, up.limiter, up.changes)
    assert again.limiter is not None
    assert again.limiter.in_flight == 1
    assert (again.retries, up.retries) == (RetryPolicy(), None)
    second.take_over()
    assert again.endpoints[0].state == "drain"
    assert again.choices(NOW) == (again.endpoints[1],), "ejected, and the only one that is enabled"
    assert again.choices(NOW + 60) == (again.endpoints[1],)


@pytest.mark.parametrize(
    ("edited", "same_balance", "same_limiter"),
    [
        (STATEFUL.replace("X-User", "X-Group"), False, True),
        (STATEFUL.replace("{header: X-User}", "{header: X-User, max_load: 1.25}"), False, True),
        (STATEFUL.replace("{adaptive: {}}", "{adaptive: {max: 50}}"), True, False),
        (STATEFUL.replace("{adaptive: {}}", "20"), True, False),
        (STATEFUL.replace("errors: 1", "errors: 2"), True, True),
    ],
)
def test_what_an_edit_touched_begins_anew(tmp_path: Path, edited: str, same_balance: bool, same_limiter: bool) -> None:
    first = good(tmp_path, STATEFUL)
    second = good(tmp_path, edited, before=first)
    before, after = first.table.upstreams["up"], second.table.upstreams["up"]
    assert (after.balance is before.balance) is same_balance
    assert (after.limiter is before.limiter) is same_limiter
    assert after.endpoints == before.endpoints


def test_a_limiter_may_go_and_come(tmp_path: Path) -> None:
    first = good(tmp_path, "concurrency: 5")
    second = good(tmp_path, "", before=first)
    assert second.table.upstreams["up"].limiter is None
    assert good(tmp_path, "concurrency: 5", before=second).table.upstreams["up"].limiter is not None


def test_weights_and_priorities_change_when_the_configuration_serves(tmp_path: Path) -> None:
    first = good(tmp_path)
    up = first.table.upstreams["up"]
    assert up.choices(NOW) == up.endpoints[:1]
    edited = ENDPOINTS.replace("weight: 3, priority: 1", "weight: 2")
    second = good(tmp_path, before=first, endpoints=edited)
    again = second.table.upstreams["up"]
    assert again.endpoints == up.endpoints
    assert (again.endpoints[1].weight, again.endpoints[1].priority) == (3, 1), "it may yet be refused"
    second.take_over()
    assert (again.endpoints[1].weight, again.endpoints[1].priority) == (2, 0)
    assert again.choices(NOW) == again.endpoints
    assert Counter(again.pick(None, NOW) for _ in range(6)) == {again.endpoints[0]: 2, again.endpoints[1]: 4}


# what routes say about their upstreams


def test_what_a_route_says(tmp_path: Path) -> None:
    text = (
        "to: [{upstream: up, weight: 1}, {upstream: copy, weight: 1}], sticky: {header: X-User},"
        " mirror: {to: copy, share: 10%, body: 1KiB}, importance: high, timeouts: {total: 7s}"
    )
    action = good(tmp_path, route=text).table.router.routes[0].action
    assert isinstance(action, Forward)
    assert action.mirror == Mirror("copy", 0.1, 1024)
    assert (action.importance, action.total) == ("high", 7.0)
    users = [make_exchange(headers={"X-User": f"user {number}"}) for number in range(50)]
    picked = [action.pick(user) for user in users]
    assert [action.pick(user) for user in users] == picked
    assert set(picked) == {"up", "copy"}


def test_what_a_route_need_not_say(tmp_path: Path) -> None:
    action = good(tmp_path).table.router.routes[0].action
    assert isinstance(action, Forward)
    assert (action.mirror, action.importance, action.total) == (None, "normal", None)


def test_a_mirror_beside_a_rewrite(tmp_path: Path) -> None:
    route = "to: up, mirror: {to: copy}, importance: low, rewrite: {path: /x}"
    action = good(tmp_path, route=route).table.router.routes[0].action
    assert isinstance(action, Forward)
    assert action.rewrite is not None
    assert (action.mirror, action.importance) == (Mirror("copy"), "low")


@pytest.mark.parametrize(
    ("keys", "route", "path", "problem"),
    [
        (
            "",
            "to: up, sticky: {capture: ide}",
            "/a/{id}",
            "5:62: the path /a/{id} has no {ide} to choose by; did you mean 'id'?",
        ),
        (
            "",
            "to: up, sticky: {capture: user}",
            "/a/{id}/**",
            "5:65: the path /a/{id}/** has no {user} to choose by; it captures **, id",
        ),
        (
            "balance: {hash: {capture: id}}",
            "to: up",
            "/a",
            "5:45: the path /a has no {id} to choose by; it captures nothing",
        ),
    ],
)
def test_a_capture_has_to_be_one_of_the_path(tmp_path: Path, keys: str, route: str, path: str, problem: str) -> None:
    generation, problems = compiled(tmp_path, keys, f"{route}, mirror: {{to: copy}}", path)
    assert generation is None
    assert problems == [problem]


@pytest.mark.parametrize("keys", ["", "balance: {hash: {capture: id}}"])
def test_a_capture_of_the_path(tmp_path: Path, keys: str) -> None:
    route = "to: up, sticky: {capture: id}, mirror: {to: copy}"
    generation, problems = compiled(tmp_path, keys, route, "/a/{id}")
    assert problems == []
    assert generation is not None


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("respond: {}, sticky: client_ip", "'sticky' without 'to' in route 'r'; it is for what goes to an upstream"),
        ("respond: {}, mirror: {to: copy}", "'mirror' without 'to' in route 'r'; it is for what goes to an upstream"),
        ("to: up, mirror: {to: cpoy}", "unknown upstream 'cpoy'; did you mean 'copy'?"),
    ],
)
def test_keys_of_routes_that_are_refused(tmp_path: Path, route: str, problem: str) -> None:
    generation, problems = compiled(tmp_path, route=route)
    assert generation is None
    assert [text.partition(": ")[2] for text in problems] == [problem]


def test_an_upstream_that_only_gets_copies_is_in_use(tmp_path: Path) -> None:
    assert compiled(tmp_path, route="to: up, mirror: {to: copy}")[1] == []
    assert compiled(tmp_path)[1] == ["4:3: warning: no route goes to the upstream 'copy'"]
