"""The configurations that the bench reloads: all are right, each is another, and what lasts is in all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.offline import compile_offline
from loadtest.bench.peers import template_values, write_config
from loadtest.bench.process import ROOT
from loadtest.bench.reloads import ROUTES, configuration


@pytest.mark.parametrize("websockets", ["app", "proxied"])
def test_every_configuration_is_right(tmp_path: Path, websockets: str) -> None:
    path = tmp_path / "gateway.yaml"
    (tmp_path / "long_lived.py").write_bytes((ROOT / "loadtest/long_lived.py").read_bytes())
    specs = []
    for number in (0, 1, 7):
        routes, upstreams = configuration(number, 21001, 21002, websockets)
        values = template_values(tmp_path, 21003, 21004, 21002)
        write_config(path, "full", {**values, "ROUTES": routes, "UPSTREAMS": upstreams})
        compiled = compile_offline(path)
        assert compiled.generation is not None, compiled.problems
        assert not compiled.problems
        specs.append(compiled.generation.spec)
    for spec in specs:
        assert sum(route.name.startswith("r") for route in spec.routes) == ROUTES
        assert spec.upstreams["lasting"] == specs[0].upstreams["lasting"]
        assert spec.plugins == specs[0].plugins
    one, other = specs[:2]
    assert set(one.upstreams) != set(other.upstreams)
    assert {route.name for route in one.routes} != {route.name for route in other.routes}
    changed = [a.name for a, b in zip(one.routes, other.routes, strict=True) if (a.to, a.plugins) != (b.to, b.plugins)]
    assert len(changed) >= ROUTES
