"""Lets in users by name and password (RFC 7617). Over plain HTTP anybody on the way can read both.

    - basic_auth: {file: users.htpasswd, realm: "Back office"}

The file is beside the configuration and holds lines `user:HASH`, scrypt or bcrypt (`htpasswd -nB user`), and comments
(`#`); a reload reads it again. Passwords are checked in threads, two at a time; a crowd that waits for that is answered
503. What was right is known for 60 s, what was wrong for 2 s. Also `headers: {user: X-User}` for services,
`forward: true` leaves Authorization in the request, and `optional: true` lets pass who brings no Basic credentials.
Wrong ones never pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from gateway.auth.basic import basic_credentials, basic_field, unauthenticated
from gateway.auth.basic_options import BasicAuthOptions
from gateway.auth.claims import Fields, set_identity
from gateway.auth.decisions import DecisionCache, SingleFlight, fingerprint
from gateway.auth.meter import AuthMeter
from gateway.auth.password_file import read_users
from gateway.auth.verifier import Busy, PasswordVerifier
from gateway.plugin import ADMITTED, Env, Exchange, GatewayError, Kind, Plugin, Reply

RIGHT_FOR = 60.0
WRONG_FOR = 2.0
MOST_KNOWN = 10_000


class Account(NamedTuple):
    """Whose credentials they are. `fields` are what services are told."""

    user: str
    claims: dict[str, Any]
    fields: Fields


# Whose wrong credentials are.
NOBODY = Account("", {}, ())


class BasicAuth(Plugin):
    """Finds the user of each pair of credentials.

    Mutable state: what was decided a moment ago, by the fingerprint of the field; what is being verified.
    """

    Options = BasicAuthOptions
    spans_routes = True

    def __init__(self, options: BasicAuthOptions, env: Env) -> None:
        super().__init__(options, env)
        self._users = read_users(env.folder, options.file)
        self._verifier = PasswordVerifier(self._users)
        self._known = DecisionCache[Account](MOST_KNOWN)
        self._flights = SingleFlight[bool]()
        self._realm = options.realm or env.name
        self._header = options.headers.get("user")
        self._now = env.clock.now
        self._meter = AuthMeter(env.metrics, "basic_auth")

    def identity_headers(self) -> Iterable[str]:
        return tuple(self.options.headers.values())

    def is_current(self, env: Env) -> bool:
        try:
            return read_users(env.folder, self.options.file) == self._users
        except ValueError:
            return False

    def on_request(self, exchange: Exchange) -> Reply | None:
        field = basic_field(exchange.headers)
        if field is None:
            if self.options.optional:
                return ADMITTED
            self._meter.missing.inc()
            raise unauthenticated(self._realm, "a user name and a password are needed")
        account = self._known.get(fingerprint(field.encode("latin-1")), self._now())
        if account is None:
            return None
        self._settle(exchange, account)
        return ADMITTED

    async def admit(self, exchange: Exchange) -> None:
        field = basic_field(exchange.headers) or ""
        credentials = basic_credentials(field)
        if credentials is None:
            self._settle(exchange, NOBODY)
            return
        key = fingerprint(field.encode("latin-1"))
        try:
            right = await self._flights.ask(key, partial(self._verifier.verify, *credentials))
        except Busy:
            self._meter.error.inc()
            detail = "too many passwords are being checked"
            raise GatewayError(Kind.AUTH_UNAVAILABLE, detail, retry_after=WRONG_FOR) from None
        account = self._account(credentials.user) if right else NOBODY
        self._known.put(key, account, self._now() + (RIGHT_FOR if right else WRONG_FOR))
        self._settle(exchange, account)

    def _account(self, user: str) -> Account:
        fields = ((self._header, user),) if self._header is not None else ()
        return Account(user, {"sub": user, "consumer": user}, fields)

    def _settle(self, exchange: Exchange, account: Account) -> None:
        """Let the request in as the account's, or refuse it."""
        if account is NOBODY:
            self._meter.denied.inc()
            raise unauthenticated(self._realm, "the user name or the password is wrong")
        if not self.options.forward:
            exchange.headers.remove("Authorization")
        set_identity(exchange, account.user, account.claims, account.fields)
        self._meter.allowed.value += 1
