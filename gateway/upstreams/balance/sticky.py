"""A client stays where it was."""

from __future__ import annotations

from collections.abc import Container, Sequence
from hashlib import blake2b

from gateway.exchange import Exchange
from gateway.routing.request_key import cookie_value
from gateway.upstreams.balance.balancer import Choice, E
from gateway.upstreams.balance.round_robin import RoundRobin


class StickyCookie:
    """Session affinity: the cookie `name` tells which endpoint a client was given. Others get one in turn, and with
    it the cookie.

    `max_age` is in seconds, None for until the browser closes. Mutable state: the positions of the choices last seen,
    by their ids, and the turn of the next new client.
    """

    __slots__ = ("_attributes", "_choices", "_name", "_positions", "_turns")

    def __init__(self, name: str, max_age: int | None) -> None:
        self._name = name
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax"
        if max_age is not None:
            self._attributes += f"; Max-Age={max_age}"
        self._turns = RoundRobin()
        self._choices: Sequence[Choice] = ()
        self._positions: dict[str, int] = {}

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The one that the cookie names, else the next; the exchange's `cookie` is set when the client must be told."""
        if exchange is None:
            return self._turns.pick(choices, exchange, now, avoid)
        if choices is not self._choices:
            self._choices = choices
            self._positions = {endpoint_id(choice.address): position for position, choice in enumerate(choices)}
        exchange.cookie = None
        named = cookie_value(exchange.headers, self._name)
        position = None if named is None else self._positions.get(named)
        if position is not None and choices[position] not in avoid:
            return choices[position]
        choice = self._turns.pick(choices, exchange, now, avoid)
        if choice is not None:
            exchange.cookie = f"{self._name}={endpoint_id(choice.address)}{self._attributes}"
        return choice


def endpoint_id(address: str) -> str:
    """16 hex digits that stand for an endpoint in cookies: they do not show its address."""
    return blake2b(address.encode()).hexdigest()[:16]
