"""What becomes of a request at a rate limit: it is counted, told how much is left, and refused where nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.limits.decisions import Decisions
from gateway.limits.gcra import Policy
from gateway.limits.headers import Fields, Left, LimitHeaders
from gateway.plugin import Exchange, GatewayError, Kind, ResponseHead


class Verdicts:
    """Of one rate limit. What there is to tell waits for the answer in the exchange's state, under `slot`."""

    def __init__(self, policies: Sequence[Policy], headers: LimitHeaders, decisions: Decisions) -> None:
        self.slot = f"rate_limit {id(self):x}"
        self.decisions = decisions
        # Clients are told of no limit that is not enforced.
        self.tells = bool(headers) and decisions.enforces
        self.headers = headers
        self._details = [f"the limit {policy.name} of {policy.rate} is used up" for policy in policies]

    def passes(self, exchange: Exchange, lefts: Iterable[Left]) -> None:
        """It passed every policy."""
        self.decisions.allowed[exchange.route].inc()
        if self.tells:
            exchange.state[self.slot] = self.headers.fields(lefts)

    def over(self, exchange: Exchange, lefts: Sequence[Left]) -> None:
        """These policies refuse it. GatewayError RATE_LIMITED, unless that is only observed; it does not say whose
        bucket is empty."""
        place, _, wait = max(lefts, key=lambda left: left.wait)
        if self.tells:
            exchange.state[self.slot] = self.headers.fields(lefts)
        self.decisions.over(exchange, GatewayError(Kind.RATE_LIMITED, self._details[place], retry_after=wait))

    def tell(self, exchange: Exchange, head: ResponseHead) -> None:
        """The answer is on its way."""
        fields: Fields | None = exchange.state.get(self.slot)
        if fields is not None:
            headers = head.headers
            for name, value in fields.added:
                headers.add(name, value)
            for name, value in fields.replaced:
                headers.set(name, value)
