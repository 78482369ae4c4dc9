"""An endpoint that has just come back gets less than its part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.slow_start import SCALE, warmed_weight


@pytest.mark.parametrize(
    ("weight", "age", "window", "warmed"),
    [
        (1, 0.0, 30.0, 10),
        (1, 3.0, 30.0, 10),
        (1, 15.0, 30.0, 50),
        (1, 29.9, 30.0, 100),
        (1, 30.0, 30.0, 100),
        (1, 1e9, 30.0, 100),
        (7, 15.0, 30.0, 350),
        (3, -1.0, 30.0, 30),
        (3, 0.0, 0.0, 300),
        (3, -1.0, 0.0, 300),
    ],
)
def test_warmed_weight(weight: int, age: float, window: float, warmed: int) -> None:
    assert warmed_weight(weight, age, window) == warmed


@pytest.mark.parametrize(("smallest", "warmed"), [(0.5, 50), (0.0, 1), (0.001, 1), (1.0, 100)])
def test_the_smallest_share(smallest: float, warmed: int) -> None:
    assert warmed_weight(1, 0.0, 10.0, smallest) == warmed


@given(st.integers(1, 100), st.floats(-1, 100), st.floats(0, 100), st.floats(0, 60), st.floats(0, 1))
def test_it_grows_to_the_full_weight(weight: int, age: float, more: float, window: float, smallest: float) -> None:
    before, after = (warmed_weight(weight, at, window, smallest) for at in (age, age + more))
    assert 1 <= before <= after <= weight * SCALE
    assert warmed_weight(weight, window, window, smallest) == weight * SCALE
