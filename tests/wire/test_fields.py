"""Single header fields: what HTTP allows, and what is the gateway's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.fields import FRAMING, KEYS_KEPT, checked_field, field_line, tokens


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """No name is known before, and none is left behind."""
    fresh: dict[str, bytes] = {}
    monkeypatch.setattr("gateway.wire.fields.FIELD_KEYS", fresh)
    return fresh


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nb"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "\x7f"),
        ("X", "é\r\n"),
        ("X", "✓\n"),
        ("X", "\x85\x1f"),
        ("", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("X\r\n", "a"),
        ("é", "a"),
        ("✓", "a"),
    ],
)
def test_field_that_http_does_not_allow(name: str, value: str) -> None:
    for known in (False, True):
        with pytest.raises(ValueError, match="header name|control character"):
            checked_field(name, value)
        with pytest.raises(ValueError, match="header name|control character"):
            field_line(name, value)
        if not known:
            field_line("X", "a")


@pytest.mark.parametrize(
    ("value", "encoded"), [("a\tb", b"a\tb"), ("", b""), ("é", b"\xe9"), ("✓", "✓".encode()), ("a b", b"a b")]
)
def test_field_that_passes(value: str, encoded: bytes) -> None:
    assert checked_field("X", value) == (b"X", encoded)
    assert field_line("X", value) == b"X: " + encoded + b"\r\n"
    assert field_line("X", value) == b"X: " + encoded + b"\r\n", "the second time too"


@pytest.mark.parametrize("name", sorted(FRAMING))
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes.title])
def test_field_that_frames_a_message_is_the_gateways_own(
    name: bytes, spelled: Callable[[bytes], bytes], keys: dict[str, bytes]
) -> None:
    with pytest.raises(ValueError, match="the gateway's own"):
        field_line(spelled(name).decode(), "1")
    assert not keys


def test_good_name_is_known_in_its_spelling_from_then_on(keys: dict[str, bytes]) -> None:
    field_line("X-User", "a")
    field_line("x-user", "a")
    assert keys == {"X-User": b"x-user", "x-user": b"x-user"}
    with pytest.raises(ValueError, match="control"):
        field_line("X-Bad", "\r\n")
    assert len(keys) == 2


def test_known_names_are_bounded(keys: dict[str, bytes]) -> None:
    for number in range(KEYS_KEPT + 10):
        assert field_line(f"X-{number}", "a") == b"X-%d: a\r\n" % number
    assert len(keys) == KEYS_KEPT


@given(st.text(max_size=4), st.text(max_size=6))
def test_line_is_one_line_whatever_it_is_made_of(name: str, value: str) -> None:
    try:
        line = field_line(f"X{name}", value)
    except ValueError:
        return
    assert line.startswith(b"X" + name.encode() + b": ")
    assert line.endswith(b"\r\n")
    assert not {0, 10, 13} & set(line[:-2])


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], set()),
        ([b""], set()),
        ([b" , ,\t"], set()),
        ([b"close"], {b"close"}),
        ([b"Keep-Alive,  X-A\t,x-a"], {b"keep-alive", b"x-a"}),
        ([b"a", b"B, c"], {b"a", b"b", b"c"}),
    ],
)
def test_tokens(values: list[bytes], members: set[bytes]) -> None:
    assert tokens(values) == members
