"""Checks of what a configuration names: its store, its addresses, its files, its upstreams, its issuers. Pure.

Each takes what was found out about one of them. `problem` is empty where there is none, and else says it in words.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.doctor.finding import Finding, Level, Surroundings, low_ports

# Scripts read the server's clock and then write, which older ones refuse.
OLDEST_REDIS = (5, 0)
# A call that takes so much of its time limit leaves none for a bad moment.
SLOW_SHARE = 0.2
SKEW_SECONDS = 1.0
EXPIRY_DAYS = 14
DAY = 86400.0
SHOWN = 3


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A remote store. `latency` is the median of some calls, `timeout` the longest that one may take, `skew` how far
    its clock is ahead, in seconds; `clients` the most connections it takes, `wanted` how many all workers may open."""

    name: str
    timeout: float
    wanted: int
    problem: str = ""
    latency: float = 0.0
    version: str = ""
    skew: float | None = None
    clients: int | None = None
    policy: str = ""


@dataclass(frozen=True, slots=True)
class ListenFacts:
    """An address to listen on. `error` is the errno of trying it, 0 where it is free; `running` says that a gateway
    answers on the admin listener of the configuration."""

    purpose: str
    address: str
    port: int
    error: int = 0
    running: bool = False


@dataclass(frozen=True, slots=True)
class AdminFacts:
    """What the admin listener says to the configuration's token: the statuses of /healthz and /api/config, 0 for
    nobody there."""

    address: str
    alive: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A file of `tls:`. `begins` and `ends` are seconds since 1970, 0 for what is no certificate."""

    file: str
    problem: str = ""
    begins: float = 0.0
    ends: float = 0.0


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Something that is connected to: an upstream's endpoint, or a URL of a plugin's."""

    name: str
    address: str
    problem: str = ""


def check_store(facts: StoreFacts) -> list[Finding]:
    """Reachable, new enough, near enough, large enough."""
    check = f"state {facts.name}"
    if facts.problem:
        means = "limits, sessions and decisions that instances share do as on_store_error says, or answer 503"
        ask = (f"redis-cli -u {facts.name} ping",) if "://" in facts.name else ()
        remedy = (*ask, "start it, or correct state: in routes.yaml")
        return [Finding(check, "failed", facts.problem, means, remedy)]
    found: list[Finding] = []
    milliseconds = f"{facts.latency * 1000:.1f} ms a call"
    about = ", ".join(part for part in (facts.version and f"version {facts.version}", milliseconds) if part)
    if facts.version and _version(facts.version) < OLDEST_REDIS:
        means = "limits fail there: their scripts read Redis's clock before they write"
        found.append(Finding(check, "failed", about, means, ("install Redis 5.0 or newer, or Valkey",)))
    if facts.latency > facts.timeout * SLOW_SHARE:
        means = f"calls that take longer than {facts.timeout * 1000:g} ms fail, and each request waits for one"
        remedy = ("bring it nearer", f"or in routes.yaml: timeout: {facts.latency * 10000:.0f}ms below state:")
        found.append(Finding(check, "warning", about, means, remedy))
    if facts.skew is not None and abs(facts.skew) > SKEW_SECONDS:
        means = "what is kept there ends at another time than this machine reckons"
        words = f"its clock is {abs(facts.skew):.1f} s {'ahead' if facts.skew > 0 else 'behind'}"
        found.append(Finding(check, "warning", words, means, ("on both machines: timedatectl set-ntp true",)))
    if facts.clients is not None and facts.clients < facts.wanted:
        words = f"it takes {facts.clients} clients (maxclients), this gateway may open {facts.wanted} connections"
        remedy = (f"redis-cli config set maxclients {facts.wanted + 1000}", "or less: max_connections below state:")
        found.append(Finding(check, "warning", words, "connections beyond that are refused", remedy))
    if facts.policy.startswith("allkeys"):
        means = "when its memory is full, sessions and revocations go, and limits begin anew"
        remedy = ("redis-cli config set maxmemory-policy volatile-ttl",)
        found.append(Finding(check, "warning", f"maxmemory-policy is {facts.policy}", means, remedy))
    return found or [Finding(check, "ok", about)]


def check_listen(facts: ListenFacts, where: Surroundings) -> Finding:
    """Can it be listened on?"""
    check = f"{facts.purpose} {facts.address}"
    if not facts.error:
        return Finding(check, "ok", "free")
    if facts.error == errno.EADDRINUSE:
        if facts.running:
            return Finding(check, "ok", "taken by the gateway that runs on this configuration")
        means = "the gateway does not start"
        look = f"ss -ltnp 'sport = :{facts.port}'"
        remedy = (look, "end what listens there, or choose another port in routes.yaml")
        return Finding(check, "failed", "another process listens there", means, remedy)
    if facts.error == errno.EACCES:
        lower = low_ports(facts.port, where)
        return Finding(check, "failed", "not allowed below port 1024", "the gateway does not start as this user", lower)
    if facts.error == errno.EADDRNOTAVAIL:
        remedy = ("ip addr", "choose one of these in routes.yaml, or :PORT for all of them")
        return Finding(check, "failed", "this machine has no such address", "the gateway does not start", remedy)
    words = errno.errorcode.get(facts.error, str(facts.error))
    return Finding(check, "failed", f"cannot be listened on ({words})", "the gateway does not start", ("ip addr",))


def check_admin(facts: AdminFacts) -> Finding:
    """Does a running gateway take the configuration's token?"""
    check = f"admin {facts.address}"
    if not facts.alive:
        return Finding(check, "ok", "no gateway runs there")
    if facts.alive != 200:
        means = "status, reload and the dashboard of this configuration reach somebody else"
        other = "name another place in routes.yaml: admin: {bind: 127.0.0.1:9901}"
        return Finding(check, "warning", f"something answers {facts.alive}, no gateway", means, (other,))
    if facts.asked == 401:
        means = "gateway status and reload are refused until it is started with this one"
        remedy = ("GATEWAY_ADMIN_TOKEN=... gateway status", "or start the gateway anew")
        return Finding(check, "warning", "a gateway runs there and wants another token", means, remedy)
    return Finding(check, "ok", "a gateway runs there")


def check_certificate(facts: CertificateFacts, now: float) -> Finding:
    """Readable, its key fits, and it holds for a while. `now` is in seconds since 1970."""
    check = f"certificate {facts.file}"
    renewed = ("renew it, put the new files in its place",)
    if facts.problem:
        means = "the gateway does not start, and a reload is refused"
        return Finding(check, "failed", facts.problem, means, (f"openssl x509 -noout -text -in {facts.file}",))
    if not facts.ends:
        return Finding(check, "ok", "readable")
    days = (facts.ends - now) / DAY
    if days <= 0:
        return Finding(check, "failed", f"expired {-days:.0f} days ago", "clients refuse to connect", renewed)
    if facts.begins > now:
        means = "clients refuse to connect until then, or this machine's clock is wrong"
        return Finding(
            check, "failed", f"holds only in {(facts.begins - now) / DAY:.1f} days", means, ("date", *renewed)
        )
    level: Level = "ok" if days >= EXPIRY_DAYS else "warning"
    if level == "ok":
        return Finding(check, level, f"holds for {days:.0f} days")
    return Finding(check, level, f"holds for {days:.1f} days more", "after that clients refuse to connect", renewed)


def check_sink(place: str, problem: str) -> Finding:
    """Can it be written to?"""
    if not problem:
        return Finding(f"log {place}", "ok", "can be written to")
    folder = place.removeprefix("file://").rpartition("/")[0] or "/"
    remedy = (f"ls -ld {folder}", f"mkdir -p {folder}", f"chown it to who runs the gateway: chown USER {folder}")
    return Finding(f"log {place}", "failed", problem, "the gateway does not start", remedy)


def check_upstream(name: str, endpoints: Sequence[TargetFacts]) -> Finding:
    """Do its endpoints take connections? That they do not now is no more than a warning: services come later."""
    down = [one for one in endpoints if one.problem]
    check = f"upstream {name}"
    if not down:
        return Finding(check, "ok", f"{len(endpoints)} of {len(endpoints)} endpoints take connections")
    words = ", ".join(f"{one.address}: {one.problem}" for one in down[:SHOWN])
    more = f", and {len(down) - SHOWN} more" if len(down) > SHOWN else ""
    means = "its requests are answered with 502, 503 or 504" if len(down) == len(endpoints) else "others serve for them"
    path = down[0].address.removeprefix("unix:")
    look = f"curl -v http://{path}/" if path == down[0].address else f"ls -l {path}"
    remedy = (look, "start it, or correct endpoints: in routes.yaml")
    return Finding(check, "warning", words + more, means, remedy)


def check_issuer(facts: TargetFacts) -> Finding:
    """Can a plugin's service be asked?"""
    check = f"{facts.name} {facts.address}"
    if not facts.problem:
        return Finding(check, "ok", "answers")
    means = "tokens cannot be verified: requests that carry one are answered with 503"
    return Finding(check, "warning", facts.problem, means, (f"curl -v {facts.address}",))


def check_configuration(file: str, errors: Sequence[str], warnings: int) -> Finding:
    """What `gateway check` says, in one line."""
    counts = f"{len(errors)} error{'s' * (len(errors) != 1)}"
    if errors:
        means = "the gateway does not start on it; what it needs is known only in part"
        return Finding(
            "configuration", "failed", f"{counts}, the first: {errors[0]}", means, (f"gateway check -c {file}",)
        )
    if warnings:
        words = f"{file}: no errors, {warnings} warning{'s' * (warnings != 1)}"
        return Finding("configuration", "warning", words, "", (f"gateway check -c {file}",))
    return Finding("configuration", "ok", f"{file}: no errors")


def by_upstream(targets: Sequence[TargetFacts]) -> Mapping[str, list[TargetFacts]]:
    """The endpoints of each upstream."""
    found: dict[str, list[TargetFacts]] = {}
    for one in targets:
        found.setdefault(one.name, []).append(one)
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
