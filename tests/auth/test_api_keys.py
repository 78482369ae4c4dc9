"""Keys are found by their digests, as long as they hold; mistakes in them are told without showing one."""

from __future__ import annotations

import hmac
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.auth.api_keys as api_keys
from gateway.auth.api_keys import LONGEST_KEY, ApiKey, ApiKeyOptions, KeyRing, expiry, read_keys
from gateway.limits.rate import Rate
from gateway.units import Secret

KEY = "Zk3-this-is-long-and-random-enough"
NEW_YEAR = 1_798_761_600.0  # 2027-01-01T00:00:00Z


def hashed(key: str) -> Secret:
    return Secret("sha256:" + sha256(key.encode()).hexdigest())


def key(text: str = KEY, consumer: str = "shop", **fields: Any) -> ApiKey:
    return ApiKey(hashed(text), consumer, **fields)


def test_a_key_is_its_consumers() -> None:
    ring = KeyRing([key(scopes=("items:read", "items:write")), key("other", "office")], "X-Consumer")
    grant = ring.find(KEY, 0.0)

    assert grant is not None
    assert (grant.consumer, grant.fields) == ("shop", (("X-Consumer", "shop"),))
    assert grant.claims == {"consumer": "shop", "scope": "items:read items:write"}
    other = ring.find("other", 0.0)
    assert other is not None
    assert (other.consumer, other.claims) == ("office", {"consumer": "office", "scope": ""})


def test_services_need_not_be_told() -> None:
    grant = KeyRing([key()]).find(KEY, 0.0)

    assert grant is not None
    assert grant.fields == ()


@pytest.mark.parametrize(
    "given",
    (
        "",
        " ",
        "\0",
        KEY + "\0",
        "\0" + KEY,
        KEY + " ",
        KEY.lower(),
        KEY.upper(),
        KEY[:-1],
        KEY + KEY,
        f"{KEY}, {KEY}",
        f'"{KEY}"',
        f"Bearer {KEY}",
        "%5A" + KEY[1:],
        hashed(KEY).reveal(),
        hashed(KEY).reveal().removeprefix("sha256:"),
        sha256(KEY.encode()).digest().decode("latin-1"),
        "k" * 100_000,
        "\xff" * 20,
    ),
)
def test_what_is_not_exactly_the_key_is_unknown(given: str) -> None:
    assert KeyRing([key()]).find(given, 0.0) is None


@given(st.text(st.characters(max_codepoint=255), max_size=64))
def test_only_the_key_is_the_key(given: str) -> None:
    assert (KeyRing([key()]).find(given, 0.0) is not None) == (given == KEY)


def test_a_key_of_other_bytes_is_hashed_as_it_was_sent() -> None:
    assert KeyRing([key("schlüssel")]).find("schlüssel".encode().decode("latin-1"), 0.0) is not None


def test_a_key_too_long_is_not_even_hashed() -> None:
    long = "k" * (LONGEST_KEY + 1)

    assert KeyRing([key(long)]).find(long, 0.0) is None
    assert KeyRing([key(long[1:])]).find(long[1:], 0.0) is not None


def test_known_and_unknown_keys_are_compared_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(given)
        return hmac.compare_digest(known, given)

    monkeypatch.setattr(api_keys, "compare_digest", compare)
    ring = KeyRing([key()])
    ring.find(KEY, 0.0)
    ring.find("unknown", 0.0)

    assert compared == [sha256(KEY.encode()).digest(), sha256(b"unknown").digest()]


def test_a_key_ends_at_its_time() -> None:
    ring = KeyRing([key(expires="2027-01-01"), key("second")])

    assert ring.find(KEY, NEW_YEAR - 0.001) is not None
    assert ring.find(KEY, NEW_YEAR) is None
    assert ring.find("second", NEW_YEAR) is not None


@pytest.mark.parametrize(
    ("text", "moment"),
    (
        (None, inf),
        ("2027-01-01", NEW_YEAR),
        ("2027-01-01T00:00:00Z", NEW_YEAR),
        ("2027-01-01t02:30z", NEW_YEAR + 9000),
        ("2027-01-01T02:30:00+02:30", NEW_YEAR),
    ),
)
def test_expiry(text: str | None, moment: float) -> None:
    assert expiry(text) == moment


@pytest.mark.parametrize(
    "text",
    ("", "tomorrow", "2027", "2027-02-31", "01.01.2027", "20270101", "2027-W01-1", "2027-01-01T12:00", "２027-01-01"),
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="no date; write one such as 2027-01-01"):
        key(expires=text)


@pytest.mark.parametrize(
    "text",
    (KEY, "sha256:" + KEY, "sha256:" + "a" * 63, "md5:" + "a" * 32, "a" * 64, "sha256:" + "a" * 64 + "\n"),
)
def test_what_is_no_hash_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="sha256sum") as caught:
        ApiKey(Secret(text), "shop")

    assert text not in str(caught.value)


def test_a_digest_may_be_in_capitals() -> None:
    capitals = Secret("sha256:" + sha256(KEY.encode()).hexdigest().upper())

    assert KeyRing([ApiKey(capitals, "shop")]).find(KEY, 0.0) is not None


@pytest.mark.parametrize("consumer", ("", "a b", "a\r\nb", "ü", "a:b", "a" * 129))
def test_what_is_no_consumer(consumer: str) -> None:
    with pytest.raises(ValueError, match="no name of a consumer"):
        key(consumer=consumer)


@pytest.mark.parametrize("scope", ("", "a b", 'a"b', "a\\b", "ä"))
def test_what_is_no_scope(scope: str) -> None:
    with pytest.raises(ValueError, match="no scope"):
        key(scopes=(scope,))


def test_a_key_is_there_once() -> None:
    with pytest.raises(ValueError, match="a key of office is there twice, the other one for shop"):
        KeyRing([key(), key(consumer="office")])


def test_the_quota_is_the_consumers() -> None:
    rate, other = Rate.parse("10/d"), Rate.parse("20/d")

    assert KeyRing([key(quota=rate), key("second", quota=rate), key("third", "office")]).quotas == {"shop": rate}
    for quota in (None, other):
        with pytest.raises(ValueError, match="keys of shop have different quotas"):
            KeyRing([key(quota=rate), key("second", quota=quota)])


def test_no_repr_shows_a_hash() -> None:
    assert hashed(KEY).reveal()[7:] not in repr(ApiKeyOptions(keys=(key(),)))


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({}, "no key would be known"),
        ({"file": "k", "header": "Host"}, "gateway's own"),
        ({"file": "k", "header": "X-Consumer"}, "every client's request"),
        ({"file": "k", "headers": {"consumer": "x_api_key"}}, "every client's request"),
    ),
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ApiKeyOptions(**options)


def test_a_file_of_keys(tmp_path: Path) -> None:
    text = (
        f"keys:\n  - {{hash: '{hashed(KEY).reveal()}', consumer: shop, scopes: [a], expires: 2027-01-01, quota: 5/m}}\n"
    )
    (tmp_path / "keys.yaml").write_text(text)

    assert read_keys(tmp_path, "keys.yaml") == (key(scopes=("a",), expires="2027-01-01", quota=Rate.parse("5/m")),)


@pytest.mark.parametrize(
    ("text", "messages"),
    (
        ("", ["keys.yaml:1:1: the file is empty"]),
        ("[]", ["keys.yaml:1:1"]),
        ("keys:\n", ["keys: is empty"]),
        ("key: []\n", ["keys.yaml:1:1", "keys"]),
        (f"keys:\n  - {{hash: {KEY}, consumer: shop}}\n", ["keys.yaml:2:5", "sha256sum"]),
        (
            f"keys:\n  - {{consumer: shop}}\n  - {{hash: '{hashed(KEY).reveal()}', consumer: a b}}\n",
            ["keys.yaml:2:5: missing key 'hash'", "keys.yaml:3:5", "no name of a consumer"],
        ),
        (f"keys:\n  - {{hash: '{hashed(KEY).reveal()}', consumer: shop, key: {KEY}}}\n", ["unknown key 'key'"]),
        ("keys: [\n", ["keys.yaml:1:8"]),
        ("keys: \x00", ["keys.yaml"]),
    ),
)
def test_mistakes_in_the_file_have_their_places(tmp_path: Path, text: str, messages: list[str]) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"keys\.yaml") as caught:
        read_keys(tmp_path, "keys.yaml")

    assert [message for message in messages if message not in str(caught.value)] == []
    assert KEY not in str(caught.value)
