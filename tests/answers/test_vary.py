"""One field, every name once."""

from __future__ import annotations

import pytest

from gateway.answers.vary import vary_by
from gateway.testing import Fields, make_head


@pytest.mark.parametrize(
    ("present", "expected"),
    (
        ({}, ["Origin"]),
        ({"Vary": "Accept"}, ["Accept, Origin"]),
        ([("Vary", "Accept"), ("vary", "Cookie")], ["Accept, Cookie, Origin"]),
        ({"Vary": "Accept, ORIGIN"}, ["Accept, ORIGIN"]),
        ({"Vary": "X-Origin"}, ["X-Origin, Origin"]),
        ({"Vary": "*"}, ["*"]),
        ([("Vary", "Accept"), ("Vary", "*")], ["Accept", "*"]),
    ),
)
def test_a_name_is_added_once(present: Fields, expected: list[str]) -> None:
    head = make_head(200, present)

    vary_by(head, "Origin")
    assert head.get_all("vary") == expected
    vary_by(head, "Origin")
    assert head.get_all("vary") == expected
