"""The compiled route: everything about it that does not depend on a request."""

from __future__ import annotations

from gateway.chain import EMPTY, Chain
from gateway.exchange import join_route_id
from gateway.routing.actions import Action
from gateway.routing.pattern import Pattern
from gateway.routing.predicates import Predicate, Request

KINDS = ("literal", "regex", "name", "any", "rest")


class Route:
    """One route, alive and immutable. `order` is its place in the file, `methods` None for all. `name` is unique within
    its `frontend`, `id` among all routes."""

    __slots__ = (
        "action",
        "captures",
        "chain",
        "frontend",
        "host",
        "id",
        "methods",
        "name",
        "order",
        "pattern",
        "predicates",
        "priority",
    )

    def __init__(
        self,
        name: str,
        pattern: Pattern,
        action: Action,
        *,
        host: str | None = None,
        methods: frozenset[str] | None = None,
        predicates: tuple[Predicate, ...] = (),
        priority: int = 0,
        order: int = 0,
        chain: Chain = EMPTY,
        frontend: str = "",
    ) -> None:
        self.name = name
        self.frontend = frontend
        self.id = join_route_id(frontend, name)
        self.pattern = pattern
        self.action = action
        self.host = host
        self.methods = methods
        self.predicates = predicates
        self.priority = priority
        self.order = order
        self.chain = chain
        self.captures = bool(pattern.names)

    def accepts(self, request: Request) -> bool:
        """Host and path fit: does the rest?"""
        if self.methods is not None and request.method not in self.methods:
            return False
        return not self.predicates or all(predicate.matches(request) for predicate in self.predicates)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Order among routes with equally specific host and path: priority, then more predicates, then file order."""
        asked = len(self.predicates) + (self.methods is not None)
        return (-self.priority, -asked, self.order)

    @property
    def specificity(self) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """Order among routes whose host and path fit: segment by segment, then by rank."""
        return (tuple(KINDS.index(segment.kind) for segment in self.pattern.segments), self.rank)

    def __repr__(self) -> str:
        return f"<Route {self.name}: {self.host or ''}{self.pattern} {self.action}>"
