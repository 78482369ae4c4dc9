"""What a limit decided: counted by route, and enforced or only observed."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.exchange import split_route_id
from gateway.plugin import Counter, Exchange, Family, Metrics


class ByRoute(dict[str, Counter]):
    """The counters of one decision by the ids of routes, each found once. Mutable state: those of the routes that came
    by."""

    def __init__(self, family: Family[Counter], decision: str) -> None:
        super().__init__()
        self._family = family
        self._decision = decision

    def __missing__(self, route_id: str) -> Counter:
        frontend, route = split_route_id(route_id)
        values = (route, self._decision, frontend) if frontend else (route, self._decision)
        counter = self[route_id] = self._family.labels(*values)
        return counter


class Decisions:
    """The metric of a kind of limit, by route and decision, and by frontend where there is one.

    `allowed`: let pass; `limited`: refused; `observed`: would have been refused, were it enforced; `store_error`: the
    shared store gave no answer, beside one of the others, which is what was done then.
    """

    __slots__ = ("allowed", "enforces", "limited", "observed", "store_error")

    def __init__(self, metrics: Metrics, name: str, text: str, enforces: bool) -> None:
        family = metrics.counter(name, text, ("route", "decision"), ("frontend",))
        self.enforces = enforces
        self.allowed = ByRoute(family, "allowed")
        self.limited = ByRoute(family, "limited")
        self.observed = ByRoute(family, "observed")
        self.store_error = ByRoute(family, "store_error")

    def over(self, exchange: Exchange, refusal: GatewayError) -> None:
        """A request is over the limit: `refusal` is raised, or only counted."""
        if self.enforces:
            self.limited[exchange.route_id].inc()
            raise refusal
        self.observed[exchange.route_id].inc()
