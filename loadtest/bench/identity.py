"""What it costs to know who asks, and to count how often, once that is cached."""

from __future__ import annotations

import time

import jwt

from loadtest.bench.generator import Target
from loadtest.bench.peers import start
from loadtest.bench.process import wait_for_status
from loadtest.bench.scenarios import Bench, Cell, rotate

SECRET = "a secret of thirty-two characters"
ISSUER = "https://issuer.example"
ROUTES = f"""\
  - {{name: plain, match: {{path: /plain}}, to: backend, rewrite: {{path: /small}}}}
  - name: token
    match: {{path: /token}}
    to: backend
    rewrite: {{path: /small}}
    plugins:
      - jwt:
          issuers: [{{issuer: "{ISSUER}", audience: api, algorithms: [HS256], key: "{SECRET}"}}]
          claims_to_headers: {{sub: X-User-Id}}
  - name: kept
    match: {{path: /kept}}
    to: backend
    rewrite: {{path: /small}}
    plugins: [auth_delegation: {{upstream: backend, path: /small, copy_on_allow: [X-User-Id], cache: {{ttl: 1h}}}}]
  - name: asked
    match: {{path: /asked}}
    to: backend
    rewrite: {{path: /small}}
    plugins: [auth_delegation: {{upstream: backend, path: /small, name: asked, copy_on_allow: [X-User-Id]}}]
  - name: limited
    match: {{path: /limited}}
    to: backend
    rewrite: {{path: /small}}
    plugins: [rate_limit: {{rate: 1000000/s}}]"""


def token() -> str:
    """One that holds for an hour, of a usual size."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "api", "sub": "5", "iat": now, "exp": now + 3600, "scope": "items:read items:write"}
    more = {"jti": "f81d4fae7dec11d0a76500a0c91e6bf6", "preferred_username": "ada", "roles": ["user", "admin"]}
    return jwt.encode({**claims, **more}, SECRET, algorithm="HS256")


def identity(bench: Bench) -> None:
    """The same request with its token: passed on, verified, delegated with and without cache, and limited. Full
    chain."""
    instance = start(bench.sandbox, "gateway", "full", bench.backend.port, bench.gateway_core, routes=ROUTES)
    wait_for_status(instance.port, "/plain", instance.child)
    headers = (("Authorization", f"Bearer {token()}"),)
    names = ("plain", "token", "kept", "asked", "limited")
    cells = [Cell(name, instance, Target(instance.port, (f"/{name}",), headers=headers)) for name in names]
    rotate(bench, "identity", cells, bench.plan.seconds)
    bench.sandbox.stop(instance.child)
