"""Frontends through real listeners: beside the main file's routes, alone, and as instances before and behind a common
gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from tests.support.frontends import INCLUDE, PAGE, write_frontend
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.polling import eventually
from tests.support.ports import free_port
from tests.support.processes import file_holds, gateway_run
from tests.support.raw_client import RawClient, connected
from tests.support.raw_upstream import answering, echoing, upstream
from tests.support.runtimes import HEAD, Running, events, running, write_config, write_plugin
from tests.test_compile import OWN

MAIN = HEAD + INCLUDE + "routes: [{name: page, match: {path: '/page/{id}'}, respond: {text: main}}]\n"
UP = "upstreams: {up: {endpoints: ['http://127.0.0.1:%d']}}\n"
TO_UP = "routes: [{name: all, to: up}]\n"
MOBILE = (b"X-Client: mobile",)


async def ask(client: RawClient, target: str, *fields: bytes, host: bytes = b"a", method: str = "GET") -> Message:
    return await client.ask(request(target, *fields, host=host, method=method), method)


async def said(worker: Running, target: str, *fields: bytes, host: bytes = b"a", frontend: str = "") -> str:
    """The text of a page, or the status of a failure."""
    async with worker.client(frontend) as client:
        answer = await ask(client, target, *fields, host=host)
        return answer.body.decode() if answer.status == 200 else str(answer.status)


async def test_each_request_goes_to_the_frontend_that_it_asks_for(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "prefix: /mobile\nheaders: {X-Client: mobile}\n")
    write_frontend(tmp_path, "web", "hosts: [web.example.com]\n")
    write_frontend(tmp_path, "tv", "headers: {User-Agent: '~.*TV.*'}\n", page="")
    async with running(tmp_path, MAIN) as worker:
        assert await said(worker, "/page/1") == "main"
        assert await said(worker, "/mobile/page/1", *MOBILE) == "mobile"
        assert await said(worker, "/mobile/page/1") == "404", "the header is missing"
        assert await said(worker, "/mobilepage/1", *MOBILE) == "404"
        assert await said(worker, "/page/1", host=b"web.example.com:80") == "web"
        assert await said(worker, "/page/1", b"User-Agent: a TV") == "404", "there is no way to the main file's routes"
        assert await said(worker, "/%6Dobile/page/1", *MOBILE) == "400"
        assert await said(worker, "/mobile/../page/1", *MOBILE) == "400"


async def test_what_goes_upstream_has_no_prefix(tmp_path: Path) -> None:
    async with upstream(answering) as service:
        write_frontend(tmp_path, "mobile", "prefix: /mobile\n" + UP % service.port + TO_UP, page="")
        async with running(tmp_path, MAIN) as worker, worker.client() as client:
            for target in ("/mobile", "/mobile/", "/mobile/a%20b?x=/mobile", "/mobile/mobile/x", "http://a/mobile/y"):
                assert (await ask(client, target)).status == 200
        paths = [message.first.split()[1].decode() for message in service.requests]
        assert paths == ["/", "/", "/a%20b?x=/mobile", "/mobile/x", "/y"]


async def test_a_listener_of_its_own(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    limits = "limits: {request_head: 1KiB, request_body: 3B}\n"
    plugins = "plugins: [headers: {response: {set: {X-Frontend: mobile}}}]\n"
    conditions = "bind: 127.0.0.1:0\nprefix: /mobile\nhosts: [m.example]\nheaders: {X-Client: mobile}\n"
    write_frontend(tmp_path, "mobile", conditions + limits + plugins)
    async with running(tmp_path, MAIN + "plugins: [rate_metrics]\n") as worker, worker.client("mobile") as client:
        answer = await ask(client, "/mobile/page/1", host=b"nobody.example")
        assert (answer.body, answer.get("x-frontend")) == (b"mobile", "mobile")
        answer = await ask(client, "/page/1")
        assert (answer.status, answer.get("x-frontend")) == (404, "mobile"), "the prefix is asked for"
        assert json.loads(answer.body)["instance"] == "/page/1"
        assert (await ask(client, "/mobile/%2e%2e/page/1")).status == 400
        answer = await client.ask(request("/mobile/page/1", method="POST", body=b"12345"))
        assert (answer.status, answer.get("x-frontend")) == (413, "mobile")
        async with worker.client("mobile") as other:
            answer = await ask(other, "/mobile/page/1", b"X: " + b"y" * 1024)
            assert (answer.status, answer.get("x-frontend")) == (431, "mobile"), "it is known whose listener it is"
        assert await said(worker, "/mobile/page/1", b"X: " + b"y" * 1024, *MOBILE, host=b"m.example") == "mobile"
        shown = (await worker.get("/metrics")).body.decode()
        assert 'gateway_requests_total{code="431",frontend="mobile",method="other",route="-"} 1.0' in shown


@pytest.mark.parametrize("chunked", [False, True])
async def test_each_has_its_own_longest_body(tmp_path: Path, chunked: bool) -> None:
    async with upstream(echoing) as service:
        write_frontend(tmp_path, "less", "prefix: /less\nlimits: {request_body: 2B}\n" + TO_UP, page="")
        write_frontend(tmp_path, "more", "prefix: /more\nlimits: {request_body: 6B}\n" + TO_UP, page="")
        write_frontend(tmp_path, "same", "prefix: /same\n" + TO_UP, page="")
        text = MAIN.partition("routes:")[0] + UP % service.port + "limits: {request_body: 4B}\n" + TO_UP
        async with running(tmp_path, text) as worker:

            async def posted(target: str, length: int) -> int:
                body = b"x" * length
                if chunked:
                    data = request(target, b"Transfer-Encoding: chunked", method="POST")
                    data += b"%x\r\n%b\r\n0\r\n\r\n" % (length, body)
                else:
                    data = request(target, method="POST", body=body)
                async with worker.client() as client:
                    return (await client.ask(data)).status

            found = {
                target: [await posted(target, length) for length in (2, 3, 4, 5, 6, 7)]
                for target in ("/less", "/", "/same", "/more")
            }
        assert found == {
            "/less": [200, 413, 413, 413, 413, 413],
            "/": [200, 200, 200, 413, 413, 413],
            "/same": [200, 200, 200, 413, 413, 413],
            "/more": [200, 200, 200, 200, 200, 413],
        }


async def test_failures_within_a_frontend_pass_its_plugins(tmp_path: Path) -> None:
    route = "routes: [{name: only, match: {path: /only, methods: [PUT]}, respond: {}}]\n"
    plugins = "plugins: [headers: {response: {set: {X-Frontend: mobile}}}]\n"
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + plugins + route, page="")
    async with running(tmp_path, MAIN) as worker, worker.client() as client:
        for target, method, status, allow in [
            ("/m/none", "GET", 404, None),
            ("/m/only", "GET", 405, "PUT"),
            ("/m/a/..%2fonly", "PUT", 400, None),
            ("/m/only", "TRACE", 405, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ]:
            answer = await ask(client, target, method=method)
            assert (answer.status, answer.get("allow"), answer.get("x-frontend")) == (status, allow, "mobile")
            assert json.loads(answer.body)["instance"] == target
        assert (await ask(client, "/none")).get("x-frontend") is None


async def test_a_preflight_is_answered_within_the_frontend(tmp_path: Path) -> None:
    route = (
        "routes: [{name: a, match: {methods: [PUT]}, respond: {}, plugins: [cors: {origins: ['https://x.example']}]}]\n"
    )
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + route, page="")
    async with running(tmp_path, MAIN) as worker, worker.client() as client:
        fields = (b"Origin: https://x.example", b"Access-Control-Request-Method: PUT")
        answer = await ask(client, "/m/x", *fields, method="OPTIONS")
        assert answer.get("access-control-allow-origin") == "https://x.example"


async def test_labels(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    write_frontend(tmp_path, "web", "prefix: /w\n")
    ecs, line = tmp_path / "ecs.log", tmp_path / "line.log"
    plugins = (
        "plugins:\n  - rate_metrics\n  - rate_limit: {rate: 100/s}\n"
        f"  - access_log: {{to: 'file://{ecs}'}}\n"
        f"  - access_log: {{to: 'file://{line}', format: '{{frontend}} {{route}} {{path}} {{target}}'}}\n"
    )
    async with running(tmp_path, MAIN + plugins) as worker:
        for target in ("/page/1", "/m/page/1?x=1", "/w/page/2", "/m", "/none"):
            await said(worker, target)
        shown = (await worker.get("/metrics")).body.decode()
        rows = (await worker.get("/api/routes")).data["routes"]
        logged = await file_holds(ecs, lambda text: text.count("\n") == 5)
        lines = await file_holds(line, lambda text: text.count("\n") == 5)
    assert [text for text in shown.splitlines() if text.startswith("gateway_requests_total{")] == [
        'gateway_requests_total{code="200",method="GET",route="page"} 1.0',
        'gateway_requests_total{code="200",frontend="mobile",method="GET",route="page"} 1.0',
        'gateway_requests_total{code="200",frontend="web",method="GET",route="page"} 1.0',
        'gateway_requests_total{code="404",frontend="mobile",method="GET",route="-"} 1.0',
        'gateway_requests_total{code="404",method="GET",route="-"} 1.0',
    ]
    assert 'gateway_request_duration_seconds_count{frontend="web",route="page"} 1.0' in shown
    assert 'gateway_overhead_seconds_count{route="page"} 1.0' in shown
    assert 'gateway_rate_limit_total{decision="allowed",frontend="mobile",route="page"} 1.0' in shown
    assert [(row["frontend"], row["name"], row["calls"]) for row in rows] == [
        (None, "page", 1),
        (None, "-", 1),
        ("mobile", "page", 1),
        ("mobile", "-", 1),
        ("web", "page", 1),
        ("web", "-", 0),
    ]
    found = [json.loads(text) for text in logged.splitlines()]
    assert [(one["labels"].get("frontend"), one["labels"]["route"], one["url"]["original"]) for one in found] == [
        (None, "page", "/page/1"),
        ("mobile", "page", "/m/page/1?x=1"),
        ("web", "page", "/w/page/2"),
        ("mobile", "-", "/m"),
        (None, "-", "/none"),
    ]
    assert lines.splitlines() == [
        "- page /page/1 /page/1",
        "mobile page /m/page/1 /m/page/1?x=1",
        "web page /w/page/2 /w/page/2",
        "mobile - /m /m",
        "- - /none /none",
    ]


async def test_what_is_counted_by_route_is_counted_for_each_frontend(tmp_path: Path) -> None:
    async with upstream(answering) as service:
        write_frontend(tmp_path, "mobile", "prefix: /m\n" + TO_UP, page="")
        write_frontend(tmp_path, "web", "prefix: /w\n" + TO_UP, page="")
        plugins = "plugins: [breaker, rate_limit: {rate: 1/h, burst: 2, by: route}]\n"
        text = MAIN.partition("routes:")[0] + UP % service.port + plugins + TO_UP
        async with running(tmp_path, text) as worker:
            assert [await said(worker, target) for target in ("/", "/m", "/w")] == ["ok"] * 3
            rows = (await worker.get("/api/breakers")).data["breakers"]
            assert [row["name"] for row in rows] == ["all", "mobile/all", "web/all"]
            answer = await worker.ask("POST", "/api/breakers/mobile/all", json={"state": "forced_open"})
            assert answer.status == 200
            assert [await said(worker, target) for target in ("/", "/m", "/w")] == ["ok", "503", "ok"]
            assert [await said(worker, target) for target in ("/", "/m", "/w")] == ["429"] * 3


async def test_paths_that_plugins_answer(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [own: {path: /mine}]\n")
    async with running(tmp_path, MAIN + "plugins: [own]\n") as worker:
        asked = ("/login", "/m/login", "/w/login", "/w/mine", "/m/mine", "/mine", "/m/m/login")
        found = {target: await said(worker, target) for target in asked}
    assert found == dict.fromkeys(asked[:4], "own") | dict.fromkeys(asked[4:], "404")


async def test_one_alone(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    write_frontend(tmp_path, "mobile", "prefix: /m\nhosts: [m.example]\nplugins: [probe: {label: mobile}]\n")
    write_frontend(tmp_path, "web", "bind: 127.0.0.1:0\nplugins: [probe: {label: web}]\n")
    text = MAIN.replace("{text: main}", "{}, plugins: [probe: {label: main}]") + "plugins: [probe: {label: top}]\n"
    async with running(tmp_path, text, alone=["mobile"]) as worker:
        assert events(worker.runtime) == ["start top", "start mobile"]
        assert len(worker.runtime.listeners) == 1
        assert await said(worker, "/m/page/1") == "mobile", "there is nothing to choose: hosts are not asked"
        assert await said(worker, "/page/1") == "404", "the prefix is, and the main file's routes are not served"
        assert await worker.runtime.reload()
        assert await said(worker, "/m/page/1") == "mobile"
        (tmp_path / "bff" / "mobile.yaml").unlink()
        assert not await worker.runtime.reload()
        assert "no frontend is named 'mobile'; there are: web" in worker.runtime.last.texts[0]
        assert await said(worker, "/m/page/1") == "mobile"
    async with running(tmp_path, text, bind="127.0.0.1:0", alone=["web"]) as worker:
        assert await said(worker, "/page/1") == "web"


async def test_some_alone(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    write_frontend(tmp_path, "web", "hosts: [w.example]\n")
    write_frontend(tmp_path, "tv", "bind: 127.0.0.1:0\nprefix: /tv\n")
    async with running(tmp_path, MAIN, alone=["mobile", "web", "tv"]) as worker:
        assert await said(worker, "/m/page/1") == "mobile"
        assert await said(worker, "/page/1", host=b"w.example") == "web"
        assert await said(worker, "/page/1") == "404"
        assert await said(worker, "/tv/page/1") == "404", "it has a listener of its own"
        assert await said(worker, "/tv/page/1", frontend="tv") == "tv"


async def test_a_reload_adds_and_removes_frontends(tmp_path: Path) -> None:
    async with running(tmp_path, MAIN) as worker, worker.client() as client:
        assert (await ask(client, "/m/page/1")).status == 404
        write_frontend(tmp_path, "mobile", "prefix: /m\n")
        assert await worker.runtime.reload()
        assert (await ask(client, "/m/page/1")).body == b"mobile", "on an open connection too"
        write_frontend(tmp_path, "mobile", "prefix: /n\n", page="other")
        assert await worker.runtime.reload()
        assert [(await ask(client, target)).status for target in ("/m/page/1", "/n/page/1")] == [404, 200]
        path = write_frontend(tmp_path, "mobile", "prefix: /n\nbind: 127.0.0.1:1\n")
        assert not await worker.runtime.reload()
        assert "a reload cannot change where the frontend 'mobile' listens" in worker.runtime.last.texts[0]
        assert (await ask(client, "/n/page/1")).body == b"other"
        path.unlink()
        assert await worker.runtime.reload()
        assert [(await ask(client, target)).status for target in ("/n/page/1", "/page/1")] == [404, 200]
        assert worker.runtime.proxy.table.frontends is None


async def test_binds_stay_with_their_frontends_when_files_change_places(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    texts = [f"frontend: {name}\nbind: 127.0.0.1:{port}\n{PAGE % name}" for name, port in zip("ab", ports, strict=True)]

    def write(first: str, second: str) -> None:
        (tmp_path / "bff" / "1.yaml").write_text(first)
        (tmp_path / "bff" / "2.yaml").write_text(second)

    async def served() -> list[bytes]:
        answers = []
        for port in ports:
            async with connected(port) as client:
                answers.append((await ask(client, "/page/1")).body)
        return answers

    (tmp_path / "bff").mkdir()
    write(*texts)
    async with running(tmp_path, MAIN) as worker:
        assert await served() == [b"a", b"b"]
        write(*reversed(texts))
        assert await worker.runtime.reload()
        assert await served() == [b"a", b"b"]


async def test_a_request_under_way_ends_in_the_frontend_it_began_in(tmp_path: Path) -> None:
    async with upstream(echoing) as service:
        write_plugin(tmp_path, "probe")
        text = MAIN + UP % service.port + "plugins: [rate_metrics]\n"
        write_frontend(tmp_path, "mobile", "prefix: /m\nplugins: [probe]\n" + TO_UP, page="")
        async with running(tmp_path, text) as worker, worker.client() as client:
            client.send(request("/m/x", b"Content-Length: 2", method="POST") + b"o")
            await eventually(lambda: worker.runtime.proxy.active)
            (tmp_path / "bff" / "mobile.yaml").unlink()
            assert await worker.runtime.reload()
            assert events(worker.runtime) == ["start a"]
            client.send(b"k")
            assert (await client.response()).body == b"ok"
            await eventually(lambda: events(worker.runtime) == ["start a", "stop a"])
            shown = (await worker.get("/metrics")).body.decode()
            assert 'frontend="mobile",method="POST",route="all"} 1.0' in shown


# instances before and behind a common gateway


@pytest.mark.parametrize("trusting", [True, False])
async def test_a_common_gateway_in_front_of_a_frontends_instance(tmp_path: Path, trusting: bool) -> None:
    """The common gateway finds out who asks, and the instance behind it believes that of nobody else."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir()
    outer.mkdir()
    write_frontend(inner, "mobile", "prefix: /mobile\n" + TO_UP, page="")
    trust = "trusted_proxies: [127.0.0.0/8]\n" if trusting else ""
    async with upstream(answering) as service:
        text = HEAD + trust + INCLUDE + UP % service.port + "plugins: [tracing_ids, access_log: {to: 'file://%s'}]\n"
        log = inner / "access.log"
        async with running(inner, text % log, alone=["mobile"]) as bff:
            common = HEAD + UP % bff.port + "plugins: [tracing_ids]\n" + TO_UP
            async with running(outer, common) as worker, worker.client() as client:
                answer = await ask(client, "/mobile/items", b"X-Client: mobile", b"X-Request-Id: forged")
                shown = json.loads(await file_holds(log, lambda text: text.count("\n") == 1))
        (seen,) = service.requests
    assert answer.status == 200
    assert seen.first == b"GET /items HTTP/1.1"
    assert seen.get("x-client") == "mobile"
    ids = (answer.get("x-request-id"), seen.get("x-request-id"))
    assert "forged" not in ids
    assert (ids[0] == ids[1]) is trusting, "ids of a peer that is not trusted are replaced"
    assert (shown["labels"]["frontend"], shown["labels"]["route"]) == ("mobile", "all")
    assert shown["url"]["original"] == "/mobile/items"
    assert seen.get("x-forwarded-for") == ("127.0.0.1, 127.0.0.1" if trusting else "127.0.0.1")


async def test_a_frontends_instance_in_front_of_a_common_gateway(tmp_path: Path) -> None:
    """The instance shapes requests; the common gateway behind it sees the paths without its prefix, and one trace."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir()
    outer.mkdir()
    async with upstream(answering) as service:
        text = HEAD + "trusted_proxies: [127.0.0.0/8]\nplugins: [tracing_ids, rate_metrics]\n" + UP % service.port
        async with running(inner, text + "routes: [{name: items, match: {path: /items}, to: up}]\n") as common:
            write_frontend(outer, "web", "prefix: /web\n" + TO_UP, page="")
            text = HEAD + INCLUDE + UP % common.port + "plugins: [tracing_ids]\n"
            async with running(outer, text, alone=["web"]) as bff, bff.client() as client:
                answer = await ask(client, "/web/items?x=1")
                assert answer.status == 200
                assert (await ask(client, "/items")).status == 404
                shown = (await common.get("/metrics")).body.decode()
        (seen,) = service.requests
    assert seen.first == b"GET /items?x=1 HTTP/1.1"
    assert seen.get("x-request-id") == answer.get("x-request-id")
    assert seen.all("via") == ["1.1 gateway", "1.1 gateway"]
    assert 'gateway_requests_total{code="200",method="GET",route="items"} 1.0' in shown


async def test_the_command(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "bind: 127.0.0.1:0\n")
    write_config(tmp_path, MAIN)
    async with gateway_run(tmp_path, "--frontend", "mobile") as gateway:
        await gateway.says(r"listening on 127.0.0.1:\d+ for the frontend mobile")
        async with connected(await gateway.port()) as client:
            assert (await ask(client, "/page/1")).body == b"mobile"


async def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    with pytest.raises(ConfigError, match="no frontend is named 'moble'; did you mean 'mobile'?"):
        async with running(tmp_path, MAIN, alone=["moble"]):
            pass
