"""An endpoint that has just come back gets less than its part."""

from __future__ import annotations

# So fine are the steps of a weight of 1. All endpoints have it, the warm ones too, so that weights compare.
SCALE = 100


def warmed_weight(weight: int, age: float, window: float, smallest: float = 0.1) -> int:
    """`weight` times SCALE, and of that the share `age` / `window` (seconds) while the endpoint is younger than
    `window`, but not less than the share `smallest`. At least 1. Envoy's slow start with its aggression of 1."""
    if window <= 0 or age >= window:
        return weight * SCALE
    return max(1, round(weight * SCALE * max(smallest, age / window)))
