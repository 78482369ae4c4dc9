"""Which frontend a request belongs to. The hosts, prefix and headers that a frontend gives must all fit; of several
that fit the most specific takes the request. Each has routes and a chain of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.chain import EMPTY, Chain
from gateway.errors import GatewayError, Kind
from gateway.exchange import join_route_id
from gateway.routing.paths import check_escapes, is_plain, other_reading, segments_of
from gateway.routing.predicates import HeaderPredicate, Request
from gateway.routing.router import HOSTS_KEPT, Router, host_name

# Where the listener says which frontend it is, and the path lacks its prefix.
NOWHERE = Router(())
# Bytes of header values.
VALUES_KEPT = 1024
Values = tuple[tuple[bytes, ...], ...]
AMBIGUOUS = "another reading of the path leads to another frontend"


class Frontend:
    """One frontend, alive and immutable. `unrouted` is its id for requests without a route.

    `hosts` are exact or `*.` names, `prefix` literal segments such as `/mobile`, or "". `body_limit` is in bytes.
    """

    __slots__ = ("body_limit", "chain", "headers", "hosts", "name", "order", "prefix", "router", "start", "unrouted")

    def __init__(
        self,
        name: str,
        router: Router,
        chain: Chain = EMPTY,
        *,
        hosts: Iterable[str] = (),
        prefix: str = "",
        headers: Iterable[HeaderPredicate] = (),
        body_limit: int = 10 << 20,
        order: int = 0,
    ) -> None:
        self.name = name
        self.router = router
        self.chain = chain
        self.hosts = tuple(hosts)
        self.prefix = prefix
        self.start = f"{prefix}/" if prefix else ""
        self.headers = tuple(headers)
        self.body_limit = body_limit
        self.order = order
        self.unrouted = join_route_id(name, "-")

    @property
    def has_conditions(self) -> bool:
        """Can it be chosen by what a request asks for?"""
        return bool(self.hosts or self.prefix or self.headers)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Order among frontends with equally specific hosts: the longer prefix, more headers, file order."""
        return (-len(self.prefix), -len(self.headers), self.order)

    def accepts(self, request: Request) -> bool:
        """Host and prefix fit: do the headers?"""
        return all(predicate.matches(request) for predicate in self.headers)

    def begins(self, segments: list[str]) -> bool:
        """Does a path of these segments have its prefix?"""
        wanted = self.prefix.split("/")[1:]
        return segments[: len(wanted)] == wanted

    def inner_path(self, raw_path: str) -> str | None:
        """The path without the prefix, `/` for the prefix alone; None for a path that does not have it.

        GatewayError when the path can be read in two ways, and they do not leave the same.
        """
        prefix = self.prefix
        if not prefix:
            return raw_path
        if is_plain(raw_path):
            return (raw_path[len(prefix) :] or "/") if f"{raw_path}/".startswith(self.start) else None
        found = {self.begins(segments) for segments in _readings(raw_path)}
        if len(found) > 1:
            raise GatewayError(Kind.AMBIGUOUS_PATH, AMBIGUOUS)
        return self._unread(raw_path) if found.pop() else None

    def _unread(self, raw_path: str) -> str:
        """The rest of a path that is not plain, and that begins with the prefix in every reading."""
        rest = raw_path[len(self.prefix) :] or "/"
        if other_reading(raw_path) != self.prefix + other_reading(rest):
            raise GatewayError(Kind.AMBIGUOUS_PATH, "another reading of the path leaves the frontend")
        return rest

    def __repr__(self) -> str:
        return f"<Frontend {self.name}: {' '.join((*self.hosts, self.prefix, *map(str, self.headers)))}>"


class Frontends:
    """All frontends that are served. `named` has each by its name, `order` those that requests can choose, the most
    specific first but for hosts; `body_limit` is in bytes and for requests outside of them.

    Immutable but for one bounded memory, cleared when full: the frontends that fit a Host value and the values of the
    headers that any of them asks for.
    """

    def __init__(
        self, frontends: Iterable[Frontend], choosable: Iterable[Frontend] | None = None, body_limit: int = 10 << 20
    ) -> None:
        """`choosable` are those that can be chosen, by default all that have conditions."""
        self.named: Mapping[str, Frontend] = {frontend.name: frontend for frontend in frontends}
        asked = self.named.values() if choosable is None else choosable
        self.order = tuple(sorted((one for one in asked if one.has_conditions), key=lambda one: one.rank))
        self.body_limit = body_limit
        self._by_host: dict[str | None, list[Frontend]] = {}
        for frontend in self.order:
            for host in frontend.hosts or (None,):
                self._by_host.setdefault(host, []).append(frontend)
        asked_for = {predicate.name.lower() for one in self.order for predicate in one.headers}
        self._names = tuple(name.encode("latin-1") for name in sorted(asked_for))
        self._fitting: dict[tuple[str, Values], tuple[Frontend, ...]] = {}

    def choose(self, host: str, raw_path: str, request: Request) -> tuple[Frontend | None, str]:
        """The frontend of a request, or None, and the path without its prefix. `host` is the Host field.

        GatewayError when the path can be read in two ways that lead to different frontends.
        """
        names = self._names
        key = (host, request.headers.raw_values(names) if names else ())
        fitting = self._fitting.get(key)
        if fitting is None:
            fitting = self._new_fitting(key, request)
        if not is_plain(raw_path):
            return _choose_by_all_readings(fitting, raw_path)
        begun = raw_path + "/"
        for frontend in fitting:
            if begun.startswith(frontend.start):
                prefix = frontend.prefix
                return frontend, (raw_path[len(prefix) :] or "/") if prefix else raw_path
        return None, raw_path

    def candidates(self, host: str) -> tuple[Frontend, ...]:
        """Those that fit a Host field, in the order in which they are asked: exact hosts, wildcards by length, none."""
        name = host_name(host)
        labels = name.split(".")
        keys = [name, *("*." + ".".join(labels[start:]) for start in range(1, len(labels))), None]
        return tuple(dict.fromkeys(frontend for key in keys for frontend in self._by_host.get(key, ())))

    def _new_fitting(self, key: tuple[str, Values], request: Request) -> tuple[Frontend, ...]:
        """Those whose hosts and headers fit, in the order in which they are asked."""
        host, values = key
        found = tuple(frontend for frontend in self.candidates(host) if frontend.accepts(request))
        if sum(len(value) for one in values for value in one) <= VALUES_KEPT:
            if len(self._fitting) >= HOSTS_KEPT:
                self._fitting.clear()
            self._fitting[key] = found
        return found

    def __repr__(self) -> str:
        return f"<Frontends {' '.join(self.named)}>"


def _choose_by_all_readings(fitting: tuple[Frontend, ...], raw_path: str) -> tuple[Frontend | None, str]:
    found = {next((one for one in fitting if one.begins(segments)), None) for segments in _readings(raw_path)}
    if len(found) > 1:
        raise GatewayError(Kind.AMBIGUOUS_PATH, AMBIGUOUS)
    frontend = found.pop()
    if frontend is None or not frontend.prefix:
        return frontend, raw_path
    return frontend, frontend._unread(raw_path)


def _readings(raw_path: str) -> tuple[list[str], list[str], list[str]]:
    """The segments of a path as it was sent, decoded once, and as the most eager service might read it."""
    check_escapes(raw_path)
    return raw_path.split("/")[1:], segments_of(raw_path), other_reading(raw_path).split("/")[1:]
