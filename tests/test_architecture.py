"""The shape of the code, checked by reading it: who may import whom, what may touch a socket, how long things may be.

Each rule takes a Tree and returns its violations, one line each; a test holds the rule against this repository, and
`test_rule_finds` against a small tree that breaks it. Imports under `if TYPE_CHECKING:` do not count: nothing is
loaded by them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("gateway", "plugins", "loadtest", "tests")

# The modules at the bottom, and all of the gateway that each may import.
LAYERS = {
    "gateway.errors": (),
    "gateway.units": (),
    "gateway.exchange": ("gateway.errors", "gateway.ids", "gateway.units"),
    "gateway.plugin": ("gateway.errors", "gateway.exchange", "gateway.units"),
}
# What decides, with time and events passed in.
PURE = (
    "gateway.admin.hystrix",
    "gateway.admin.merged_rows",
    "gateway.answers",
    "gateway.auth.access_rules",
    "gateway.auth.basic",
    "gateway.auth.basic_options",
    "gateway.auth.bearer",
    "gateway.auth.claims",
    "gateway.auth.cookies",
    "gateway.auth.csrf",
    "gateway.auth.delegation",
    "gateway.auth.delegation_options",
    "gateway.auth.header_names",
    "gateway.auth.jwt_options",
    "gateway.auth.key_set",
    "gateway.auth.passwords",
    "gateway.auth.session_options",
    "gateway.auth.tokens",
    "gateway.breaker.circuit",
    "gateway.breaker.shared_circuit",
    "gateway.breaker.stale",
    "gateway.breaker.window",
    "gateway.compose.part_cache",
    "gateway.config",
    "gateway.doctor.finding",
    "gateway.doctor.machine",
    "gateway.doctor.needs",
    "gateway.doctor.services",
    "gateway.legacy",
    "gateway.limits.gcra",
    "gateway.limits.headers",
    "gateway.limits.keys",
    "gateway.limits.lease",
    "gateway.limits.options",
    "gateway.limits.places",
    "gateway.limits.rate",
    "gateway.recent",
    "gateway.routing",
    "gateway.shaping",
    "gateway.state.board",
    "gateway.state.marks",
    "gateway.state.outage",
    "gateway.telemetry.merging",
    "gateway.telemetry.traffic",
    "gateway.telemetry.window",
    "gateway.state.rate_table",
    "gateway.state.records",
    "gateway.state.tallies",
    "gateway.upstreams.balance",
    "gateway.upstreams.concurrency",
    "gateway.upstreams.health",
    "gateway.upstreams.outliers",
    "gateway.upstreams.retry",
    "gateway.wire.client_hello",
    "gateway.wire.head",
    "gateway.wire.headers",
    "gateway.wire.proxy_protocol",
)
IMPURE = ("aiohttp", "asyncio", "logging", "time", "uvloop")
# What every request runs through, and what none may.
HOT = ("gateway.proxy", "gateway.routing", "gateway.wire")
COLD = ("gateway.admin", "gateway.cli", "gateway.compile", "gateway.config", "gateway.process", "pydantic", "yaml")
KNOW_THE_BUILTINS = ("gateway.builtins", "gateway.compile")
PLUGINS_MAY_IMPORT = (
    "gateway.answers",
    "gateway.auth",
    "gateway.breaker",
    "gateway.legacy",
    "gateway.limits",
    "gateway.plugin",
    "gateway.shaping",
    "gateway.telemetry",
    "gateway.units",
    "orjson",
)
MAY_TOUCH_TRANSPORTS = (
    *("gateway.wire", "gateway.application", "gateway.process", "gateway.demo"),
    "gateway.doctor.probes",
)
TRANSPORT_ATTRIBUTES = frozenset(
    {
        "transport",
        "create_connection",
        "create_server",
        "create_unix_connection",
        "create_unix_server",
        "open_connection",
        "start_server",
    }
)
TRANSPORT_CLASSES = frozenset({"BaseTransport", "BufferedProtocol", "Protocol", "Transport"})
SLOW_IMPORTS = ("aiohttp", "pydantic", "uvloop", "yaml")

FILE_LINES = 400
TEST_FILE_LINES = 600
FUNCTION_LINES = 60


@dataclass(frozen=True)
class Import:
    """One imported module, as far as the tree knows modules: `from gateway.a import b` may mean either."""

    module: str
    line: int
    at_import: bool


class Source:
    """One file. A built-in plugin has the name that it is installed under."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path.relative_to(root)
        text = path.read_text()
        self.lines = len(text.splitlines())
        self.ast = ast.parse(text)
        parts = list(self.path.with_suffix("").parts)
        if parts[0] == "plugins":
            parts.insert(0, "gateway")
        self.is_package = parts[-1] == "__init__"
        self.module = ".".join(parts[:-1] if self.is_package else parts)

    def at(self, line: int) -> str:
        return f"{self.path.as_posix()}:{line}"

    def nodes(self) -> Iterator[tuple[ast.AST, bool]]:
        """Every node but those under `if TYPE_CHECKING:`, and whether it runs when the module is imported."""
        stack: list[tuple[ast.AST, bool]] = [(self.ast, True)]
        while stack:
            node, at_import = stack.pop()
            yield node, at_import
            children = list(ast.iter_child_nodes(node))
            if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
                children = list(node.orelse)
            inside = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            stack.extend((child, inside) for child in reversed(children))


class Tree:
    """All sources below `root`."""

    def __init__(self, root: Path) -> None:
        files = (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py")))
        self.sources = [Source(root, path) for path in files]
        self.modules = {source.module: source for source in self.sources}
        self.files = {source.path.as_posix() for source in self.sources}
        self._found: dict[str, list[Import]] = {}

    def below(self, *prefixes: str) -> Iterator[Source]:
        return (source for source in self.sources if is_below(source.module, prefixes))

    def imports(self, module: str) -> list[Import]:
        if module not in self._found:
            self._found[module] = list(self._imports(self.modules[module]))
        return self._found[module]

    def _imports(self, source: Source) -> Iterator[Import]:
        for node, at_import in source.nodes():
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno, at_import) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = node.module or ""
                if node.level:
                    parts = source.module.split(".")
                    base = parts[: len(parts) - node.level + source.is_package]
                    package = ".".join([*base, *([node.module] if node.module else [])])
                for alias in node.names:
                    name = f"{package}.{alias.name}"
                    yield Import(name if name in self.modules else package, node.lineno, at_import)


def is_below(module: str, prefixes: Iterable[str]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def forbidden_imports(tree: Tree, importers: Iterable[str], allowed: Callable[[str], bool]) -> list[str]:
    return [
        f"{source.at(found.line)} imports {found.module}"
        for source in tree.below(*importers)
        for found in tree.imports(source.module)
        if not allowed(found.module)
    ]


# The rules


def layers(tree: Tree) -> list[str]:
    return [
        violation
        for module, lower in LAYERS.items()
        for violation in forbidden_imports(tree, [module], lambda name, lower=lower: may_import(name, lower))
    ]


def may_import(name: str, lower: Iterable[str]) -> bool:
    return name == "gateway" or name in lower or not is_below(name, ["gateway"])


def pure_rooms(tree: Tree) -> list[str]:
    return forbidden_imports(tree, PURE, lambda name: not is_below(name, IMPURE))


def config_knows_no_plugins(tree: Tree) -> list[str]:
    rooms = ("gateway.plugin", "gateway.proxy", "gateway.wire")
    return forbidden_imports(tree, ["gateway.config"], lambda name: not is_below(name, rooms))


def hot_path_is_not_cold(tree: Tree) -> list[str]:
    """Also by way of other modules, and of the packages that hold them."""
    violations = []
    for start in tree.below(*HOT):
        todo, seen = [(start.module, start.module)], {start.module}
        while todo:
            module, way = todo.pop()
            parents = [Import(name, 1, at_import=True) for name in parent_packages(module)]
            for found in [*tree.imports(module), *parents]:
                known = found.module in tree.modules
                if is_below(found.module, COLD) and (known or found.at_import):
                    violations.append(f"{start.path.as_posix()} reaches {found.module} ({way})")
                elif known and found.module not in seen:
                    seen.add(found.module)
                    todo.append((found.module, f"{way} -> {found.module}"))
    return violations


def parent_packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def only_the_root_knows_builtins(tree: Tree) -> list[str]:
    importers = [
        source.module
        for source in tree.sources
        if source.path.parts[0] in {"gateway", "loadtest"} and not is_below(source.module, KNOW_THE_BUILTINS)
    ]
    return [
        f"{tree.modules[module].at(found.line)} imports {found.module}"
        for module in importers
        for found in tree.imports(module)
        if is_below(found.module, ["gateway.plugins", "plugins"])
    ]


def plugins_stand_alone(tree: Tree) -> list[str]:
    return forbidden_imports(
        tree,
        [source.module for source in tree.below("gateway.plugins") if not source.is_package],
        lambda name: name.partition(".")[0] in sys.stdlib_module_names or is_below(name, PLUGINS_MAY_IMPORT),
    )


def transports_stay_in_the_wire(tree: Tree) -> list[str]:
    return [
        f"{source.at(line)} names {name}"
        for source in tree.below("gateway")
        if not is_below(source.module, MAY_TOUCH_TRANSPORTS)
        for line, name in transport_names(source)
    ]


def transport_names(source: Source) -> Iterator[tuple[int, str]]:
    for node, _ in source.nodes():
        if isinstance(node, ast.Attribute) and node.attr in TRANSPORT_ATTRIBUTES | TRANSPORT_CLASSES:
            name = ast.unparse(node)
            if node.attr in TRANSPORT_ATTRIBUTES or name == f"asyncio.{node.attr}":
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and is_below(node.module or "", ["asyncio"]):
            names = (alias.name for alias in node.names)
            yield from ((node.lineno, name) for name in names if name in TRANSPORT_CLASSES | TRANSPORT_ATTRIBUTES)


def no_cycles(tree: Tree) -> list[str]:
    """Imports inside functions count: they hide a cycle, they do not end it."""
    done: set[str] = set()
    cycles: list[str] = []

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            cycles.append(" -> ".join([*way[way.index(module) :], module]))
        elif module not in done:
            for name in dict.fromkeys(found.module for found in tree.imports(module)):
                if is_below(name, ["gateway"]) and name in tree.modules and name != module:
                    visit(name, [*way, module])
            done.add(module)

    for source in tree.below("gateway"):
        visit(source.module, [])
    return cycles


def a_test_for_each_module(tree: Tree) -> list[str]:
    violations = []
    for source in tree.below("gateway"):
        folder = source.path.parent.parts
        mirrored = folder if folder[0] == "plugins" else folder[1:]
        test = Path("tests", *mirrored, f"test_{source.path.name}").as_posix()
        if source.path.stem not in {"__init__", "__main__"} and test not in tree.files:
            violations.append(f"{source.path.as_posix()} has no {test}")
    return violations


def files_are_short(tree: Tree) -> list[str]:
    return [
        f"{source.path.as_posix()} has {source.lines} lines, {limit} at most"
        for source in tree.sources
        if source.lines > (limit := TEST_FILE_LINES if source.path.parts[0] == "tests" else FILE_LINES)
    ]


def functions_are_short(tree: Tree) -> list[str]:
    return [
        f"{source.at(node.lineno)} {node.name} has {lines} lines, {FUNCTION_LINES} at most"
        for source in tree.sources
        for node in statements(source.ast)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node, without their expressions, in which there are none."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield child
            yield from statements(child)


def folders_are_packages(tree: Tree) -> list[str]:
    return sorted(
        {
            f"{source.path.parent.as_posix()} has no __init__.py"
            for source in tree.below("gateway")
            if (source.path.parent / "__init__.py").as_posix() not in tree.files
        }
    )


def packages_hold_names(tree: Tree) -> list[str]:
    return [
        f"{source.at(node.lineno)} does something"
        for source in tree.sources
        if source.is_package
        for node in source.ast.body
        if not only_names(node)
    ]


def only_names(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return all(ast.unparse(target) in {"__all__", "__version__"} for target in node.targets)
    return isinstance(node, ast.Import | ast.ImportFrom)


# The rules, held against this repository

RULES: dict[Callable[[Tree], list[str]], str] = {
    layers: "errors <- exchange <- plugin: move what is needed down, or pass it in",
    pure_rooms: "this room decides and does nothing else: take time and results as parameters",
    config_knows_no_plugins: "config makes plain *Spec objects: put the two together in gateway/compile.py",
    hot_path_is_not_cold: "compile what a request needs into the route table, and reach it from there",
    only_the_root_knows_builtins: "name the plugin in the hand-written list of built-ins, and nowhere else",
    plugins_stand_alone: "use the standard library, gateway.plugin, .units, .telemetry, .breaker, orjson: see self.env",
    transports_stay_in_the_wire: "ask a client stream or an upstream stream of gateway/wire instead",
    no_cycles: "move what both need into a module below them",
    a_test_for_each_module: "write it: gateway/a/b.py has tests/a/test_b.py, plugins/x.py has tests/plugins/test_x.py",
    files_are_short: "split it along what it knows",
    functions_are_short: "name its steps and make them functions",
    folders_are_packages: "write one, or the wheel leaves the folder out",
    packages_hold_names: "an __init__.py holds a docstring, imports, __all__ and __version__: move the rest out",
}


@pytest.fixture(scope="module")
def repository() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_repository_keeps(rule: Callable[[Tree], list[str]], repository: Tree) -> None:
    violations = rule(repository)

    assert not violations, "\n  ".join([RULES[rule], *violations])


def test_repository_was_read(repository: Tree) -> None:
    assert {"gateway", "gateway.demo.services", "tests.test_architecture"} <= set(repository.modules)


def test_command_line_starts_quickly() -> None:
    code = f"import gateway.cli.main, sys; print([name for name in {SLOW_IMPORTS} if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]", "import these inside the command that needs them, or --help gets slow"


# The rules, held against trees that break them


def plant(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(root)


BROKEN: list[tuple[Callable[[Tree], list[str]], dict[str, str], str]] = [
    (
        layers,
        {"gateway/errors.py": "from gateway import exchange", "gateway/exchange.py": ""},
        "gateway/errors.py:1 imports gateway.exchange",
    ),
    (layers, {"gateway/plugin.py": "\nimport gateway.proxy"}, "gateway/plugin.py:2 imports gateway.proxy"),
    (layers, {"gateway/plugin.py": "from .wire import pool"}, "gateway/plugin.py:1 imports gateway.wire"),
    (pure_rooms, {"gateway/routing/trie.py": "def f():\n    import time"}, "gateway/routing/trie.py:2 imports time"),
    (pure_rooms, {"gateway/config/load.py": "from asyncio import sleep"}, "gateway/config/load.py:1 imports asyncio"),
    (pure_rooms, {"gateway/upstreams/balance.py": "import aiohttp.web"}, "balance.py:1 imports aiohttp.web"),
    (config_knows_no_plugins, {"gateway/config/load.py": "import gateway.plugin"}, "load.py:1 imports gateway.plugin"),
    (hot_path_is_not_cold, {"gateway/proxy.py": "import yaml"}, "gateway/proxy.py reaches yaml (gateway.proxy)"),
    (
        hot_path_is_not_cold,
        {
            "gateway/wire/pool.py": "from gateway.upstreams.endpoint import Endpoint",
            "gateway/upstreams/__init__.py": "from gateway.config import load",
            "gateway/upstreams/endpoint.py": "",
            "gateway/config/__init__.py": "",
        },
        "reaches gateway.config (gateway.wire.pool -> gateway.upstreams.endpoint -> gateway.upstreams)",
    ),
    (
        only_the_root_knows_builtins,
        {"gateway/proxy.py": "from gateway.plugins import cors", "plugins/cors.py": ""},
        "gateway/proxy.py:1 imports gateway.plugins.cors",
    ),
    (
        plugins_stand_alone,
        {"plugins/a.py": "from gateway.plugins.b import B", "plugins/b.py": ""},
        "plugins/a.py:1 imports gateway.plugins.b",
    ),
    (plugins_stand_alone, {"plugins/a.py": "import aiohttp"}, "plugins/a.py:1 imports aiohttp"),
    (transports_stay_in_the_wire, {"gateway/proxy.py": "x.transport.write(b'')"}, "proxy.py:1 names x.transport"),
    (transports_stay_in_the_wire, {"plugins/a.py": "from asyncio import Protocol"}, "plugins/a.py:1 names Protocol"),
    (transports_stay_in_the_wire, {"gateway/a.py": "class A(asyncio.Protocol): ..."}, "a.py:1 names asyncio.Protocol"),
    (
        no_cycles,
        {"gateway/a.py": "import gateway.b", "gateway/b.py": "def f():\n    from gateway import a"},
        "gateway.a -> gateway.b -> gateway.a",
    ),
    (a_test_for_each_module, {"gateway/a/b.py": ""}, "gateway/a/b.py has no tests/a/test_b.py"),
    (a_test_for_each_module, {"plugins/x.py": ""}, "plugins/x.py has no tests/plugins/test_x.py"),
    (files_are_short, {"gateway/a.py": "pass\n" * 401}, "gateway/a.py has 401 lines, 400 at most"),
    (files_are_short, {"tests/test_a.py": "pass\n" * 601}, "tests/test_a.py has 601 lines, 600 at most"),
    (
        functions_are_short,
        {"loadtest/a.py": "class A:\n    async def f():\n" + "        pass\n" * 60},
        "loadtest/a.py:2 f has 61 lines, 60 at most",
    ),
    (folders_are_packages, {"gateway/__init__.py": "", "gateway/a/b.py": ""}, "gateway/a has no __init__.py"),
    (packages_hold_names, {"gateway/a/__init__.py": '"""Doc."""\nX = 1'}, "gateway/a/__init__.py:2 does something"),
]


@pytest.mark.parametrize(("rule", "files", "expected"), BROKEN)
def test_rule_finds(tmp_path: Path, rule: Callable[[Tree], list[str]], files: dict[str, str], expected: str) -> None:
    (violation,) = rule(plant(tmp_path, files))

    assert violation.endswith(expected)


def test_every_rule_is_seen_to_find_something() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_lets_good_code_pass(tmp_path: Path, rule: Callable[[Tree], list[str]]) -> None:
    tree = plant(
        tmp_path,
        {
            "gateway/__init__.py": '"""Doc."""\n__version__ = "1"',
            "gateway/errors.py": "import enum",
            "gateway/plugin.py": "from gateway import errors\nif TYPE_CHECKING:\n    import gateway.proxy",
            "gateway/proxy.py": "from typing import Protocol\nimport gateway.plugin\nimport gateway.wire.client",
            "gateway/wire/client.py": "import asyncio\nclass Client(asyncio.Protocol):\n    transport = None",
            "gateway/compile.py": "from gateway.plugins import cors\nfrom gateway.config import load",
            "gateway/config/load.py": "import yaml, pydantic",
            "plugins/cors.py": "import re\nimport collections.abc\nfrom gateway.plugin import Plugin\nimport orjson",
            **{f"{folder}/__init__.py": "" for folder in ("gateway/wire", "gateway/config", "plugins")},
            **{f"tests/test_{name}.py": "" for name in ("errors", "plugin", "proxy", "compile")},
            **{f"tests/{name}.py": "" for name in ("wire/test_client", "config/test_load", "plugins/test_cors")},
        },
    )

    assert rule(tree) == []
