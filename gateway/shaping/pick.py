"""JMESPath expressions, compiled once: what they pick out of a JSON value keeps its numbers as they were.

The jmespath library reads an expression and says what it means. Its interpreter walks the syntax tree for every value,
so the common nodes become closures here, and the library is left what it alone knows: functions.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathTypeError, ParseError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from gateway.errors import ConfigError
from gateway.shaping.exact import write
from gateway.shaping.jmespath_nodes import MAKERS, Node, Run, make_slice

CHAINS = frozenset(["index_expression", "pipe", "subexpression"])
PROJECTIONS = frozenset(["filter_projection", "flatten", "projection", "value_projection"])


class Pick:
    """A compiled expression, `text`. Called with a value that `exact.parse` gave, it returns what the expression picks,
    None where there is nothing, ValueError where a function cannot take what it gets. Immutable.

    What it returns may share parts with the value, with the expression and with itself: make new ones, change none.
    """

    __slots__ = ("_run", "text")

    def __init__(self, text: str, run: Run) -> None:
        self.text = text
        self._run = run

    def __call__(self, value: Any) -> Any:
        try:
            return self._run(value)
        except JMESPathTypeError as error:
            taken = " or ".join(error.expected_types)
            raise ValueError(f"{error.function_name}() takes {taken}, not {error.actual_type}") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"{self.text[:80]!r} does not fit the value ({type(error).__name__})") from None

    def __repr__(self) -> str:
        return f"<Pick {self.text}>"


def compile_pick(expression: str) -> Pick:
    """Read and compile. ConfigError that says what is wrong, and at which character, counted from 1."""
    return Pick(expression, _compiled(expression)[1])


def roots(expression: str) -> frozenset[str]:
    """The names of the root's fields that the expression reads: `product.stock` reads product. ConfigError as with
    `compile_pick`, and for one that reads the root as a whole, as `@`, `*` and `keys(@)` do."""
    node, _ = _compiled(expression)
    names: set[str] = set()
    if _is_root(node, True, names):
        raise _reads_all()
    return frozenset(names)


def _compiled(expression: str) -> tuple[Node, Run]:
    try:
        with warnings.catch_warnings():
            # Of literals such as `foo`, which the language no longer has and the library still reads.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            node: Node = jmespath.compile(expression).parsed
        return node, Compiler().compile(node)
    except ParseError as error:
        place = f" at character {error.lex_position + 1}" if error.lex_position < len(expression) else ", it is cut off"
        raise ConfigError(f"{expression!r} is not a JMESPath expression{place}") from None
    except (ValueError, LookupError):
        raise ConfigError(f"{expression!r} is not a JMESPath expression; see https://jmespath.org") from None
    except RecursionError:
        raise ConfigError(f"the JMESPath expression {expression[:40]!r}... is nested too deeply") from None


class ExactFunctions(Functions):
    """The library's functions. Only what makes a text of a number is ours, so that it shows the number's own."""

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        return value if isinstance(value, str) else write(value).decode()


class Compiler(TreeInterpreter):
    """Makes closures of a syntax tree, and is the library's interpreter for the rest of it.

    Mutable state: the closures by the identity of their nodes, which the closures keep alive.
    """

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=ExactFunctions()))
        self._runs: dict[int, tuple[Node, Run]] = {}

    def visit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        """The library's interpreter asks for the value of a node."""
        return self._runs[id(node)][1](*args)

    def compile(self, node: Node) -> Run:
        """A closure that gives the node's value. ConfigError for what could never be evaluated."""
        kind = node["type"]
        if kind == "function_expression":
            run = self._function(node)
        elif kind == "expref":
            raise ConfigError("'&' stands only before an argument of a function that takes an expression")
        elif kind == "slice":
            run = make_slice(node)
        else:
            make = MAKERS.get(kind)
            if make is None:
                raise ConfigError(f"a {kind} of JMESPath is not known here")
            run = make(node, [self.compile(child) for child in node["children"]])
        self._runs[id(node)] = (node, run)
        return run

    def _function(self, node: Node) -> Run:
        name, arguments = node["value"], node["children"]
        if name not in ExactFunctions.FUNCTION_TABLE:
            known = ", ".join(sorted(ExactFunctions.FUNCTION_TABLE))
            raise ConfigError(f"{name}() is not a function of JMESPath, which has {known}")
        parameters = ExactFunctions.FUNCTION_TABLE[name]["signature"]
        several = "variadic" in parameters[-1]
        if len(arguments) < len(parameters) or (len(arguments) > len(parameters) and not several):
            least = "at least " if several else ""
            raise ConfigError(f"{name}() has {len(arguments)} arguments, and takes {least}{len(parameters)}")
        for place, argument in enumerate(arguments):
            wanted = place < len(parameters) and parameters[place]["types"] == ["expref"]
            if not wanted:
                self.compile(argument)
            elif argument["type"] == "expref":
                self.compile(argument["children"][0])
                self._runs[id(argument)] = (argument, partial(self.visit_expref, argument))
            else:
                raise ConfigError(f"argument {place + 1} of {name}() is an expression: write it with '&', as in &price")
        return partial(self.visit_function_expression, node)


def _is_root(node: Node, at_root: bool, names: set[str]) -> bool:
    """Is the node's value the root itself? `at_root`: it is evaluated on the root. What it reads of the root's fields
    is added to `names`. ConfigError when it uses the root as a value."""
    kind, children = node["type"], node["children"]
    if kind in ("current", "identity"):
        return at_root
    if kind == "field":
        if at_root:
            names.add(node["value"])
        return False
    if kind in CHAINS:
        for child in children:
            at_root = _is_root(child, at_root, names)
        return at_root
    if kind in ("index", "slice"):
        used, inside = at_root, []
    elif kind in PROJECTIONS:
        # What is evaluated on the items is not evaluated on the root.
        used, inside = _is_root(children[0], at_root, names), children[1:]
    elif kind == "expref":
        used, inside = False, children
    else:
        used, inside = any(_is_root(child, at_root, names) for child in children), []
    for child in inside:
        _is_root(child, False, names)
    if used:
        raise _reads_all()
    return False


def _reads_all() -> ConfigError:
    return ConfigError("'@', '*' and indexes read all there is, so nobody can tell what is needed: name the fields")
