"""All checks of one configuration: what it names is collected, probed side by side, and judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.auth.jwt_options import JwtOptions
from gateway.auth.token_service import TokenServiceOptions
from gateway.compile import Generation
from gateway.config.fields import Bind
from gateway.config.load import Loaded
from gateway.config.specs import ConfigSpec
from gateway.doctor.finding import Finding
from gateway.doctor.gather import machine_facts
from gateway.doctor.machine import MachineFacts, check_machine
from gateway.doctor.needs import needs_of
from gateway.doctor.probes import (
    LATE,
    ask_admin,
    ask_store,
    read_certificate,
    side_by_side,
    try_connect,
    try_listen,
    try_sink,
    try_url,
)
from gateway.doctor.services import (
    AdminFacts,
    CertificateFacts,
    ListenFacts,
    StoreFacts,
    TargetFacts,
    by_upstream,
    check_admin,
    check_certificate,
    check_issuer,
    check_listen,
    check_sink,
    check_store,
    check_upstream,
)
from gateway.plugin import Clock, Metrics

# Where a listener on every interface is reached from this machine.
SELF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Probe:
    """What is to be found out, and the facts where that takes too long."""

    ask: Callable[[], Any]
    late: Any


def examine(
    loaded: Loaded,
    generation: Generation | None,
    folder: Path,
    environ: Mapping[str, str],
    token: str,
    clock: Clock,
    metrics: Metrics,
) -> tuple[MachineFacts, list[Finding]]:
    """Every finding. Of a configuration that has errors only the machine is looked at, with the defaults' needs.

    `folder` is what file names of the configuration are relative to, `token` what the admin listener is asked with.
    """
    facts = machine_facts(environ)
    spec = loaded.spec or ConfigSpec(version=1)
    sinks = list(dict.fromkeys(sinks_of(generation)))
    files = sum(place.startswith("file:") for place in sinks)
    needs = needs_of(spec, loaded.frontends, facts.cores, files)
    found = check_machine(facts, needs)
    if loaded.spec is None:
        return facts, found
    wanted = needs.store * needs.workers
    probes = [
        *store_probe(spec, wanted, clock, metrics),
        *listen_probes(loaded, spec),
        *admin_probe(spec, token),
        *certificate_probes([*spec.listeners, *loaded.frontends, *spec.upstreams.values()], folder),
        *endpoint_probes(spec),
        *issuer_probes(generation),
    ]
    answers = side_by_side([probe.ask for probe in probes], [probe.late for probe in probes])
    found += [check_sink(place, try_sink(place)) for place in sinks if place.startswith("file:")]
    return facts, found + list(_judged(answers, facts, time.time()))


def _judged(answers: Iterable[Any], machine: MachineFacts, now: float) -> Iterator[Finding]:
    """A finding of each fact, those of an upstream in one."""
    answers = list(answers)
    running = any(isinstance(one, AdminFacts) and one.alive == 200 for one in answers)
    for facts in answers:
        if isinstance(facts, StoreFacts):
            yield from check_store(facts)
        elif isinstance(facts, ListenFacts):
            yield check_listen(replace(facts, running=running), machine.surroundings)
        elif isinstance(facts, AdminFacts):
            yield check_admin(facts)
        elif isinstance(facts, CertificateFacts):
            yield check_certificate(facts, now)
        elif isinstance(facts, TargetFacts) and "://" in facts.address:
            yield check_issuer(facts)
    endpoints = [one for one in answers if isinstance(one, TargetFacts) and "://" not in one.address]
    yield from (check_upstream(name, group) for name, group in by_upstream(endpoints).items())


def sinks_of(generation: Generation | None) -> Iterator[str]:
    """Where access logs go."""
    for plugin in generation.plugin("access_log") if generation is not None else ():
        to = plugin.options.to
        yield from (to,) if isinstance(to, str) else to


def store_probe(spec: ConfigSpec, wanted: int, clock: Clock, metrics: Metrics) -> list[Probe]:
    """The store, where it is not this process's memory. `wanted` are the connections of all workers."""
    redis, memcached = spec.state.redis, spec.state.memcached
    if redis is not None:
        nodes = (redis.sentinel or redis.cluster).nodes if redis.url is None else ()  # type: ignore[union-attr]
        facts = StoreFacts(redis.url or f"redis of {', '.join(nodes)}", float(redis.timeout), wanted)
    elif memcached is not None:
        facts = StoreFacts(f"memcached {memcached.address}", float(memcached.timeout), wanted)
    else:
        return []
    return [Probe(partial(ask_store, spec.state, facts, clock, metrics), replace(facts, problem=LATE))]


def listen_probes(loaded: Loaded, spec: ConfigSpec) -> Iterator[Probe]:
    """Every address to listen on that others could have taken."""
    binds = [("listener", one.bind) for one in spec.listeners]
    binds += [(f"frontend {one.name}", one.bind) for one in loaded.frontends if one.bind is not None]
    for purpose, bind in [*binds, ("admin listener", spec.admin.bind)]:
        # Port 0 is one that the system picks, or none at all.
        if bind.port:
            facts = ListenFacts(purpose, str(bind), bind.port)
            yield Probe(partial(_listened, facts, bind), facts)


def _listened(facts: ListenFacts, bind: Bind) -> ListenFacts:
    return replace(facts, error=try_listen(bind))


def admin_probe(spec: ConfigSpec, token: str) -> list[Probe]:
    """Whoever is at the admin listener's address now."""
    bind = spec.admin.bind
    if not bind.port:
        return []
    given = token or (spec.admin.token.reveal() if spec.admin.token is not None else "")
    host = SELF.get(bind.host, bind.host)
    return [Probe(partial(ask_admin, str(bind), host, bind.port, given), AdminFacts(str(bind)))]


def certificate_probes(specs: Iterable[object], folder: Path) -> Iterator[Probe]:
    """The files that `tls:` of any of the specs names: certificates with their keys, and authorities."""
    pairs: dict[tuple[str, str], None] = {}
    for tls in (getattr(one, "tls", None) for one in specs):
        if tls is None:
            continue
        for one in (*getattr(tls, "certificates", ()), tls):
            if getattr(one, "cert", None):
                pairs[str(one.cert), str(getattr(one, "key", None) or one.cert)] = None
        for name in ("client_ca", "ca"):
            if getattr(tls, name, None):
                pairs[str(getattr(tls, name)), ""] = None
    for cert, key in pairs:
        ask = partial(read_certificate, folder / cert, folder / key if key else None)
        yield Probe(ask, CertificateFacts(cert, LATE))


def endpoint_probes(spec: ConfigSpec) -> Iterator[Probe]:
    """The endpoints of every upstream that has an address of its own."""
    for name, upstream in spec.upstreams.items():
        for endpoint in upstream.endpoints:
            facts = TargetFacts(name, endpoint.address)
            yield Probe(partial(_connected, facts, endpoint.host, endpoint.port), replace(facts, problem=LATE))


def _connected(facts: TargetFacts, host: str, port: int) -> TargetFacts:
    return replace(facts, problem=try_connect(host, port))


def issuer_probes(generation: Generation | None) -> Iterator[Probe]:
    """Key sets that are fetched, and token services at a URL of their own."""
    urls: dict[str, tuple[str, bool]] = {}
    for plugin in generation.plugins.values() if generation is not None else ():
        options = plugin.options
        if isinstance(options, JwtOptions):
            for one in options.issuers:
                if one.is_remote:
                    urls[one.jwks or one.issuer.rstrip("/") + DISCOVERY] = ("issuer", True)
        elif isinstance(options, TokenServiceOptions) and options.url is not None:
            # A GET would be a wrong question, and its query may hold what nobody should see.
            urls[options.url.partition("?")[0]] = ("token service", False)
    for url, (name, get) in urls.items():
        facts = TargetFacts(name, url)
        yield Probe(partial(_asked, facts, get), replace(facts, problem=LATE))


def _asked(facts: TargetFacts, get: bool) -> TargetFacts:
    return replace(facts, problem=try_url(facts.address, get))
