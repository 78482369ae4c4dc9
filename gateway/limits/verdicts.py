"""What becomes of a request at a rate limit: it is counted, told how much is left, and refused where nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.limits.decisions import Decisions
from gateway.limits.gcra import Policy
from gateway.limits.headers import Fields, Left, LimitHeaders
from gateway.plugin import Exchange, GatewayError, Kind, ResponseHead


class Verdicts:
    """Of one rate limit. What replaces fields of the answer waits for it in the exchange's state, under `slot`."""

    def __init__(self, policies: Sequence[Policy], headers: LimitHeaders, decisions: Decisions) -> None:
        self.slot = f"rate_limit {id(self):x}"
        self.decisions = decisions
        # Clients are told of no limit that is not enforced.
        self.tells = bool(headers) and decisions.enforces
        self.replaces = headers.replaces and decisions.enforces
        self.headers = headers
        self._details = [f"the limit {policy.name} of {policy.rate} is used up" for policy in policies]

    def passes(self, exchange: Exchange, lefts: Iterable[Left]) -> None:
        """It passed every policy."""
        self.decisions.allowed[exchange.route_id].value += 1
        if self.tells:
            self.tell(exchange, self.headers.fields(lefts))

    def over(self, exchange: Exchange, lefts: Sequence[Left]) -> None:
        """These policies refuse it. GatewayError RATE_LIMITED, unless that is only observed; it does not say whose
        bucket is empty."""
        place, _, wait = max(lefts, key=lambda left: left.wait)
        if self.tells:
            self.tell(exchange, self.headers.fields(lefts))
        self.decisions.over(exchange, GatewayError(Kind.RATE_LIMITED, self._details[place], retry_after=wait))

    def tell(self, exchange: Exchange, fields: Fields) -> None:
        """What goes to the client with its answer."""
        exchange.told += fields.added
        if fields.replaced:
            exchange.state[self.slot] = fields.replaced

    def replace(self, exchange: Exchange, head: ResponseHead) -> None:
        """The answer is on its way: fields that stand in place of what a service said."""
        for name, value in exchange.state.get(self.slot, ()):
            head.headers.set(name, value)
