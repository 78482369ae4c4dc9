"""What lets a request in at once, since its credential was decided about a moment ago."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from gateway import plugin
from gateway.auth.decisions import DecisionCache, fingerprint
from gateway.auth.delegation import Verdict
from gateway.auth.token_judge import Verified
from gateway.exchange import Exchange

Clock = Callable[[], float]


class KnownTokens:
    """Of `jwt`: tokens that hold, by their digests. Mutable state: the cache's, and the counter of those let in."""

    __slots__ = ("_allowed", "_now", "_young")

    def __init__(self, cache: DecisionCache[Verified], allowed: plugin.Counter, now: Clock) -> None:
        self._young = cache.young
        self._allowed = allowed
        self._now = now

    def let_in(self, exchange: Exchange) -> bool:
        """True for a request whose token is known to hold and to be enough; all others have to be looked at."""
        headers = exchange.headers
        field = headers.raw(b"authorization")
        if field is None or exchange.claims is not None:
            return False
        entry = self._young.get(fingerprint(field))
        if entry is None:
            return False
        verified, until = entry
        if until <= self._now():
            return False
        principal, claims, fields, missing, _ = verified
        if missing:
            return False
        self._allowed.value += 1
        exchange.principal = principal
        exchange.claims = claims
        if fields:
            headers.add_all(fields)
        return True


class KnownVerdicts:
    """Of `auth_delegation`: what the service has said, by the key of its question. `by` are the fields that it decides
    by; with `whole` it looks at host, method, path and query too. `credentials` do not go on. Mutable state: the
    cache's, and the counter of those let in."""

    __slots__ = ("_allowed", "_by", "_credentials", "_now", "_whole", "_young")

    def __init__(
        self,
        cache: DecisionCache[Verdict],
        by: tuple[bytes, ...],
        whole: bool,
        credentials: tuple[str, ...],
        allowed: plugin.Counter,
        now: Clock,
    ) -> None:
        self._young = cache.young
        self._by = by
        self._whole = whole
        self._credentials = credentials
        self._allowed = allowed
        self._now = now

    def key(self, exchange: Exchange) -> Hashable:
        """What the decision about this request goes by."""
        headers = exchange.headers
        shown = fingerprint(headers.raw_values(self._by))
        if self._whole:
            return (shown, exchange.scheme, exchange.host, exchange.method, exchange.sent_path, exchange.query)
        return shown

    def let_in(self, exchange: Exchange) -> bool:
        """True for a request that the service is known to allow, and of which nobody knew more; all others have to be
        looked at."""
        if exchange.claims is not None:
            return False
        entry = self._young.get(self.key(exchange))
        if entry is None:
            return False
        verdict, until = entry
        principal, fields, reply, *_ = verdict
        if reply is not None or until <= self._now():
            return False
        self._allowed.value += 1
        headers = exchange.headers
        for name in self._credentials:
            headers.remove(name)
        if principal:
            exchange.principal = principal
        exchange.claims = {}
        if fields:
            headers.add_all(fields)
        return True
