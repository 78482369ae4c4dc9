"""JMESPath over what a composition knows: `when` and `foreach`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.compose.template import MISSING, Scope, UnknownName, Values
from gateway.errors import ConfigError
from gateway.shaping.pick import compile_pick, roots

# What an expression may read of the request, beside captures; a capture or a part of that name comes first.
OF_THE_REQUEST: dict[str, Callable[[Values], Any]] = {
    "claims": lambda values: dict(values.exchange.claims or {}),
    "principal": lambda values: values.exchange.principal,
    "query": lambda values: {
        name: found[0] if len(found) == 1 else found
        for name, found in parse_qs(values.exchange.query, keep_blank_values=True).items()
    },
}


class Expression:
    """An expression whose root fields are parts, captures, `query`, `claims` and `principal`. `parts` are the numbers
    of the parts it reads."""

    __slots__ = ("_pick", "_reads", "parts", "text")

    def __init__(self, text: str, scope: Scope) -> None:
        """ConfigError for what is no JMESPath, and for a name that there is not."""
        self.text = text
        self._pick = compile_pick(text)
        self._reads: list[tuple[str, Callable[[Values], Any]]] = []
        self.parts: set[int] = set()
        for name in sorted(roots(text)):
            self._reads.append((name, self._read(name, scope)))
        if not self._reads:
            raise ConfigError(f"{text!r} reads nothing of the request and of other parts, so it is always the same")

    def _read(self, name: str, scope: Scope) -> Callable[[Values], Any]:
        if name in scope.captures:
            return lambda values: unquote(values.exchange.captures[name])
        if name in scope.parts:
            number = scope.parts[name]
            self.parts.add(number)
            return lambda values: None if (found := values.part(number)) is MISSING else found
        if name in OF_THE_REQUEST:
            return OF_THE_REQUEST[name]
        raise UnknownName(self.text, name, [*sorted(scope.captures), *scope.parts, *OF_THE_REQUEST])

    def value(self, values: Values) -> Any:
        """What it comes to. ValueError where a function gets what it cannot take."""
        return self._pick({name: read(values) for name, read in self._reads})

    def holds(self, values: Values) -> bool:
        """Is it true? Null, false, and empty texts, lists and objects are not (JMESPath, Or Expressions)."""
        value = self.value(values)
        return not (value is None or value is False or value in ("", [], {}))

    def __repr__(self) -> str:
        return f"<Expression {self.text}>"
