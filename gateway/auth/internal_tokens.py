"""What services get in place of a session's cookie: a short token of the gateway's own, for each of them."""

from __future__ import annotations

from gateway.auth.session_options import TOKEN_MARGIN, TokenOptions
from gateway.auth.sessions import Session
from gateway.auth.signing import Signer
from gateway.plugin import Clock


class InternalTokens:
    """Makes the tokens; each is kept with its session. Immutable.

    A token holds the session's claims, and `iss`, `aud`, `iat` and `exp` of its own; it does not outlive the session.
    """

    __slots__ = ("_audience", "_clock", "_issuer", "_signer", "_ttl")

    def __init__(self, options: TokenOptions, name: str, signer: Signer, clock: Clock) -> None:
        """`name` is the gateway's."""
        self._ttl = float(options.ttl)
        self._audience = options.audience
        self._issuer = options.issuer or name
        self._signer = signer
        self._clock = clock

    def authorization(self, session: Session, upstream: str, now: float) -> str:
        """The value of Authorization for requests of this session to that upstream."""
        known = session.authorizations.get(upstream)
        if known is None or now >= known[1]:
            issued = int(self._clock.wall())
            expires = int(min(issued + self._ttl, session.expires))
            own = {"iss": self._issuer, "aud": self._audience or upstream, "iat": issued, "exp": expires}
            value = f"Bearer {self._signer.sign({**session.claims, **own})}"
            known = session.authorizations[upstream] = (value, now + expires - issued - TOKEN_MARGIN)
        return known[0]
