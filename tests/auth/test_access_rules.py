"""Rules hold for whom they say, deny comes before allow, and an address is the same in all its spellings."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

import gateway.auth.access_rules as access_rules
from gateway.auth.access_rules import AccessOptions, AccessRules, CertificateRule, Networks, Rule
from gateway.testing import make_exchange
from gateway.wire.client_certificate import ClientCertificate
from tests.support.certificates import vouched
from tests.support.handshakes import shown

ADA: dict[str, Any] = {
    "principal": "ada",
    "claims": {
        "sub": "ada",
        "scope": "items:read items:write",
        "roles": ["admin", "user"],
        "realm": {"id": 7, "name": "north"},
        "verified": True,
        "level": 1,
        "groups": ["staff", "board"],
        "client_id": "shop",
        "nothing": None,
    },
}


def holds(*rules: Rule, method: str = "GET", client_ip: str = "192.0.2.1", **fields: Any) -> bool:
    """Does one of these hold, as an allow rule? A deny rule has to agree."""
    exchange = make_exchange(method, client_ip=client_ip, **fields)
    allowed = AccessRules(AccessOptions(allow=rules)).refused_by(exchange) == ""
    denied = AccessRules(AccessOptions(deny=rules)).refused_by(exchange) != ""
    assert allowed == denied
    return allowed


@pytest.mark.parametrize(
    ("rule", "for_ada", "for_nobody"),
    (
        (Rule(methods=("GET",)), True, True),
        (Rule(methods=("POST", "PUT")), False, False),
        (Rule(anonymous=True), False, True),
        (Rule(anonymous=False), True, False),
        (Rule(principals=("grace", "ada")), True, False),
        (Rule(principals=("Ada",)), False, False),
        (Rule(principals=("", "None")), False, False),
        (Rule(consumers=("shop",)), True, False),
        (Rule(consumers=("office",)), False, False),
        (Rule(scopes=("items:read",)), True, False),
        (Rule(scopes=("items:write", "items:read")), True, False),
        (Rule(scopes=("items:read", "items:delete")), False, False),
        (Rule(scopes=("items",)), False, False),
        (Rule(roles=("root", "admin")), True, False),
        (Rule(roles=("root",)), False, False),
        (Rule(claims={"sub": "ada"}), True, False),
        (Rule(claims={"sub": "ada", "level": 1}), True, False),
        (Rule(claims={"sub": "ada", "level": 2}), False, False),
        (Rule(claims={"sub": ("grace", "ada")}), True, False),
        (Rule(claims={"realm.id": 7}), True, False),
        (Rule(claims={"realm.name": "north"}), True, False),
        (Rule(claims={"realm.town": "x"}), False, False),
        (Rule(claims={"realm": "north"}), False, False),
        (Rule(claims={"groups": "board"}), True, False),
        (Rule(claims={"groups": ("guests", "staff")}), True, False),
        (Rule(claims={"groups": "staff board"}), False, False),
        (Rule(claims={"verified": True}), True, False),
        (Rule(claims={"verified": 1}), False, False),
        (Rule(claims={"verified": "true"}), False, False),
        (Rule(claims={"level": True}), False, False),
        (Rule(claims={"level": "1"}), False, False),
        (Rule(claims={"nothing": "None"}), False, False),
        (Rule(claims={"absent": ""}), False, False),
    ),
)
def test_whom_a_rule_holds_for(rule: Rule, for_ada: bool, for_nobody: bool) -> None:
    assert (holds(rule, **ADA), holds(rule)) == (for_ada, for_nobody)


def test_all_parts_have_to_hold() -> None:
    rule = Rule(methods=("GET",), cidr=("192.0.2.0/24",), roles=("admin",), claims={"realm.id": 7})

    assert holds(rule, **ADA)
    assert not holds(rule, method="POST", **ADA)
    assert not holds(rule, client_ip="198.51.100.1", **ADA)
    assert not holds(rule)
    assert not holds(rule, principal="ada", claims={"roles": ["admin"]})


def test_one_rule_of_several_is_enough() -> None:
    assert holds(Rule(methods=("POST",)), Rule(principals=("ada",)), **ADA)
    assert not holds(Rule(methods=("POST",)), Rule(principals=("ada",)))


@pytest.mark.parametrize(
    "claims", ({}, {"roles": {"admin": True}}, {"roles": [["admin"]]}, {"roles": None, "scope": 7}, {"scope": ["a b"]})
)
def test_claims_of_another_shape_hold_nothing(claims: dict[str, Any]) -> None:
    for rule in (Rule(roles=("admin",)), Rule(scopes=("a",)), Rule(claims={"roles": "admin"})):
        assert not holds(rule, claims=claims)


def test_who_may_get_may_head() -> None:
    assert holds(Rule(methods=("GET",)), method="HEAD")
    assert not holds(Rule(methods=("HEAD",)), method="GET")
    assert not holds(Rule(methods=("POST",)), method="HEAD")


def test_a_token_without_a_subject_is_not_anonymous() -> None:
    assert not holds(Rule(anonymous=True), claims={"client_id": "shop"})
    assert holds(Rule(anonymous=False), claims={})


def test_deny_comes_first() -> None:
    rules = AccessRules(
        AccessOptions(
            deny=(Rule(methods=("DELETE",)), Rule(cidr=("203.0.113.0/24",))),
            allow=(Rule(principals=("ada",)),),
        )
    )

    assert rules.refused_by(make_exchange(**ADA)) == ""
    assert rules.refused_by(make_exchange("DELETE", **ADA)) == "deny[0]"
    assert rules.refused_by(make_exchange(client_ip="203.0.113.9", **ADA)) == "deny[1]"
    assert rules.refused_by(make_exchange()) == "allow"


# addresses

DENIED = "198.51.100.7"


@pytest.mark.parametrize(
    "spelling",
    (
        DENIED,
        "::ffff:198.51.100.7",
        "::FFFF:198.51.100.7",
        "::ffff:c633:6407",
        "::FfFf:C633:6407",
        "0:0:0:0:0:ffff:198.51.100.7",
        "0000:0000:0000:0000:0000:ffff:c633:6407",
    ),
)
@pytest.mark.parametrize(
    "cidr", (DENIED, "198.51.100.0/24", "::ffff:198.51.100.7", "::ffff:c633:6400/120", "0.0.0.0/0")
)
def test_an_ipv4_address_is_denied_in_every_form(spelling: str, cidr: str) -> None:
    assert holds(Rule(cidr=(cidr,)), client_ip=spelling)
    assert not holds(Rule(cidr=("198.51.100.8",)), client_ip=spelling)
    assert not holds(Rule(cidr=("2001:db8::/32",)), client_ip=spelling)


@pytest.mark.parametrize(
    ("address", "inside"),
    (
        ("2001:db8::1", True),
        ("2001:DB8:0:0::ffff", True),
        ("2001:db9::1", False),
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::10.0.0.1", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", True),
        ("", False),
        ("unix", False),
        ("10.0.0.1:80", False),
        ("010.0.0.1", False),
        ("0x0a000001", False),
        ("10.0.0.1\0", False),
    ),
)
def test_networks(address: str, inside: bool) -> None:
    assert holds(Rule(cidr=("10.0.0.0/8", "2001:db8::/48", "fe80::/10")), client_ip=address) == inside


def test_the_memory_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_rules, "ADDRESSES_KEPT", 10)
    networks = Networks(["10.0.0.0/24"])
    for number in range(256):
        for _ in range(2):
            assert networks.holds(make_exchange(client_ip=f"10.0.0.{number}"))
            assert not networks.holds(make_exchange(client_ip=f"10.0.1.{number}"))

    assert len(networks._known) <= 10


@given(
    st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), min_size=1, max_size=5),
    st.ip_addresses(),
    st.integers(0, 40),
)
def test_networks_hold_what_ipaddress_says(pairs: list[tuple[Any, int]], near: Any, flip: int) -> None:
    networks = [ip_network(f"{at}/{min(bits, at.max_prefixlen)}", strict=False) for at, bits in pairs]
    beside = ip_address(int(pairs[0][0]) ^ (1 << min(flip, pairs[0][0].max_prefixlen - 1)))
    for address in (near, pairs[0][0], beside):
        expected = any(_is_in(address, network) for network in networks)
        assert Networks(map(str, networks)).holds(make_exchange(client_ip=str(address))) == expected


def _is_in(address: IPv4Address | IPv6Address, network: Any) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        network = IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return address in network


# options


@pytest.mark.parametrize(
    ("parts", "message"),
    (
        ({}, "without parts"),
        ({"methods": ()}, "methods is empty"),
        ({"claims": {}}, "claims is empty"),
        ({"claims": {"role": ()}}, r"claims\.role is empty"),
        ({"cidr": (), "methods": ("GET",)}, "cidr is empty"),
        ({"anonymous": True, "roles": ("admin",)}, "anonymous and has roles"),
    ),
)
def test_rules_that_say_nothing(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rule(**parts)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({}, "neither allow nor deny"),
        ({"allow": ()}, "allow lists no rule"),
        ({"deny": (), "allow": (Rule(anonymous=True),)}, "deny lists no rule"),
    ),
)
def test_options_that_decide_nothing(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AccessOptions(**options)


PRINT = "ab" * 32
SHOP = shown(vouched("shop", "shop.test", "spiffe://example.org/ns/shop/sa/web", "https://x.test").der)


def holds_for(certificate: ClientCertificate | None, rule: Rule) -> bool:
    exchange = make_exchange()
    if certificate is not None:
        exchange.client_certificate = certificate
    allowed = AccessRules(AccessOptions(allow=(rule,))).refused_by(exchange) == ""
    assert allowed == (AccessRules(AccessOptions(deny=(rule,))).refused_by(exchange) != "")
    return allowed


@pytest.mark.parametrize(
    ("parts", "holds"),
    (
        ({"common_names": ("web", "shop")}, True),
        ({"common_names": ("Shop",)}, False),
        ({"dns_names": ("SHOP.test",)}, True),
        ({"dns_names": ("test",)}, False),
        ({"uris": ("spiffe://example.org/ns/shop/sa/web",)}, True),
        ({"uris": ("spiffe://example.org/ns/shop",)}, False),
        ({"uris": ("spiffe://example.org/ns/shop/*",)}, True),
        ({"uris": ("spiffe://example.org/ns/sho/*",)}, False),
        ({"uris": ("spiffe://example.org/ns/sho*",)}, False),
        ({"uris": ("*",)}, False),
        ({"fingerprints": (SHOP.fingerprint,)}, True),
        ({"fingerprints": (PRINT,)}, False),
        ({"common_names": ("shop",), "uris": ("spiffe://example.org/*",)}, True),
        ({"common_names": ("web",), "uris": ("spiffe://example.org/*",)}, False),
        ({"common_names": ("shop",), "fingerprints": (PRINT,)}, False),
        ({"common_names": ("shop",), "dns_names": ("web.test",)}, False),
    ),
)
def test_certificates(parts: dict[str, tuple[str, ...]], holds: bool) -> None:
    rule = Rule(certificate=CertificateRule(**parts))
    assert holds_for(SHOP, rule) is holds
    assert not holds_for(None, rule)
    assert not holds_for(shown(vouched("nobody").der), rule)


def test_a_certificate_that_cannot_be_read_lets_nobody_in() -> None:
    rubbish = ClientCertificate(b"rubbish", float("inf"))
    with pytest.raises(ValueError, match="."):
        holds_for(rubbish, Rule(certificate=CertificateRule(common_names=("shop",))))


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({}, "write one such as {uris: "),
        ({"uris": ()}, "uris is empty"),
    ),
)
def test_certificate_rules_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CertificateRule(**options)


@pytest.mark.parametrize("text", (PRINT, PRINT.upper(), ":".join(["AB"] * 32)))
def test_fingerprints_as_tools_print_them(text: str) -> None:
    options = TypeAdapter(AccessOptions).validate_python({"allow": [{"certificate": {"fingerprints": [text]}}]})
    assert options.allow[0].certificate.fingerprints == (PRINT,)


def test_a_fingerprint_that_is_none() -> None:
    with pytest.raises(ValueError, match="is not the SHA-256 of a certificate"):
        TypeAdapter(AccessOptions).validate_python({"allow": [{"certificate": {"fingerprints": ["ab:cd"]}}]})
