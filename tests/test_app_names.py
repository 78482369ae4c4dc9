"""What may stand behind `app:`, and what it is called."""

import pytest

from gateway.app_names import checked_reference, upstream_name


@pytest.mark.parametrize("text", ["app:app", "bff.web.handlers:make_app", "a_1.b:c"])
def test_a_reference(text: str) -> None:
    assert checked_reference(text) == text
    assert upstream_name(text) == f"app:{text}"


@pytest.mark.parametrize(
    "text", ["", "app", "app:", ":app", "a.b:c.d", "a/b.py:app", "a..b:app", "a:b:c", "a b:c", "a-b:c"]
)
def test_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is not module:attribute; write one such as bff.web.handlers:app"):
        checked_reference(text)
