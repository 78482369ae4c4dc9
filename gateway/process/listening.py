"""Where a configuration listens, and what holds for the clients there. Pure: no socket is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.compile import Generation
from gateway.config.fields import Bind
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded
from gateway.config.problems import Problem
from gateway.config.specs import ListenerSpec
from gateway.config.tls_specs import ListenerTlsSpec
from gateway.passthrough import Destination, Passthrough
from gateway.wire.client_settings import ClientSettings, HttpsRedirect
from gateway.wire.server_tls import Certificates, ServerTls
from gateway.wire.shapes import request_policy

RESTART = "for that type: gateway restart"


@dataclass(frozen=True, slots=True)
class Place:
    """One address. `shared` says that it is one of `listeners`, not a frontend's bind. Without `certificates` plain
    HTTP is spoken."""

    bind: Bind
    settings: ClientSettings
    shared: bool
    certificates: Certificates | None = None

    def __str__(self) -> str:
        return f"{self.bind}{' with TLS' if self.certificates is not None else ''}"

    def make_tls(self) -> ServerTls | None:
        """What its connections begin with. Whoever inherits it resumes the same sessions."""
        return ServerTls(self.certificates) if self.certificates is not None else None


def places(generation: Generation, binds: Sequence[ListenerSpec] | None = None) -> list[Place]:
    """Every address, in an order that a reload keeps: `listeners`, then the binds of frontends in the order of their
    names. `binds` stand in place of `listeners`, or of the bind of the one frontend that is served alone."""
    own = common = client_settings(generation)
    bound = sorted((one for one in generation.frontends if one.bind is not None), key=lambda one: one.name)
    on_listeners = [frontend for frontend in generation.frontends if frontend.bind is None]
    if generation.alone and binds is not None and len(generation.frontends) == 1:
        bound, on_listeners = [], [*generation.frontends]
    shared: Sequence[ListenerSpec] = binds or generation.spec.listeners
    if not generation.alone:
        common = replace(common, request_body=_most(common, generation.frontends))
    elif len(on_listeners) == 1:
        common = _own_settings(common, on_listeners[0])
    elif on_listeners:
        common = replace(common, request_body=_most(common, on_listeners))
    else:
        shared = ()
    read = generation.tls.certificates if generation.tls is not None else {}
    found = []
    for one in shared:
        settings = replace(_secured(common, one.tls), **_of_listener(one, generation))
        found.append(Place(one.bind, settings, True, read[one.tls] if one.tls is not None else None))
    for frontend in bound:
        settings, tls = _secured(_own_settings(own, frontend), frontend.tls), frontend.tls
        if frontend.bind is not None:
            found.append(Place(frontend.bind, settings, False, read[tls] if tls is not None else None))
    return found


def _of_listener(one: ListenerSpec, generation: Generation) -> dict[str, Any]:
    """The settings that a listener says for itself."""
    upstreams = generation.table.upstreams
    names = {name: Destination(upstreams[to.to], to.idle) for to in one.passthrough for name in to.names}
    return {
        "redirect": HttpsRedirect(one.redirect.https, one.redirect.status) if one.redirect is not None else None,
        "half_close": one.half_close == "allow",
        "proxy_protocol": one.proxy_protocol,
        "passthrough": Passthrough(names) if names else None,
    }


def client_settings(generation: Generation) -> ClientSettings:
    """What a configuration settles for every client connection."""
    spec = generation.spec
    identities = generation.table.identity_headers
    return ClientSettings(
        request_policy(True, identities),
        request_policy(False, identities),
        spec.trusted_proxies,
        spec.limits.request_head,
        spec.limits.header_count,
        spec.limits.request_body,
        spec.timeouts.request_head,
        spec.timeouts.request_body,
        spec.timeouts.idle,
        connections=spec.limits.connections,
    )


def _secured(settings: ClientSettings, tls: ListenerTlsSpec | None) -> ClientSettings:
    if tls is None:
        return settings
    return replace(settings, scheme="https", client_headers=tuple(tls.client_headers.names().items()))


def _own_settings(common: ClientSettings, frontend: FrontendSpec) -> ClientSettings:
    """Those of a listener that is a frontend's alone."""
    given = {name: limit for name, limit in frontend.limits if limit is not None}
    return replace(common, frontend=frontend.name, **given)


def _most(common: ClientSettings, frontends: Sequence[FrontendSpec]) -> int:
    """The largest body that any request may have: each is held to its own limit later."""
    return max(common.request_body, *(frontend.limits.request_body or 0 for frontend in frontends), 0)


def misplaced(generation: Generation, loaded: Loaded, binds: Sequence[ListenerSpec] | None) -> list[Problem]:
    """An address was asked for, and every frontend that is served has one of its own."""
    if not binds or any(place.shared for place in places(generation, binds)):
        return []
    names = ", ".join(frontend.name for frontend in generation.frontends)
    message = f"nobody listens on {', '.join(str(one.bind) for one in binds)}: {names} have a bind of their own"
    return [Problem(loaded.position(("listeners",)), message, "with --bind name one of them, or leave --bind out")]


def moved(before: Generation, after: Generation, loaded: Loaded, binds: Sequence[ListenerSpec] | None) -> list[Problem]:
    """Sockets are opened at the start: a reload cannot move them."""
    problems = []
    old, new = places(before, binds), places(after, binds)
    where = [str(place) for place in old if place.shared]
    if where != [str(place) for place in new if place.shared]:
        message = f"a reload cannot change where the gateway listens, {', '.join(where) or 'at its frontends alone'}"
        problems.append(Problem(loaded.position(("listeners",)), message, RESTART))
    known, wanted = ({p.settings.frontend: str(p) for p in found if not p.shared} for found in (old, new))
    for name in dict.fromkeys((*known, *wanted)):
        if known.get(name) != wanted.get(name):
            there = any(frontend.name == name for frontend in loaded.frontends)
            position = loaded.position((*loaded.path_of(name), "bind") if there else ("include",))
            listens = known.get(name, "not on a listener of its own")
            message = f"a reload cannot change where the frontend {name!r} listens, {listens}"
            problems.append(Problem(position, message, RESTART))
    return problems


def served_at(generation: Generation, settings: ClientSettings) -> str:
    """Who is served by a listener with these settings, in words that follow its address; "" where there are no
    frontends."""
    if settings.frontend:
        return f" for the frontend {settings.frontend}"
    frontends = generation.table.frontends
    names = ", ".join(one.name for one in frontends.named.values() if one in frontends.order) if frontends else ""
    if not names:
        return ""
    return f" for {'' if generation.alone else 'routes without a frontend and '}the frontends {names}"
