"""Says who may ask, by address, method and identity; put it behind the plugins that find out who it is.

    - access: {deny: [{cidr: [192.0.2.0/24]}], allow: [{roles: [admin]}, {methods: [GET], scopes: [items:read]}]}

All parts of a rule have to hold: `cidr` (the client's address is in one of them), `methods` (GET is HEAD too),
`claims: {NAME: value or [values]}` (a name may lead inside, as in realm.id; of a list claim one member has to match),
`scopes` (all of them), `roles` (one of them), `consumers`, `principals`, `anonymous`: true for who has shown nothing,
false for who has, and `certificate: {common_names, dns_names, uris, fingerprints}`, what the client's certificate says
(one of each list; a URI may end in `/*`), which makes nobody less anonymous. A `deny` rule that holds refuses, whatever
`allow` says; where `allow` is there, one of its rules has to hold. `mode: observe` refuses nothing: it counts and logs
what it would have refused, in the log at most once a second for each rule.
"""

from __future__ import annotations

from gateway.auth.access_rules import AccessOptions, AccessRules
from gateway.auth.meter import AuthMeter
from gateway.plugin import Env, Exchange, GatewayError, Kind, Plugin

LOG_EVERY = 1.0


class Access(Plugin):
    """Refuses with 403, also where an identity would help: a 401 has to say how to show one (RFC 9110 §15.5.2), which
    only the plugin that asks for it can.

    Mutable state: `_logged`, when each rule was last in the log.
    """

    Options = AccessOptions
    spans_routes = True

    def __init__(self, options: AccessOptions, env: Env) -> None:
        super().__init__(options, env)
        self._refused_by = AccessRules(options).refused_by
        self._enforces = options.mode == "enforce"
        self._meter = AuthMeter(env.metrics, "access")
        self._logged: dict[str, float] = {}

    def on_request(self, exchange: Exchange) -> None:
        rule = self._refused_by(exchange)
        if not rule:
            self._meter.allowed.inc()
        elif self._enforces:
            self._meter.denied.inc()
            raise GatewayError(Kind.FORBIDDEN)
        else:
            self._meter.observed.inc()
            self._log(exchange, rule)

    def _log(self, exchange: Exchange, rule: str) -> None:
        now = self.env.clock.now()
        last = self._logged.get(rule)
        if last is None or now - last >= LOG_EVERY:
            self._logged[rule] = now
            text = "access would refuse %s on %s from %s, by %s"
            self.env.log.info(text, exchange.method, exchange.route_id, exchange.client_ip, rule)
