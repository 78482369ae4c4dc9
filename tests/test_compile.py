"""From specs and plugins to a table; what is wrong is told at its place, and what an edit did not touch is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.compile import Generation, compile_table, config_folder
from gateway.config.load import load
from gateway.library import Library
from gateway.routing.actions import Forward, Redirect, Respond
from gateway.routing.route import Route
from gateway.table import RouteTable
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env, make_exchange
from tests.support.gateways import request
from tests.support.runtimes import HEAD as RUNNING
from tests.support.runtimes import running, write_config, write_plugin

HEAD = "version: 1\nname: edge\n"
UP = "upstreams:\n  up: {endpoints: ['http://127.0.0.1:1', {url: 'http://[::1]:2', weight: 2}]}\n"
TO_UP = "routes:\n  - {name: all, to: up}\n"
STRICT = """
from dataclasses import dataclass
from gateway.plugin import Plugin, Secret

class Strict(Plugin):
    @dataclass(frozen=True)
    class Options:
        number: int = 1
        key: Secret = Secret("")
        upstream: str = ""

    def __init__(self, options, env):
        super().__init__(options, env)
        if options.number < 0:
            raise ValueError(f"{options.number} is below 0, says {options.key.reveal()}")
        if options.number == 7:
            raise KeyError("seven")
        if options.upstream:
            env.upstream(options.upstream)

    def identity_headers(self):
        return ["X-User"]
"""


def compiled(
    folder: Path, text: str, before: Generation | None = None, library: Library | None = None
) -> tuple[Generation | None, list[str]]:
    loaded = load(write_config(folder, text), {})
    metrics = Metrics()
    env = make_env(metrics=metrics, upstreams={"up": None})  # type: ignore[dict-item]
    generation, problems = compile_table(loaded, env, metrics, library or Library(folder), before)
    return generation, [str(problem).replace(f"{folder}/", "") for problem in problems]


def good(folder: Path, text: str, before: Generation | None = None, library: Library | None = None) -> Generation:
    generation, problems = compiled(folder, text, before, library)
    assert generation is not None, problems
    return generation


def test_the_table(tmp_path: Path) -> None:
    routes = """routes:
  - name: item
    match: {host: a.example, path: "/a/{id}", methods: [GET], headers: {X: "1"}, query: {v: "2"}}
    to: [{upstream: up, weight: 0}, {upstream: up, weight: 2}]
    priority: 4
    rewrite: {path: "/b/{id}", headers: {set: {X: "2"}}, query: {remove: [v]}}
    plugins: [cors]
  - {name: old, match: {path: "/v1/**"}, redirect: {to: "/{**}"}}
  - {name: text, match: {path: /t}, respond: {text: hi}}
  - {name: json, match: {path: /j}, respond: {json: null, status: 201}}
  - {name: none, match: {path: /n}, respond: {status: 204, headers: {X: "y"}}}
"""
    table = good(tmp_path, HEAD + "plugins: [tracing_ids]\n" + UP + routes).table
    item, old, text, null, none = table.router.routes
    assert (item.host, item.methods, item.priority, item.order) == ("a.example", {"GET", "HEAD"}, 4, 0)
    assert [str(predicate) for predicate in item.predicates] == ["header X is '1'", "query v is '2'"]
    assert isinstance(item.action, Forward)
    assert item.action.rewrite is not None
    assert item.action.rewrite.target("/a/7", "v=2&w=3", {"id": "7"}) == "/b/7?w=3"
    assert [plugin.name for plugin in item.chain.plugins] == ["tracing_ids", "cors"]
    assert old.chain is table.chain
    assert isinstance(old.action, Redirect)
    exchange = make_exchange()
    replies = [route.action.reply(exchange) for route in (text, null, none) if isinstance(route.action, Respond)]
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"hi"), (201, b"null"), (204, b"")]
    assert (table.name, table.via) == ("edge", b"Via: 1.1 edge\r\n")


UPGRADES = """routes:
  - {name: plain, match: {path: /p}, to: up}
  - {name: socket, match: {path: /s}, to: up, upgrade: [websocket]}
  - {name: few, match: {path: /f}, to: up, upgrade: [websocket], websocket: {idle: 5m, connections: 2}}
"""


def test_what_routes_may_be_upgraded_to(tmp_path: Path) -> None:
    generation = good(tmp_path, HEAD + UP + UPGRADES)
    plain, socket, few = [route.action for route in generation.table.router.routes]
    assert [str(action) for action in (plain, socket, few)] == [
        "to up",
        "to up, upgrade to websocket",
        "to up, upgrade to websocket (at most 2)",
    ]
    assert isinstance(plain, Forward)
    assert plain.websockets is None
    assert isinstance(socket, Forward)
    assert socket.websockets is not None
    assert (socket.websockets.idle, socket.websockets.limit) == (3600.0, None)
    assert isinstance(few, Forward)
    assert few.websockets is not None
    assert (few.websockets.idle, few.websockets.limit) == (300.0, 2)


@pytest.mark.parametrize("token", ["h2c", "WebSocket", "tls/1.2"])
def test_upgrades_to_what_nobody_knows_are_wrong(tmp_path: Path, token: str) -> None:
    generation, problems = compiled(tmp_path, HEAD + UP + UPGRADES.replace("[websocket]", f"[{token}]", 1))
    assert generation is None
    (problem,) = problems
    assert problem.startswith(f"routes.yaml:7:57: routes[1].upgrade[0]: should be 'websocket', not '{token}'")


def test_upstreams(tmp_path: Path) -> None:
    more = "timeouts: {connect: 2s, total: 9s}, pool: {max_connections: 3}, host: upstream, forwarded: rfc7239}"
    table = good(tmp_path, HEAD + UP.replace("}]}", "}], " + more) + TO_UP).table
    up = table.upstreams["up"]
    assert [(one.address, one.weight) for one in up.endpoints] == [("127.0.0.1:1", 1), ("[::1]:2", 2)]
    assert (up.timeouts.connect, up.timeouts.total, up.host, up.forwarded) == (2, 9, "", True)
    assert up.endpoints[0].pool.limits.max_connections == 3
    assert up.endpoints[0].pool.limits.connect == 2
    assert good(tmp_path, HEAD + "forwarded: rfc7239\n" + UP + TO_UP).table.upstreams["up"].forwarded
    assert good(tmp_path, HEAD + UP + TO_UP).table.upstreams["up"].host is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugins: [nothing]\n", "3:11: no plugin is named 'nothing'"),
        ("plugins: [{cors: {orgins: []}}]\n", "3:19: unknown key 'orgins'"),
        ("plugins: [{rate_metrics: {a: 1}}]\n", "3:12: the plugin 'rate_metrics' takes no options"),
        ("plugins: [{strict: {number: -1, key: geheim}}]\n", "refuses its options: -1 is below 0, says ***"),
        ("plugins: [{strict: {number: 7}}]\n", "refuses its options: 'seven'"),
        ("plugins: [{strict: {upstream: upp}}]\n" + UP + TO_UP, "unknown upstream 'upp'; did you mean 'up'?"),
        ("routes: [{name: a, match: {path: '/{a}/{a}'}, respond: {}}]\n", "3:34: 'a' is captured twice"),
        ("routes: [{name: a, match: {path: '/a{b}'}, respond: {}}]\n", "mixes text and a capture"),
        ("routes: [{name: a, redirect: {to: '/{b}'}}]\n", "3:35: '{b}' is not captured by the path"),
        (UP + "routes: [{name: a, to: up, rewrite: {path: '/{b}'}}]\n", "5:44: '{b}' is not captured"),
        (UP.replace("[::1]:2", "127.0.0.1:1") + TO_UP, "4:42: 127.0.0.1:1 stands here twice; give it a weight"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    generation, problems = compiled(tmp_path, HEAD + text)
    assert generation is None
    assert len(problems) == 1
    assert said in problems[0]


def test_everything_at_once_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    routes = "routes:\n  - {name: a, match: {path: '/**/b'}, respond: {}}\n  - {name: b, redirect: {to: '/{x}'}}\n"
    text = "plugins: [one, two]\n" + routes
    _, problems = compiled(tmp_path, HEAD + text)
    assert [problem.split(":")[1] for problem in problems] == ["3", "3", "5", "6"]


def test_warnings(tmp_path: Path) -> None:
    routes = "routes:\n  - {name: a, respond: {}}\n  - {name: b, respond: {}}\ninclude: [none/*.yaml]\n"
    generation, problems = compiled(tmp_path, HEAD + UP + routes)
    assert generation is not None
    assert problems == [
        "routes.yaml:4:3: warning: no route goes to the upstream 'up'",
        "routes.yaml:7:5: warning: the route 'b' can never be chosen: 'a' takes all its requests",
        "routes.yaml:8:11: warning: include: 'none/*.yaml' matches no file",
    ]
    assert [str(one).replace(f"{tmp_path}/", "") for one in generation.warnings] == problems


def test_an_upstream_that_only_a_plugin_names_is_in_use(tmp_path: Path) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    _, problems = compiled(
        tmp_path, HEAD + UP + "routes: [{name: a, respond: {}, plugins: [strict: {upstream: up}]}]\n"
    )
    assert problems == []


@pytest.mark.parametrize("used", [True, False])
def test_a_local_plugin_named_like_a_built_in_is_told_once(tmp_path: Path, used: bool) -> None:
    write_plugin(tmp_path, "cors", STRICT)
    _, problems = compiled(tmp_path, HEAD + ("plugins: [cors]\n" if used else ""))
    assert len(problems) == 1
    assert "the plugin name 'cors' is taken twice" in problems[0]


def test_identity_headers(tmp_path: Path) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    routes = "routes: [{name: a, respond: {}, plugins: [strict]}, {name: b, match: {path: /b}, respond: {}}]\n"
    assert good(tmp_path, HEAD + routes).table.identity_headers == {"X-User"}


# from one generation to the next


def test_instances_with_the_same_options_are_kept(tmp_path: Path) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    text = HEAD + "plugins: [strict: {number: %d}, strict]\nroutes: [{name: a, respond: {}, plugins: [strict]}]\n"
    library = Library(tmp_path)
    first = good(tmp_path, text % 1, None, library)
    second = good(tmp_path, "# further down\n" + text % 1, first, library)
    assert list(second.plugins) == [("", "strict", 1), ("", "strict", 2), ("a", "strict", 1)]
    assert all(first.plugins[key] is second.plugins[key] for key in first.plugins)
    third = good(tmp_path, text % 2, second, library)
    assert [third.plugins[key] is second.plugins[key] for key in second.plugins] == [False, True, True]
    assert third.plugin("strict") == list(third.plugins.values())


def test_where_an_instance_stands(tmp_path: Path) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    text = HEAD + "plugins:\n  - strict\n  - cors\n  - strict: {number: 2}\n"
    generation = good(tmp_path, text)
    lines = [generation.use_of(plugin).position.line for plugin in generation.plugins.values()]
    assert lines == [4, 5, 6]
    with pytest.raises(LookupError):
        good(tmp_path, text.replace("number: 2", "number: 3")).use_of(generation.plugin("strict")[1])


def test_endpoints_are_kept_and_take_over_when_they_serve(tmp_path: Path) -> None:
    first = good(tmp_path, HEAD + UP + TO_UP)
    text = HEAD + UP.replace("weight: 2", "weight: 5").replace("]}", "], pool: {max_queue: 7}}") + TO_UP
    second = good(tmp_path, text, first)
    assert all(first.endpoints[key] is second.endpoints[key] for key in first.endpoints)
    endpoint = second.endpoints["up", "[::1]:2"]
    assert (endpoint.weight, endpoint.pool.limits.max_queue) == (2, 1024), "it may yet be refused"
    second.take_over()
    assert (endpoint.weight, endpoint.pool.limits.max_queue) == (5, 7)
    other = good(tmp_path, text.replace(" up: ", " pu: ").replace("to: up", "to: pu"), second)
    assert other.endpoints["pu", "[::1]:2"] is not endpoint, "another upstream's endpoint is another's"


def test_secrets(tmp_path: Path) -> None:
    write_plugin(tmp_path, "strict", STRICT)
    text = HEAD + "admin: {token: tok-en}\nplugins: [strict: {key: geheim}]\n"
    assert good(tmp_path, text).secrets >= {"tok-en", "geheim"}
    assert "geheim" not in repr(good(tmp_path, text))


def test_where_local_plugins_are() -> None:
    assert config_folder(Path("routes.yaml")) == Path.cwd()


# paths that plugins answer themselves

OWN = """
from dataclasses import dataclass
from gateway.plugin import Plugin, Reply

class Own(Plugin):
    own_body = 1000

    @dataclass(frozen=True)
    class Options:
        path: str = "/login"
        methods: tuple[str, ...] = ("GET", "POST")

    def own_paths(self):
        return {self.options.path: self.options.methods}

    def on_request(self, exchange):
        mine = exchange.raw_path == self.options.path and exchange.method in self.options.methods
        return Reply.text(200, "own") if mine else None
"""


def chosen(table: RouteTable, path: str = "/login", method: str = "GET", host: str = "a") -> Route:
    exchange = make_exchange(method, path, {"Host": host, "X-A": "1"})
    route = table.router.find(host, path, exchange)
    assert route is not None
    return route


FILE = """routes:
  - {name: other, match: {path: /other}, respond: {}, plugins: [own]}
  - {name: mine, match: {path: /login}, respond: {}}
  - {name: hosted, match: {path: /login, host: b.example}, respond: {}}
  - {name: picky, match: {path: /login, headers: {X-A: "1"}}, respond: {}}
  - {name: all, respond: {}}
  - {name: wild, match: {host: "*.example"}, respond: {}}
"""


@pytest.mark.parametrize("host", ["a", "b.example", "c.example", "d.test"])
def test_own_paths_come_first_on_every_host(tmp_path: Path, host: str) -> None:
    write_plugin(tmp_path, "own", OWN)
    table = good(tmp_path, HEAD + "plugins: [tracing_ids]\n" + FILE).table
    for method in ("GET", "HEAD", "POST"):
        route = chosen(table, method=method, host=host)
        assert route.name == "own:/login"
        assert [plugin.name for plugin in route.chain.plugins] == ["tracing_ids", "own"]
        assert route.chain.request_body == 1000
    assert chosen(table, method="DELETE", host=host).name in ("mine", "hosted", "picky", "wild")
    assert chosen(table, "/login/", host=host).name in ("all", "wild")
    assert chosen(table, "/other").chain.request_body == 0, "only its own paths need the body"


def test_own_paths_of_the_top_level_have_its_chain(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    generation = good(tmp_path, HEAD + "plugins: [tracing_ids, own, cors]\n" + FILE.replace(", plugins: [own]", ""))
    assert [plugin.name for plugin in chosen(generation.table).chain.plugins] == ["tracing_ids", "own", "cors"]
    (plugin,) = generation.plugin("own")
    assert "own:/login" in generation.served()[plugin]


def test_own_paths_that_two_plugins_want(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    write_plugin(tmp_path, "theirs", OWN.replace("class Own", "class Theirs"))
    own = "plugins:\n  - own: {path: /a}\n  - own: {path: /b}\n"
    routes = (
        "routes:\n  - name: x\n    respond: {}\n    plugins:\n      - own: {path: /c}\n      - theirs: {path: /b}\n"
    )
    _, problems = compiled(tmp_path, HEAD + own + routes)
    assert problems == ["routes.yaml:11:9: the plugins 'own' and 'theirs' (at x) both answer /b; give one another path"]
    _, problems = compiled(tmp_path, HEAD + own.replace("/b", "/a") + routes.replace("theirs: {path: /b}", "cors"))
    assert problems == [
        "routes.yaml:5:5: the plugins 'own' and 'own' (at the top) both answer /a; give one another path"
    ]
    good(tmp_path, HEAD + own + routes.replace("/b", "/d"))


def test_an_own_path_that_is_none_has_its_place(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    assert compiled(tmp_path, HEAD + "plugins:\n  - own: {path: '/a{b'}\n") == (
        None,
        ["routes.yaml:4:5: a brace is not closed"],
    )


async def test_an_own_path_is_answered_and_has_its_body(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN.replace('"own")', "repr(exchange.body))"))
    text = RUNNING + "plugins: [own]\nroutes: [{name: all, respond: {text: all}}]\n"
    async with running(tmp_path, text) as worker, worker.client() as client:
        assert (await client.ask(request("/login"))).body == b"b''"
        assert (await client.ask(request("/login", method="POST", body=b"a=1"))).body == b"b'a=1'"
        chunks = request("/login", b"Transfer-Encoding: chunked", method="POST") + b"3\r\na=1\r\n0\r\n\r\n"
        assert (await client.ask(chunks)).body == b"b'a=1'"
        assert (await client.ask(request("/login", method="PUT", body=b"a" * 2000))).body == b"all"
        assert (await client.ask(request("/login", method="POST", body=b"a" * 1001))).status == 413
