"""Lets in who brings a key that is known (the file holds digests of keys, never a key).

    - api_key: {keys: [{hash: "sha256:9f86...", consumer: shop, scopes: [items:read], expires: 2027-01-01}]}

`printf %s KEY | sha256sum` makes the digest. Keys are long and random, as `openssl rand -base64 32` prints them; a
consumer may have several. A key ends when the day of `expires` begins (UTC). `quota: 1000/d` is how many requests the
consumer may make in each period; it is counted in the shared `state`, and `on_store_error: closed` refuses where that
cannot be asked (else `open`). Also `header` (X-Api-Key), `file: keys.yaml` beside the configuration, with the same
`keys:` in it (a reload reads it again), `headers: {consumer: X-Consumer}` for services, `forward: true` leaves the key
in the request, and `optional: true` lets pass who brings none. A wrong key never passes.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.auth.api_keys import ApiKeyOptions, KeyRing, read_keys
from gateway.auth.claims import set_identity
from gateway.auth.header_names import other_spellings
from gateway.auth.meter import AuthMeter
from gateway.auth.quotas import Quotas
from gateway.plugin import ADMITTED, Env, Exchange, GatewayError, Kind, Plugin, Reply, SharedUnavailable


class ApiKeyCheck(Plugin):
    """Finds the consumer of each key. Mutable state: what is known of used up quotas."""

    Options = ApiKeyOptions
    spans_routes = True

    def __init__(self, options: ApiKeyOptions, env: Env) -> None:
        super().__init__(options, env)
        self._file_keys = read_keys(env.folder, options.file) if options.file is not None else ()
        self._ring = KeyRing((*options.keys, *self._file_keys), options.headers.get("consumer"))
        self._quotas = Quotas(self._ring.quotas, env.shared)
        self._header = options.header
        self._disguises = other_spellings(options.header)
        self._wall = env.clock.wall
        self._meter = AuthMeter(env.metrics, "api_key")
        self._challenge = {"WWW-Authenticate": f'ApiKey realm="{env.name}"'}

    def identity_headers(self) -> Iterable[str]:
        return tuple(self.options.headers.values())

    def is_current(self, env: Env) -> bool:
        if self.options.file is None:
            return True
        try:
            return read_keys(env.folder, self.options.file) == self._file_keys
        except ValueError:
            return False

    def uses_phase(self, phase: str) -> bool:
        return phase == "on_request" or (phase == "admit" and bool(self._ring.quotas))

    def on_request(self, exchange: Exchange) -> Reply | None:
        headers = exchange.headers
        # A service that takes `_` for `-` would read these as the key's header.
        for name in self._disguises:
            headers.remove(name)
        given = headers.get_all(self._header)
        if not given:
            if self.options.optional:
                return ADMITTED
            self._meter.missing.inc()
            raise self._refusal(f"an API key is needed, in {self._header}")
        if len(given) > 1:
            self._meter.denied.inc()
            raise GatewayError(Kind.BAD_REQUEST, f"more than one {self._header} field")
        wall = self._wall()
        grant = self._ring.find(given[0], wall)
        if grant is None:
            self._meter.denied.inc()
            raise self._refusal("the API key is unknown, or holds no longer")
        if not self.options.forward:
            headers.remove(self._header)
        set_identity(exchange, grant.consumer, grant.claims, grant.fields)
        if self._quotas.concerns(grant.consumer):
            self._check_quota(grant.consumer, wall)
            return None
        self._meter.allowed.value += 1
        return ADMITTED

    async def admit(self, exchange: Exchange) -> None:
        consumer = exchange.principal
        assert consumer is not None
        try:
            await self._quotas.take(consumer, self._wall())
        except SharedUnavailable as error:
            self._meter.error.inc()
            if self.options.on_store_error == "closed":
                detail = "quotas cannot be counted now"
                raise GatewayError(Kind.LIMITER_UNAVAILABLE, detail, str(error)) from error
        except GatewayError:
            self._meter.denied.inc()
            raise
        else:
            self._meter.allowed.value += 1

    def _check_quota(self, consumer: str, wall: float) -> None:
        try:
            self._quotas.check(consumer, wall)
        except GatewayError:
            self._meter.denied.inc()
            raise

    def _refusal(self, why: str) -> GatewayError:
        return GatewayError(Kind.UNAUTHENTICATED, why, headers=self._challenge)
