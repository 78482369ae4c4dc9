"""What clients say of codings, and what they get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.accept_encoding import FIELDS_KEPT, LONGEST, ContentNegotiation, choose_coding

OFFERED = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("field", "expected"),
    (
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("X-GZIP;q=0.5", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("deflate", "identity"),
        ("", "identity"),
        (" , ", "identity"),
        ("identity", "identity"),
        ("*", "zstd"),
        ("*;q=0", "identity"),
        ("*;q=0, gzip", "gzip"),
        ("*;q=0.5, gzip", "gzip"),
        ("zstd;q=0, *", "br"),
        ("zstd;q=0, br;q=0, gzip;q=0, *", "identity"),
        # weights
        ("zstd;q=0.5, gzip", "gzip"),
        ("zstd;q=0.8, br;q=0.8, gzip;q=0.7", "zstd"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.000", "identity"),
        ("gzip;q=0.001", "gzip"),
        ("gzip ; Q=0.5\t,br;q=0.4", "gzip"),
        ("gzip;q=1.000, br;q=0.999", "gzip"),
        # the same without a coding
        ("gzip;q=0.5, identity", "identity"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.6", "identity"),
        ("*;q=0.5, identity", "identity"),
        ("zstd;q=0.1, br;q=0.2, gzip;q=0.3, *;q=0.4", "identity"),
        ("identity;q=0", "identity"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0, *;q=0.1", "zstd"),
        # what is malformed says nothing
        ("gzip;q=2", "identity"),
        ("gzip;q=-1", "identity"),
        ("gzip;q=.5", "identity"),
        ("gzip;q=1.1", "identity"),
        ("gzip;q=", "identity"),
        ("gzip;x=1", "identity"),
        ("gzip br", "identity"),
        ("gzip;q=nan, br", "br"),
        ('"gzip", br', "br"),
        ("gzip;q=0.5;q=1, br;q=0.1", "br"),
        # twice
        ("gzip, x-gzip;q=0", "identity"),
        ("gzip;q=0, gzip", "gzip"),
    ),
)
def test_the_coding_that_a_client_gets(field: str, expected: str) -> None:
    assert choose_coding(field, OFFERED) == expected
    assert ContentNegotiation(OFFERED).choose((field.encode(),)) == expected


def test_the_gateways_order_decides_among_equals() -> None:
    assert choose_coding("gzip, br", ("gzip", "br")) == "gzip"
    assert choose_coding("gzip, br", ("br", "gzip")) == "br"
    assert choose_coding("zstd, br;q=0.1", ("gzip", "br")) == "br"


WEIGHTS = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
CODINGS = st.sampled_from([*OFFERED, "identity", "*", "deflate"])


@given(st.dictionaries(CODINGS, WEIGHTS), st.permutations(OFFERED))
def test_nothing_is_liked_better_than_what_a_client_gets(weights: dict[str, float], offered: list[str]) -> None:
    chosen = choose_coding(", ".join(f"{name};q={weight:.3f}" for name, weight in weights.items()), offered)

    weight = weights.get(chosen, weights.get("*", 0))
    named = [weights.get(coding, weights.get("*", 0)) for coding in offered]
    if chosen == "identity":
        assert max(named) == 0 or max(named) < weight
    else:
        assert weight > 0
        assert weight == max([*named, weights.get("identity", weights.get("*", 0))])
        assert all(weights.get(other, weights.get("*", 0)) < weight for other in offered[: offered.index(chosen)])


@given(st.text('gzip*;q=01. ,\t"br\xff', max_size=60))
def test_any_field_can_be_read(field: str) -> None:
    assert choose_coding(field, OFFERED) in (*OFFERED, "identity")


def test_lines_are_one_list() -> None:
    negotiation = ContentNegotiation(OFFERED)

    assert negotiation.choose(()) == "identity"
    assert negotiation.choose((b"gzip", b"br;q=0.5")) == "gzip"
    assert negotiation.choose((b"gzip;q=0.4", b"br;q=0.5")) == "br"


def test_a_field_that_is_too_long_is_neither_read_nor_remembered() -> None:
    negotiation = ContentNegotiation(OFFERED)
    long = b"gzip" + b"," * (LONGEST - 3)

    assert choose_coding(long.decode(), OFFERED) == "gzip"
    assert negotiation.choose((long,)) == "identity"
    assert len(negotiation) == 0
    assert negotiation.choose((long[:-1],)) == "gzip"


def test_what_is_remembered_is_right_and_bounded() -> None:
    negotiation = ContentNegotiation(OFFERED)
    for number in range(2 * FIELDS_KEPT):
        assert negotiation.choose((b"x%d, br" % number,)) == "br"
        assert negotiation.choose((b"gzip",)) == "gzip"

    assert len(negotiation) <= FIELDS_KEPT
