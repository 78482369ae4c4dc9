"""The options of basic_auth."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.basic_options import BasicAuthOptions


def test_defaults() -> None:
    options = BasicAuthOptions("users")

    assert (options.realm, options.optional, options.forward, options.headers) == (
        None,
        False,
        False,
        {"user": "X-User"},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"realm": 'a"b'}, "no realm"),
        ({"realm": ""}, "no realm"),
        ({"headers": {"user": "Authorization"}}, "every client's request"),
        ({"headers": {"user": "X User"}}, "no header name"),
    ),
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BasicAuthOptions("users", **options)
