"""Rules about who may ask for what, and the requests that they hold for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from gateway.auth.claims import claim, consumer_of, roles_of, scopes_of
from gateway.config.fields import Method
from gateway.exchange import Exchange

Check = Callable[[Exchange], bool]
Scalar = str | bool | int | float
ADDRESSES_KEPT = 10_000


def _network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write one such as 10.0.0.0/8") from None
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"{text!r} has host bits set; write {network}")
    return text


Network = Annotated[str, AfterValidator(_network)]


def _fingerprint(text: str) -> str:
    """As tools print it, with colons and in upper case, or as `sha256sum` does."""
    plain = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", plain):
        raise ValueError(f"{text!r} is not the SHA-256 of a certificate; write its 64 hexadecimal digits")
    return plain


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


@dataclass(frozen=True)
class CertificateRule:
    """Holds for a client's certificate for which all of its parts do; of each, one of the values has to match."""

    common_names: tuple[str, ...] | None = None
    dns_names: tuple[str, ...] | None = None
    uris: tuple[str, ...] | None = None
    fingerprints: tuple[Fingerprint, ...] | None = None

    def __post_init__(self) -> None:
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        if all(part is None for part in parts.values()):
            raise ValueError("a certificate of what kind? write one such as {uris: [spiffe://example.org/ns/shop/*]}")
        empty = [name for name, part in parts.items() if part == ()]
        if empty:
            raise ValueError(f"{empty[0]} is empty, and holds for nobody; leave it out, or list something")


# The parts of a rule that only a request with an identity has.
_OF_AN_IDENTITY = ("claims", "scopes", "roles", "consumers", "principals")


@dataclass(frozen=True)
class Rule:
    """Holds for a request for which all of its parts do; None is no part."""

    cidr: tuple[Network, ...] | None = None
    methods: tuple[Method, ...] | None = None
    claims: dict[str, Scalar | tuple[Scalar, ...]] | None = None
    scopes: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    consumers: tuple[str, ...] | None = None
    principals: tuple[str, ...] | None = None
    anonymous: bool | None = None
    certificate: CertificateRule | None = None

    def __post_init__(self) -> None:
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        given = {name: part for name, part in parts.items() if part is not None}
        if not given:
            raise ValueError("a rule without parts would hold for everybody; write one such as {cidr: [10.0.0.0/8]}")
        empty = [name for name, part in given.items() if part in ((), {})]
        empty += [f"claims.{name}" for name, values in (self.claims or {}).items() if values == ()]
        if empty:
            raise ValueError(f"{empty[0]} is empty, and holds for nobody; leave it out, or list something")
        if self.anonymous:
            others = [name for name in _OF_AN_IDENTITY if name in given]
            if others:
                raise ValueError(f"nobody is anonymous and has {others[0]} too; make two rules of it")


@dataclass(frozen=True)
class AccessOptions:
    """The options of `access`. `deny` comes first; with `allow` one of its rules has to hold."""

    allow: tuple[Rule, ...] | None = None
    deny: tuple[Rule, ...] | None = None
    mode: Literal["enforce", "observe"] = "enforce"

    def __post_init__(self) -> None:
        if self.allow is None and self.deny is None:
            raise ValueError("neither allow nor deny is there; write one such as deny: [{cidr: [192.0.2.0/24]}]")
        for name, rules in (("allow", self.allow), ("deny", self.deny)):
            if rules == ():
                raise ValueError(f"{name} lists no rule; leave it out, or write {name}: [{{roles: [admin]}}]")


class AccessRules:
    """Compiled rules. Immutable, but for what its networks remember."""

    __slots__ = ("_allow", "_deny")

    def __init__(self, options: AccessOptions) -> None:
        self._deny = tuple((f"deny[{at}]", _compiled(rule)) for at, rule in enumerate(options.deny or ()))
        self._allow = tuple(map(_compiled, options.allow)) if options.allow is not None else None

    def refused_by(self, exchange: Exchange) -> str:
        """What refuses the request: `deny[N]`, or `allow` when no rule there holds. "" when nothing does."""
        for name, holds in self._deny:
            if holds(exchange):
                return name
        if self._allow is not None:
            for holds in self._allow:
                if holds(exchange):
                    return ""
            return "allow"
        return ""


class Networks:
    """Addresses by network. An IPv4 address in any IPv6 form (RFC 4291 §2.5.5.2) is the IPv4 address.

    Mutable state: `_known`, what was found for a client's address, since reading one costs 2 us; cleared when full.
    """

    __slots__ = ("_known", "_prefixes")

    def __init__(self, networks: Iterable[str]) -> None:
        found: dict[tuple[int, int], set[int]] = {}
        for network in map(ip_network, networks):
            address, shift = network.network_address, network.max_prefixlen - network.prefixlen
            version, number = address.version, int(address)
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                version, number = 4, int(address.ipv4_mapped)
            found.setdefault((version, shift), set()).add(number >> shift)
        self._prefixes = tuple((version, shift, frozenset(numbers)) for (version, shift), numbers in found.items())
        self._known: dict[str, bool] = {}

    def holds(self, exchange: Exchange) -> bool:
        """Is the client in one of the networks? One whose address is unknown is in none."""
        address = exchange.client_ip
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= ADDRESSES_KEPT:
                self._known.clear()
            known = self._known[address] = self._has(address)
        return known

    def _has(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        version, number = parsed.version, int(parsed)
        return any(version == of and number >> shift in numbers for of, shift, numbers in self._prefixes)


def _compiled(rule: Rule) -> Check:
    checks = tuple(_checks(rule))
    if len(checks) == 1:
        return checks[0]

    def all_hold(exchange: Exchange) -> bool:
        for check in checks:  # noqa: SIM110  # a generator costs more than the checks
            if not check(exchange):
                return False
        return True

    return all_hold


def _checks(rule: Rule) -> Iterator[Check]:
    """The cheap ones first."""
    if rule.methods is not None:
        # As in routes, who may GET may HEAD.
        methods = frozenset(rule.methods) | ({"HEAD"} if "GET" in rule.methods else set())
        yield lambda exchange: exchange.method in methods
    if rule.anonymous is not None:
        anonymous = rule.anonymous
        yield lambda exchange: (exchange.principal is None and exchange.claims is None) is anonymous
    if rule.principals is not None:
        principals = frozenset(rule.principals)
        yield lambda exchange: exchange.principal in principals
    if rule.cidr is not None:
        yield Networks(rule.cidr).holds
    if rule.consumers is not None:
        consumers = frozenset(rule.consumers)
        yield lambda exchange: consumer_of(exchange) in consumers
    if rule.scopes is not None:
        scopes = frozenset(rule.scopes)
        yield lambda exchange: exchange.claims is not None and scopes <= scopes_of(exchange.claims)
    if rule.roles is not None:
        roles = frozenset(rule.roles)
        yield lambda exchange: exchange.claims is not None and not roles.isdisjoint(roles_of(exchange.claims))
    if rule.certificate is not None:
        yield _certificate_check(rule.certificate)
    for name, wanted in (rule.claims or {}).items():
        yield _claim_check(name, frozenset(map(_comparable, wanted if isinstance(wanted, tuple) else (wanted,))))


def _certificate_check(rule: CertificateRule) -> Check:
    """Of a URI that ends in `/*` all before the star has to match."""
    common, fingerprints = frozenset(rule.common_names or ()), frozenset(rule.fingerprints or ())
    hosts = frozenset(name.lower() for name in rule.dns_names or ())
    uris = frozenset(rule.uris or ())
    roots = tuple(uri[:-1] for uri in uris if uri.endswith("/*"))

    def holds(exchange: Exchange) -> bool:
        shown = exchange.client_certificate
        if shown is None or (fingerprints and shown.fingerprint not in fingerprints):
            return False
        if (common and common.isdisjoint(shown.common_names)) or (hosts and hosts.isdisjoint(shown.dns_names)):
            return False
        return not uris or any(uri in uris or uri.startswith(roots) for uri in shown.uris)

    return holds


def _claim_check(name: str, wanted: frozenset[Any]) -> Check:
    def holds(exchange: Exchange) -> bool:
        claims: Mapping[str, Any] | None = exchange.claims
        if claims is None:
            return False
        value = claim(claims, name)
        if isinstance(value, list | tuple):
            return any(_comparable(item) in wanted for item in value)
        return _comparable(value) in wanted

    return holds


def _comparable(value: Any) -> Any:
    """A scalar as it compares: to Python, True is 1. None for anything else."""
    if isinstance(value, bool):
        return (value,)
    return value if isinstance(value, str | int | float) else None
