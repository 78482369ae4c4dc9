"""Steps are done in their order, on exact numbers."""

from __future__ import annotations

import pytest

from gateway.shaping.shape import compile_steps, reshape


def test_pick_comes_first() -> None:
    steps = compile_steps("{items: items[:2], total: total}", {"items.sku": "code"}, ["items.internal"])
    data = b'{"items": [{"sku": 1.50, "internal": 2}, {"sku": 12345678901234567890123}, {}], "total": -0, "x": 1}'

    assert reshape(data, steps) == b'{"items":[{"code":1.50},{"code":12345678901234567890123}],"total":-0}'


def test_what_is_not_given_is_not_done() -> None:
    assert compile_steps(None, {}, []) == ()
    assert reshape(b'{"a": 1E5}', ()) == b'{"a":1E5}'


@pytest.mark.parametrize(
    ("pick", "rename", "remove", "message"),
    [("a b", {}, [], "character 3"), (None, {"a": "b"}, ["a"], "both renamed and removed"), (None, {}, ["."], "path")],
)
def test_what_cannot_be_read(pick: str | None, rename: dict[str, str], remove: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_steps(pick, rename, remove)


@pytest.mark.parametrize("data", [b"", b"{", b'{"hunter2": 1, "hunter2": 2}', b'{"a": "hunter2"}'])
def test_what_does_not_fit(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|members|abs\(\) takes number") as refused:
        reshape(data, compile_steps("abs(a)", {}, []))

    assert "hunter2" not in str(refused.value)
