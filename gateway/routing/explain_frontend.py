"""Why a request belongs to the frontend it belongs to: each with the verdict of its conditions. Pure; asks the same
frontends that serve."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.routing.explain import HIDDEN, MASK, Check
from gateway.routing.frontend import Frontend, Frontends
from gateway.routing.predicates import Request
from gateway.routing.router import host_name


@dataclass(frozen=True, slots=True)
class JudgedFrontend:
    """`verdict` is chosen; refused; or later, where it fits but another is before it."""

    frontend: Frontend
    checks: tuple[Check, ...]
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is decided. `path` is the raw path without the prefix; `status` the answer where that ends the request."""

    frontend: Frontend | None
    path: str
    why: str
    status: int | None = None
    judged: tuple[JudgedFrontend, ...] = ()


def explain_frontend(frontends: Frontends, host: str, raw_path: str, request: Request, named: str = "") -> Choice:
    """Choose a frontend, and say why. With `named` as if the request came to the listener of that one. `host` is the
    Host field."""
    if named:
        return _named(frontends.named[named], raw_path)
    asked = list(dict.fromkeys((*frontends.candidates(host), *frontends.order)))
    try:
        chosen, path = frontends.choose(host, raw_path, request)
    except GatewayError as error:
        return Choice(None, raw_path, error.detail, 400, _judged(asked, None, host, raw_path, request))
    judged = _judged(asked, chosen, host, raw_path, request)
    if chosen is None:
        return Choice(None, path, "no frontend fits", None, judged)
    later = next((one.frontend for one in judged if one.verdict == "later"), None)
    why = f"before {later.name}: {_precedence(chosen, later, host)}" if later else "the only frontend that fits"
    return Choice(chosen, path, why, None, judged)


def _named(frontend: Frontend, raw_path: str) -> Choice:
    try:
        path = frontend.inner_path(raw_path)
    except GatewayError as error:
        return Choice(frontend, raw_path, error.detail, 400)
    if path is None:
        return Choice(frontend, raw_path, f"the path does not begin with {frontend.prefix}", 404)
    return Choice(frontend, path, "asked for by its name")


def _judged(
    asked: list[Frontend], chosen: Frontend | None, host: str, raw_path: str, request: Request
) -> tuple[JudgedFrontend, ...]:
    judged = []
    for frontend in asked:
        checks = tuple(_checks(frontend, host, raw_path, request))
        refusals = [check for check in checks if not check.passed]
        if frontend is chosen:
            verdict, why = "chosen", ""
        elif refusals:
            verdict, why = "refused", "; ".join(f"{check.wanted}, and it is {check.found}" for check in refusals)
        elif chosen is not None:
            verdict, why = "later", f"{chosen.name} is before it: {_precedence(chosen, frontend, host)}"
        else:
            verdict, why = "fits", ""
        judged.append(JudgedFrontend(frontend, checks, verdict, why))
    return tuple(judged)


def _checks(frontend: Frontend, host: str, raw_path: str, request: Request) -> list[Check]:
    checks = []
    name = host_name(host)
    if frontend.hosts:
        wanted = f"host is {' or '.join(frontend.hosts)}"
        checks.append(Check("host", wanted, name or "absent", _host_of(frontend, host) is not None))
    if frontend.prefix:
        begun = f"{raw_path}/".startswith(frontend.start)
        checks.append(Check("prefix", f"path begins with {frontend.prefix}", raw_path, begun))
    for predicate in frontend.headers:
        values = request.headers.get_all(predicate.name)
        found = ", ".join(map(repr, values)) if values else "absent"
        hidden = values and predicate.name.lower() in HIDDEN
        checks.append(Check("header", str(predicate), MASK if hidden else found, predicate.matches(request)))
    return checks


def _host_of(frontend: Frontend, host: str) -> str | None:
    """The most specific of its hosts that fits."""
    name = host_name(host)
    if name in frontend.hosts:
        return name
    fitting = [one for one in frontend.hosts if one.startswith("*.") and name.endswith(one[1:])]
    return max(fitting, key=len, default=None)


def _precedence(first: Frontend, second: Frontend, host: str) -> str:
    """Why `first` is asked before `second`, where both fit."""
    mine, other = _host_of(first, host), _host_of(second, host)
    if mine != other:
        return f"its host {mine} is more specific than {other or 'any host'}"
    if first.prefix != second.prefix:
        return f"its prefix {first.prefix} is longer than {second.prefix or 'none'}"
    if len(first.headers) != len(second.headers):
        return f"it asks for more headers ({len(first.headers)} to {len(second.headers)})"
    return "its file comes first"
