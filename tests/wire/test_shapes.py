"""What a sequence of names settles, and which names pass."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.headers import FORGEABLE, NEVER_UPSTREAM
from gateway.wire.shapes import (
    BLOCK_KEPT,
    FIELDS_KEPT,
    LINE_KEPT,
    LINES_KEPT,
    RESPONSES,
    SHAPES_KEPT,
    HeaderPolicy,
    Shape,
    request_policy,
)

DROPPED = st.sampled_from([b"Connection", b"TE", b"upgrade", b"Transfer-Encoding"])
KEPT = st.sampled_from([b"Host", b"HOST", b"X-A", b"x-a", b"Date", b"Content-Length", b"Expect"])
ODD = st.text("abAB%-_0s", min_size=1, max_size=6).map(str.encode)
FIELDS = st.lists(st.tuples(DROPPED | KEPT | ODD, st.binary(max_size=8)), max_size=8)


@given(FIELDS)
@example([(b"x%s", b"%d"), (b"%", b"%%")])
@example([])
@example([(b"X", b"1")])
@example([(b"TE", b"1"), (b"X", b"2")])
def test_template_writes_exactly_the_kept_fields_in_order(fields: list[tuple[bytes, bytes]]) -> None:
    shape = Shape(tuple(name for name, _ in fields), RESPONSES.drops)
    kept = [field for field in fields if not RESPONSES.drops(field[0])]
    picked = shape.pick([value for _, value in fields])
    assert picked == tuple(value for _, value in kept)
    assert shape.template % picked == b"".join(name + b": " + value + b"\r\n" for name, value in kept)


@given(FIELDS)
def test_names_are_found_where_they_stand(fields: list[tuple[bytes, bytes]]) -> None:
    names = tuple(name for name, _ in fields)
    shape = Shape(names, RESPONSES.drops)
    places: dict[bytes, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name.lower(), []).append(place)
    visible = {name: found for name, found in places.items() if not RESPONSES.drops(name)}
    telling = {name: tuple(found) for name, found in places.items() if name in Shape.TELLING}
    assert shape.index == {name: found[0] for name, found in visible.items()}
    assert shape.repeats == {name: tuple(found) for name, found in visible.items() if len(found) > 1}
    assert shape.telling == telling
    assert shape.host_at == places.get(b"host", [-1])[0]
    assert shape.length_at == places.get(b"content-length", [-1])[0]
    assert shape.plain is (not Shape.STEERING & places.keys() and all(len(found) == 1 for found in telling.values()))


@pytest.mark.parametrize(
    ("trusted", "name", "drops"),
    [
        (False, b"X-Forwarded-For", True),
        (False, b"x_forwarded_port", True),
        (False, b"X-FORWARDED_HOST", True),
        (False, b"Forwarded", True),
        (False, b"TraceParent", True),
        (False, b"X-Real-Ip", True),
        (False, b"Cookie", False),
        (False, b"X-Forwarded", False),
        (True, b"X-Forwarded-For", False),
        (True, b"traceparent", False),
        (True, b"Proxy", True),
        (False, b"PROXY", True),
        (True, b"X-User", True),
        (False, b"x_user", True),
        (True, b"Transfer-Encoding", True),
        (True, b"TE", True),
        (True, b"Upgrade", True),
        (True, b"Host", False),
        (True, b"Content-Length", False),
        (True, b"Expect", False),
    ],
)
def test_what_of_a_request_passes(trusted: bool, name: bytes, drops: bool) -> None:
    assert request_policy(trusted, ["X-User"]).drops(name) is drops


@pytest.mark.parametrize("name", [b"X-Forwarded-", b"x-forwarded-", b"X_Forwarded-Anything", b"x-forwarded_x"])
def test_everything_that_begins_like_forwarded_is_for_the_trusted(name: bytes) -> None:
    assert request_policy(False).drops(name)
    assert not request_policy(True).drops(name)


@pytest.mark.parametrize("name", sorted(FORGEABLE))
def test_spelling_with_underscores_is_no_way_round(name: bytes) -> None:
    for spelling in (name, name.upper(), name.replace(b"-", b"_"), name.title().replace(b"-", b"_", 1)):
        assert request_policy(False).drops(spelling)
        assert not request_policy(True).drops(spelling)


@pytest.mark.parametrize("identity", ["X-User-Id", "x_user_id", "X-USER_ID"])
@pytest.mark.parametrize("name", [b"X-User-Id", b"x_user_id", b"X_USER-ID"])
@pytest.mark.parametrize("trusted", [True, False])
def test_identity_headers_are_dropped_in_every_spelling(identity: str, name: bytes, trusted: bool) -> None:
    assert request_policy(trusted, [identity]).drops(name)
    assert not request_policy(trusted).drops(name)


@pytest.mark.parametrize("name", sorted(NEVER_UPSTREAM))
@pytest.mark.parametrize("trusted", [True, False])
def test_what_never_passes_never_passes(name: bytes, trusted: bool) -> None:
    assert request_policy(trusted).drops(name.title())


@pytest.mark.parametrize("name", [b"Keep-Alive", b"trailer", b"Proxy-Connection"])
def test_answers_lose_what_is_for_one_hop(name: bytes) -> None:
    assert RESPONSES.drops(name)
    assert not RESPONSES.drops(b"X-Forwarded-For")


def test_also_dropping_adds_to_the_rule() -> None:
    drops = request_policy(False).also_dropping({b"x-a"})
    assert [name for name in (b"X-A", b"x_a", b"X-B", b"TE", b"Forwarded") if drops(name)] == [
        b"X-A",
        b"TE",
        b"Forwarded",
    ]
    assert not request_policy(False).drops(b"X-A")


def test_shape_is_made_once() -> None:
    policy = HeaderPolicy(())
    assert policy.shape([b"A", b"B"]) is policy.shape((b"A", b"B"))
    assert policy.shape([b"B", b"A"]) is not policy.shape([b"A", b"B"])
    assert policy.shape([b"a", b"B"]).names == (b"a", b"B")


def test_shapes_are_bounded() -> None:
    policy = HeaderPolicy(())
    for number in range(SHAPES_KEPT):
        policy.shape((b"X-%d" % number,))
    assert len(policy.shapes) == SHAPES_KEPT
    policy.shape((b"X-next",))
    assert list(policy.shapes) == [(b"X-next",)]


@pytest.mark.parametrize("names", [[b"X"] * (FIELDS_KEPT + 1), [b"X" * 2049], [b"X" * 1025] * 2])
def test_unusually_long_shapes_serve_and_are_not_kept(names: list[bytes]) -> None:
    policy = HeaderPolicy(())
    assert policy.shape(names).names == tuple(names)
    assert not policy.shapes


@pytest.mark.parametrize("names", [[b"X"] * FIELDS_KEPT, [b"X" * 2048]])
def test_shapes_at_the_limit_are_kept(names: list[bytes]) -> None:
    policy = HeaderPolicy(())
    assert policy.shape(names) is policy.shapes[tuple(names)]


def test_remembered_blocks_are_bounded() -> None:
    policy = HeaderPolicy(())
    for number in range(SHAPES_KEPT):
        policy.remember(b"%d" % number, number)
    assert (len(policy.blocks), policy.blocks[b"7"]) == (SHAPES_KEPT, 7)
    policy.remember(b"next", "block")
    assert policy.blocks == {b"next": "block"}
    policy.remember(b"a" * BLOCK_KEPT, "long")
    policy.remember(b"a" * (BLOCK_KEPT + 1), "too long")
    assert list(policy.blocks.values()) == ["block", "long"]


def test_remembered_targets_are_bounded() -> None:
    policy = HeaderPolicy(())
    for number in range(LINES_KEPT):
        policy.remember_target(b"%d" % number, ("GET", f"/{number}"))
    assert (len(policy.targets), policy.targets[b"7"]) == (LINES_KEPT, ("GET", "/7"))
    policy.remember_target(b"next", ("GET", "/next"))
    assert policy.targets == {b"next": ("GET", "/next")}
    policy.remember_target(b"a" * LINE_KEPT, ("GET", "/long"))
    policy.remember_target(b"a" * (LINE_KEPT + 1), ("GET", "/too-long"))
    assert [target for _, target in policy.targets.values()] == ["/next", "/long"]
