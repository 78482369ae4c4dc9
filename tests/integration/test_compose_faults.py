"""Services that fail, clients that leave, pools that are too small: each composition ends in one good answer, and
nothing is left of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.answers.conditional import entity_tag
from gateway.problem import problem_reply
from tests.support.composed import (
    Composing,
    Handler,
    Held,
    answer,
    composing,
    config,
    echo,
    part,
    route,
    serving,
    silent,
    targets,
)
from tests.support.gateways import request
from tests.support.leftovers import exchanges, no_collector
from tests.support.messages import Message
from tests.support.polling import eventually, soon, turns
from tests.support.ports import deaf_port, free_port
from tests.support.raw_upstream import Peer, upstream
from tests.support.runtimes import PROBE, events, write_plugin

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BEARER = b'WWW-Authenticate: Bearer realm="x"'
SOON = "150ms"


def cut_off(data: bytes, reset: bool = False) -> Handler:
    """Send this, and be gone."""

    async def handler(peer: Peer, message: Message) -> None:
        peer.send(data)
        await peer.writer.drain()
        if reset:
            peer.reset()
        else:
            peer.close()

    return handler


def stalling(data: bytes) -> Handler:
    """Send this, and nothing more."""

    async def handler(peer: Peer, message: Message) -> None:
        peer.send(data)
        await peer.gone()

    return handler


async def dribbling(peer: Peer, message: Message) -> None:
    """One blank after the other, for ever."""
    peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
    while not peer.writer.is_closing():
        peer.send(b" ")
        await asyncio.sleep(0.01)


# What a service does, what the answer is where the part is required, and what it is called.
FAULTS: dict[str, tuple[Handler, int, str]] = {
    "closed": (cut_off(b""), 502, "upstream_reset"),
    "reset": (cut_off(b"", reset=True), 502, "upstream_reset"),
    "half_head": (cut_off(HEAD), 502, "upstream_reset"),
    "half_body": (cut_off(HEAD + b"Content-Length: 9\r\n\r\n[1"), 502, "upstream_incomplete"),
    "reset_in_body": (cut_off(HEAD + b"Content-Length: 9\r\n\r\n[1", reset=True), 502, "upstream_incomplete"),
    "half_chunks": (cut_off(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"), 502, "upstream_incomplete"),
    "no_http": (cut_off(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), 502, "upstream_malformed"),
    "two_lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12", 502, "upstream_malformed"),
    "large_head": (HEAD + b"X-A: %b\r\n\r\n" % (b"a" * 40_000), 502, "upstream_head_too_large"),
    "silent": (silent, 504, "total_timeout"),
    "stalls": (stalling(HEAD + b"Content-Length: 9\r\n\r\n[1"), 504, "total_timeout"),
    "dribbles": (dribbling, 504, "total_timeout"),
    "bad_request": (answer("{}", code=400), 400, "part_refused"),
    "unauthenticated": (answer("{}", BEARER, code=401), 401, "part_refused"),
    "odd_challenge": (answer("{}", b"WWW-Authenticate: Basic\trealm=\xfcber", code=401), 401, "part_refused"),
    "missing": (answer("<p>", code=404), 404, "part_refused"),
    "cut_challenge": (cut_off(b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n%b\r\n\r\nx" % BEARER), 401, "part_refused"),
    "large_404": (b"HTTP/1.1 404 No\r\nContent-Length: 90000000\r\n\r\nx", 404, "part_refused"),
    "busy": (answer("{}", b"Retry-After: 7", code=429), 429, "part_refused"),
    "busy_for_ever": (answer("{}", b"Retry-After: %b" % (b"9" * 400), code=429), 429, "part_refused"),
    "busy_whenever": (answer("{}", b"Retry-After: soon", code=429), 429, "part_refused"),
    "teapot": (answer("{}", code=418), 418, "part_refused"),
    "moved": (answer("{}", b"Location: /elsewhere", code=302), 502, "part_invalid"),
    "same": (b"HTTP/1.1 304 Not Modified\r\n\r\n", 502, "part_invalid"),
    "crashed": (answer("{}", code=500), 502, "part_failed"),
    "away": (answer("{}", b"Retry-After: 5", code=503), 502, "part_failed"),
    "too_late": (answer("{}", code=504), 502, "part_failed"),
    "strange": (answer("{}", code=599), 502, "part_failed"),
}
# The same of parts that are not asked of that service.
UPSTREAMS: dict[str, tuple[int, str]] = {
    "refused": (502, "connect_failed"),
    "deaf": (504, "connect_timeout"),
    "nameless": (502, "dns_error"),
    "drained": (503, "no_endpoint"),
    "full": (503, "queue_full"),
    "crowded": (503, "queue_timeout"),
    "slow": (504, "response_timeout"),
    "breaker": (503, "breaker_open"),
}


def routes_for(name: str, bad: Any) -> list[Any]:
    """The part where it is required, and where it is not."""
    good = {"one": part("calm", "/one"), "two": part("calm", "/two/{one.id}")}
    respond = {"errors": "errors"}
    return [
        route({**good, "bad": {**bad, "required": True}}, f"/required/{name}", f"required-{name}"),
        route({**good, "bad": bad}, f"/optional/{name}", f"optional-{name}", respond=respond),
    ]


async def check_fault(served: Composing, name: str, status: int, kind: str) -> Message:
    """The answers with and without the part, and what is left. Returns the one without."""
    optional = await served.ask(f"/optional/{name}")
    assert optional.status == 200, (name, optional.head, optional.body)
    assert optional.get("x-gateway-completed") == "false"
    page = json.loads(optional.body)
    assert (page.pop("one"), page.pop("two")) == ({"id": 1}, 2), name
    ((error,),) = page.values()
    assert (error["part"], error["status"], error["type"]) == ("bad", status, kind), name
    required = await served.ask(f"/required/{name}", b"X-Other: 1")
    assert required.status == status, (name, required.head, required.body)
    assert required.get("content-type") == "application/problem+json"
    problem = json.loads(required.body)
    assert problem["type"].endswith(kind)
    assert "127.0.0.1" not in problem["detail"]
    assert (required.get("proxy-status") is None) == (status < 500)
    assert (required.get("retry-after") is None) == (status not in (429, 503))
    return required


CALM = {"/one": answer('{"id": 1}'), "/two/1": answer("2")}


async def test_each_failure_has_its_status(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handlers = {f"/{name}": handler for name, (handler, _, _) in FAULTS.items()}
    routes = [one for name in FAULTS for one in routes_for(name, part("up", f"/{name}", timeout=SOON))]
    async with (
        upstream(serving(handlers)) as service,
        upstream(serving(CALM)) as calm,
        composing(tmp_path, config({"up": service.port, "calm": calm.port}, *routes)) as served,
    ):
        for name, (_, status, kind) in FAULTS.items():
            required = await check_fault(served, name, status, kind)
            await served.at_rest()
            if name in ("unauthenticated", "cut_challenge"):
                assert required.get("www-authenticate") == 'Bearer realm="x"'
            elif name in ("busy", "busy_for_ever", "busy_whenever"):
                assert required.get("retry-after") == {"busy": "7", "busy_for_ever": "2147483648"}.get(name, "1")
            assert [text for text in caplog.messages if text.startswith(f"required-{name}/bad: the part bad")], name
    assert not [text for text in caplog.messages if "failed on GET" in text]


async def test_each_failure_to_ask_has_its_status(tmp_path: Path) -> None:
    held = Held()
    async with (
        upstream(serving({"/breaker": answer("{}", code=500)}, silent)) as service,
        upstream(serving(CALM)) as calm,
        upstream(serving({}, held)) as busy,
        deaf_port() as deaf,
    ):
        one_place = {"ports": busy.port, "pool": {"max_connections": 1, "max_queue": 0, "queue_timeout": "20ms"}}
        upstreams = {
            "calm": calm.port,
            "refused": free_port(),
            "deaf": {"ports": deaf, "timeouts": {"connect": "50ms"}},
            "drained": calm.port,
            "full": one_place,
            "crowded": {**one_place, "pool": {**one_place["pool"], "max_queue": 9}},
            "slow": {"ports": service.port, "timeouts": {"response": "50ms"}},
            "breaker": service.port,
        }
        bads = {name: part(name, f"/{name}") for name in UPSTREAMS}
        bads["breaker"]["breaker"] = {"consecutive": 1, "sleep": "1m"}
        routes = [one for name in UPSTREAMS for one in routes_for(name, bads[name])]
        holding = [{"name": name, "match": {"path": f"/{name}"}, "to": name} for name in ("full", "crowded")]
        text = config({**upstreams, "nameless": 1}, *routes, *holding).replace(
            '127.0.0.1:1"', 'no-such-name.invalid:80"'
        )
        async with composing(tmp_path, text) as served, served.client() as first, served.client() as second:
            worker = served.worker
            await worker.ask("POST", f"/api/upstreams/drained/endpoints/127.0.0.1:{calm.port}", json={"state": "drain"})
            first.send(request("/full"))
            second.send(request("/crowded"))
            await eventually(lambda: held.waiting == 2)
            for name in ("required-breaker", "optional-breaker"):
                await served.ask("/" + name.replace("-", "/"))
            for name, (status, kind) in UPSTREAMS.items():
                await check_fault(served, name, status, kind)
            held.release()
            assert (await first.response()).status == (await second.response()).status == 200


@pytest.mark.parametrize("kind", ["total_timeout", "deadline_exceeded"])
async def test_time_for_the_whole_answer(tmp_path: Path, kind: str) -> None:
    """What is there by then is the answer, if what is missing was optional: for that there is more time than a machine
    that is busy needs."""
    noting = "    def on_finish(self, exchange):\n        EVENTS.append(exchange.upstream_seconds)\n"
    write_plugin(tmp_path, "probe", f"{PROBE}\n{noting}")
    own = kind == "total_timeout"
    parts = {
        "good": part("up", "/good"),
        "list": part("up", "/list"),
        "hangs": part("up", "/hangs"),
        "items": part("up", "/items/{item}", foreach="list", concurrency=2),
        "after": part("up", "/after/{hangs.id}"),
    }
    required = {**parts, "hangs": {**parts["hangs"], "required": True}}
    handlers: dict[str, Handler] = {"/good": answer("1"), "/list": answer("[1, 2, 3, 4]"), "/items/1": answer("11")}
    routes = [
        route(parts, respond={"errors": "errors"}, **({"timeout": "1s"} if own else {})),
        route(required, "/required", "required", **({"timeout": SOON} if own else {})),
    ]
    async with (
        upstream(serving(handlers, silent)) as service,
        composing(
            tmp_path, config({"up": service.port}, *routes, trusted_proxies=["127.0.0.0/8"], plugins=["probe"])
        ) as served,
    ):
        message = await served.ask("/page", *([] if own else [b"X-Request-Deadline-Ms: 1000"]))
        assert message.status == 200
        page = json.loads(message.body)
        assert (page["good"], page["items"]) == (1, [11])
        assert {error["part"]: error["type"] for error in page["errors"]} == {
            "hangs": kind,
            "items": kind,
            "after": "part_invalid",
        }
        # No item is asked for when the time is over.
        assert sorted(targets(service)) == ["/good", "/hangs", "/items/1", "/items/2", "/items/3", "/list"]
        for asked in service.requests:
            assert int(asked.get("x-request-deadline-ms") or "") <= 1000
        late = await served.ask("/required", *([] if own else [b"X-Request-Deadline-Ms: 150"]))
        assert late.status == 504
        # All of it is the services' time.
        assert all(float(seconds) > 0.1 for seconds in events(served.worker.runtime)[1:])


async def test_part_that_hangs_is_waited_for_no_longer_than_it_may(tmp_path: Path) -> None:
    parts = {
        "hangs": part("up", "/hangs", timeout=SOON, on_error={"value": []}),
        "patient": part("up", "/held", timeout="1m"),
    }
    held = Held()
    async with (
        upstream(serving({"/held": held}, silent)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        await eventually(lambda: service.open == 2 and held.waiting)
        await eventually(lambda: service.open == 1, "the part that hangs is not given up")
        held.release()
        message = await client.response()
        assert message.body == b'{"hangs":[],"patient":"held"}'
        assert message.get("x-gateway-completed") == "false"
        assert "hangs;dur=" in (message.get("server-timing") or "")
        assert (message.get("server-timing") or "").count("stands-in") == 1


async def test_required_part_that_fails_ends_all_others(tmp_path: Path) -> None:
    held = Held(b"5")
    parts = {
        "hangs": part("slow", "/hangs"),
        "list": part("up", "/list"),
        "items": part("slow", "/items/{item}", foreach="list", concurrency=2),
        "needed": part("up", "/needed", required=True),
        # Both wait for what comes; the first one fails the whole answer, so the second one is not asked.
        "broken": part("up", "/{held.id}", required=True),
        "held": part("up", "/held"),
        "late": part("slow", "/late/{held}"),
    }
    handlers: dict[str, Handler] = {"/list": answer("[1, 2, 3]"), "/needed": answer("1"), "/held": held}
    async with (
        upstream(serving(handlers)) as service,
        upstream(serving({}, silent)) as slow,
        composing(tmp_path, config({"up": service.port, "slow": slow.port}, route(parts))) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        await eventually(lambda: len(slow.requests) == 3 and held.waiting)
        held.release()
        assert (await client.response()).status == 502
        await served.at_rest()
        await eventually(lambda: slow.open == 0)
        await turns()
        assert sorted(targets(slow)) == ["/hangs", "/items/1", "/items/2"]


# clients that leave


# The parts, what is asked of the calm service, and what of the one that hangs, when the client leaves.
STAGES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "heads": ({"a": part("slow", "/a"), "b": part("slow", "/b")}, [], ["/a", "/b"]),
    "bodies": ({"a": part("slow", "/body"), "b": part("slow", "/b")}, [], ["/b", "/body"]),
    "between": (
        {"a": part("calm", "/a"), "b": part("slow", "/b/{a}"), "c": part("calm", "/c/{b}")},
        ["/a"],
        ["/b/1"],
    ),
    "foreach": (
        {"list": part("calm", "/list"), "items": part("slow", "/{item}", foreach="list", concurrency=2)},
        ["/list"],
        ["/1", "/2"],
    ),
    "instead": ({"a": part("calm", "/down", on_error={"from": "slow"})}, ["/down"], ["/down"]),
    "retries": (
        {"a": part("calm", "/down", retries={"attempts": 2, "on": ["503"]}), "b": part("slow", "/b")},
        ["/down"],
        ["/b"],
    ),
    "connecting": ({"a": part("deaf", "/a"), "b": part("slow", "/b")}, [], ["/b"]),
    "queue": ({"a": part("one", "/a"), "b": part("slow", "/b")}, [], ["/b"]),
    "body": ({"a": part("slow", "/a", method="POST", body="{request.body}")}, [], []),
    "upload": ({"a": part("slow", "/a", timeout="1m")}, [], ["/a"]),
}
CALM_OR_BUSY: dict[str, Handler] = {"/a": answer("1"), "/list": answer("[1, 2, 3, 4]")}
HANGING: dict[str, Handler] = {"/body": stalling(HEAD + b"Content-Length: 100\r\n\r\n[1, 2")}


async def test_client_that_leaves_takes_all_parts_with_it(tmp_path: Path) -> None:
    holding = {"name": "one", "match": {"path": "/one"}, "to": "one"}
    routes = [route(parts, f"/{name}", name) for name, (parts, _, _) in STAGES.items()]
    held = Held()
    async with (
        upstream(serving(CALM_OR_BUSY, answer("{}", b"Retry-After: 1", code=503))) as calm,
        upstream(serving(HANGING, silent)) as slow,
        upstream(serving({}, held)) as one,
        deaf_port() as deaf,
    ):
        upstreams = {
            "calm": calm.port,
            "slow": slow.port,
            "deaf": {"ports": deaf, "timeouts": {"connect": "300ms"}},
            "one": {"ports": one.port, "pool": {"max_connections": 1, "queue_timeout": "30s"}},
        }
        async with composing(tmp_path, config(upstreams, *routes, holding)) as served, served.client() as other:
            deaf_pool, pool = (served.upstream(name).endpoints[0].pool for name in ("deaf", "one"))
            other.send(request("/one"))
            await eventually(lambda: held.waiting)

            def asked() -> tuple[list[str], list[str]]:
                return sorted(targets(calm)), sorted(targets(slow))

            for stage, (_, *expected) in STAGES.items():
                calm.requests.clear()
                slow.requests.clear()
                async with served.client() as client:
                    # Of what is not all here the gateway reads on, whether anybody wants it or not.
                    size = {"body": 9, "upload": 1_000_000}.get(stage, 0)
                    fields = [b"Content-Length: %d" % size] if size else []
                    client.send(request(f"/{stage}", *fields, method="POST" if size else "GET") + b"x" * (size // 2))
                    await eventually(lambda: served.worker.runtime.proxy.active == 2)
                    await eventually(lambda: asked() == tuple(expected), stage)  # noqa: B023
                    await eventually(lambda: bool(pool.queue) == (stage == "queue"))  # noqa: B023
                    assert any(deaf_pool.connecting.values()) == (stage == "connecting")
                    if stage == "retries":
                        await eventually(lambda: served.upstreams[-1].budget.taken)
                    await turns()
                    client.reset()
                    await eventually(lambda: served.worker.runtime.proxy.active == 1)
                    await eventually(lambda: slow.open == 0, "the service works on for nobody")
                    assert not pool.queue
                await turns()
                assert asked() == tuple(expected), stage
            held.release()
            assert (await other.response()).status == 200
            await served.at_rest()
            assert asked() == tuple(expected)
            assert targets(one) == ["/one"]


async def test_mistake_of_ours_is_answered_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = [ZeroDivisionError()]

    def stumbling(*arguments: Any) -> Any:
        if mistakes:
            raise mistakes.pop()
        return problem_reply(*arguments)

    monkeypatch.setattr("gateway.proxy.problem_reply", stumbling)
    async with (
        upstream(serving({}, answer("{}", code=404))) as service,
        composing(tmp_path, config({"up": service.port}, route({"a": part("up", "/a", required=True)}))) as served,
    ):
        assert [(await served.ask()).status for _ in range(2)] == [500, 404]


async def test_drain_breaks_compositions_off(tmp_path: Path) -> None:
    parts = {"list": part("up", "/list"), "items": part("slow", "/{item}", foreach="list", concurrency=2)}
    text = {"timeouts": {"drain": "50ms"}}
    async with (
        upstream(serving({"/list": answer("[1, 2, 3]")})) as service,
        upstream(serving({}, silent)) as slow,
        composing(tmp_path, config({"up": service.port, "slow": slow.port}, route(parts), **text)) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        await eventually(lambda: len(slow.requests) == 2)
        await soon(served.worker.runtime.drain())
        assert await client.ends() == "reset"
        await eventually(lambda: slow.open == 0)
        assert len(slow.requests) == 2


@pytest.mark.parametrize("ends", ["answered", "left"])
async def test_reload_leaves_a_composition_alone(tmp_path: Path, ends: str) -> None:
    """It goes on with what it began with, and then that is let go of."""
    write_plugin(tmp_path, "probe")
    held = Held(b'{"id": 1}')
    parts = {
        "a": part("old", "/a"),
        "b": part("old", "/b/{a.id}", retries={"attempts": 2}, breaker={}),
        "c": part("gone", "/c/{a.id}"),
    }
    async with (
        upstream(serving({"/a": held}, answer("2"))) as service,
        composing(
            tmp_path, config({"old": service.port, "gone": service.port}, route(parts, plugins=["probe"]))
        ) as served,
    ):
        worker = served.worker
        async with served.client() as client:
            client.send(request("/page"))
            await eventually(lambda: held.waiting)
            worker.write(config({"new": service.port}, route({"d": part("new", "/d")})))
            assert await worker.runtime.reload()
            assert await served.page() == {"d": 2}
            assert events(worker.runtime) == ["start a"]
            if ends == "answered":
                held.release()
                message = await client.response()
                assert message.body == b'{"a":{"id": 1},"b":2,"c":2}'
                assert sorted(targets(service)) == ["/a", "/b/1", "/c/1", "/d"]
            else:
                client.reset()
        await served.at_rest()
        # Nothing holds the old table any more, nor its connections.
        await eventually(lambda: events(worker.runtime) == ["start a", "stop a"])
        held.release()
        await eventually(lambda: service.open == 1, "connections of what is gone are open")


async def test_nothing_is_left_that_only_the_collector_finds(tmp_path: Path) -> None:
    routes = []
    names = ["half_body", "silent", "missing", "crashed", "reset"]
    for name in names:
        for required in (False, True):
            bad = part("up", f"/{name}", timeout="50ms", required=required, breaker={"requests": 1000})
            parts = {
                "good": part("up", "/good"),
                "bad": bad,
                "rubbish": part("up", "/rubbish"),
                "unasked": part("up", "/{good.id}"),
                "items": part("up", "/{item}", foreach="[query.a, query.b]"),
            }
            routes.append(route(parts, f"/{len(routes)}", f"r{len(routes)}"))
    handlers = {"/good": answer("[1]"), "/rubbish": answer("[1"), **{f"/{name}": FAULTS[name][0] for name in names}}
    async with (
        upstream(serving(handlers)) as service,
        composing(tmp_path, config({"up": service.port}, *routes)) as served,
    ):
        for number in range(len(routes)):
            await served.ask(f"/{number}?a=1&b=2")
            with no_collector():
                before = exchanges()
                for _ in range(3):
                    await served.ask(f"/{number}?a=1&b=2")
                await eventually(lambda: exchanges() == before, "a cycle holds an exchange")  # noqa: B023


# everything at once


async def test_a_hundred_at_once_share_two_connections(tmp_path: Path) -> None:
    """Nobody holds a connection and waits for another one, though the gateway asks itself."""
    small = {"pool": {"max_connections": 2, "max_queue": 10_000, "queue_timeout": "30s"}}
    parts = {
        "list": part("up", "/list"),
        "items": part("up", "/items/{item}", foreach="list", concurrency=3),
        "inner": part("itself", "/plain/{list.0}"),
    }
    plain = {"name": "plain", "match": {"path": "/plain/{id}"}, "to": "up"}
    async with (
        upstream(serving({"/list": answer("[1, 2, 3]")}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, plain)) as served,
    ):
        itself = {"ports": served.worker.port, **small}
        served.worker.write(config({"up": {"ports": service.port, **small}, "itself": itself}, plain, route(parts)))
        assert await served.worker.runtime.reload()
        pages = await soon(asyncio.gather(*[served.page() for _ in range(100)]))
        expected = {"list": [1, 2, 3], "items": ["/items/1", "/items/2", "/items/3"], "inner": "/plain/1"}
        assert pages == [expected] * 100
        assert len(service.requests) == 500


PATHS = [*FAULTS, "ok", "ok2", "ok3", "ok4", "list", "rubbish", "huge"]
STATUSES = {200, 400, 401, 404, 418, 429, 502, 503, 504}


def random_part(chance: Random, before: list[str]) -> dict[str, Any]:
    """A part that may need some of those before it."""
    made = part(chance.choice(["up", "other"]), f"/{chance.choice(PATHS)}", timeout="60ms", max_body="64KiB")
    if before and chance.random() < 0.4:
        made["path"] += f"?id={{{chance.choice(before)}.id}}"
    if before and chance.random() < 0.2:
        made |= {"foreach": chance.choice(before), "path": "/{item.id:-ok}", "concurrency": 2}
    if before and chance.random() < 0.1:
        made["when"] = chance.choice(before)
    if chance.random() < 0.2:
        made["retries"] = {"attempts": 2, "on": ["5xx"], "budget": "100%"}
    if chance.random() < 0.2:
        made["breaker"] = {"consecutive": 3, "sleep": "20ms"}
    if chance.random() < 0.2:
        made["cache"] = "10ms"
    if chance.random() < 0.2:
        made["required"] = True
    elif chance.random() < 0.5:
        choices = ["null", "fail", {"value": {"id": "ok"}}, {"from": "other", "path": "/ok"}]
        made["on_error"] = chance.choice(choices)
    if chance.random() < 0.3:
        made["pick"] = "@"
    return made


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_fails_there_is_one_good_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    chance = Random(seed)
    routes = []
    for number in range(25):
        parts: dict[str, Any] = {}
        for name in ["p1", "p2", "p3", "p4", "p5"][: chance.randint(1, 5)]:
            parts[name] = random_part(chance, list(parts))
        respond = {"errors": "errors", "status": chance.choice(["required", "any", "all"])}
        routes.append(route(parts, f"/r{number}", f"r{number}", respond=respond))
    handlers = {f"/{name}": handler for name, (handler, _, _) in FAULTS.items()}
    handlers |= {f"/ok{number}": answer('{"id": "ok", "n": 9.990}') for number in ["", 2, 3, 4]}
    handlers |= {"/list": answer('[{"id": "ok"}, {"id": "list"}, {}]'), "/rubbish": answer('{"a": 1, "a": 2}')}
    handlers["/huge"] = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"fff0\r\n%b\r\n" % (b" " * 0xFFF0) * 2

    async def visit(served: Composing, visitor: int) -> None:
        for number in [chance.randrange(25) for _ in range(8)]:
            async with served.client() as client:
                client.send(request(f"/r{number}"))
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.random() / 100)
                    client.reset()
                    continue
                message = await client.response()
                assert message.status in STATUSES, (routes[number], message.head, message.body)
                said = json.loads(message.body)
                if message.status != 200:
                    assert message.get("content-type") == "application/problem+json"
                    assert said["status"] == message.status
                    continue
                assert message.get("x-gateway-completed") == ("false" if "errors" in said else "true")
                assert message.get("etag") == entity_tag(message.body)

    small = {"pool": {"max_connections": 3, "max_queue": 8, "queue_timeout": "40ms"}}
    async with (
        upstream(serving(handlers)) as service,
        upstream(serving(handlers)) as other,
        composing(tmp_path, config({"up": {"ports": service.port, **small}, "other": other.port}, *routes)) as served,
    ):
        await soon(asyncio.gather(*[visit(served, visitor) for visitor in range(12)]))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
