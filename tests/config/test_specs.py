"""The specs hold the documented defaults, are frozen, and take scalars strictly."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.config import specs
from gateway.config.fields import Bind
from gateway.config.plugin_use import PluginUse
from gateway.config.specs import ConfigSpec, RouteSpec, TargetSpec
from gateway.config.upstream_specs import EndpointSpec, UpstreamSpec

MINIMAL: dict[str, Any] = {
    "version": 1,
    "upstreams": {"a": {"endpoints": ["http://127.0.0.1:9001"]}},
    "routes": [{"name": "r", "to": "a"}],
}


def test_defaults_are_those_of_the_contract() -> None:
    spec = ConfigSpec.model_validate(MINIMAL)
    assert (spec.name, spec.forwarded, spec.plugins, spec.include, spec.tests) == ("gateway", "x-forwarded", (), (), ())
    assert [listener.bind for listener in spec.listeners] == [Bind("0.0.0.0", 8080)]
    assert spec.listeners[0].half_close == "abort"
    assert (spec.admin.bind, spec.admin.token) == (Bind("127.0.0.1", 9901), None)
    limits, timeouts = spec.limits, spec.timeouts
    assert (limits.request_head, limits.header_count, limits.request_body) == (32 << 10, 128, 10 << 20)
    assert limits.connections == 20_000
    assert (timeouts.request_head, timeouts.request_body, timeouts.idle, timeouts.drain) == (10.0, 30.0, 75.0, 30.0)
    upstream = spec.upstreams["a"]
    assert (upstream.balance, upstream.host, upstream.forwarded) == ("round_robin", "client", None)
    assert (upstream.timeouts.connect, upstream.timeouts.response, upstream.timeouts.body) == (1.0, 30.0, 30.0)
    assert upstream.timeouts.total is None
    pool = upstream.pool
    assert (pool.max_connections, pool.max_queue) == (256, 1024)
    assert (pool.queue_timeout, pool.idle, pool.max_age) == (0.5, 60.0, 600.0)


def test_a_route_without_match_is_for_everything() -> None:
    match = ConfigSpec.model_validate(MINIMAL).routes[0].match
    assert (match.host, match.path, match.methods, match.headers, match.query) == (None, "/**", None, {}, {})


def test_short_forms_become_long_ones() -> None:
    route = RouteSpec.model_validate({"name": "r", "to": "a", "plugins": ["x", {"y": {"z": 1}}]})
    assert route.to == (TargetSpec(upstream="a", weight=1),)
    assert route.plugins == (PluginUse("x"), PluginUse("y", {"z": 1}))
    upstream = UpstreamSpec.model_validate({"endpoints": ["http://[::1]:80", {"url": "http://B", "weight": 2}]})
    assert [(endpoint.address, endpoint.weight) for endpoint in upstream.endpoints] == [("[::1]:80", 1), ("b:80", 2)]


def test_an_endpoint_has_host_and_port() -> None:
    endpoint = EndpointSpec(url="http://127.0.0.1:9001")
    assert (endpoint.host, endpoint.port, endpoint.address) == ("127.0.0.1", 9001, "127.0.0.1:9001")


def test_json_bodies_have_another_attribute() -> None:
    assert specs.RespondSpec.model_validate({"json": {"a": 1}}).json_body == {"a": 1}
    with pytest.raises(ValidationError):
        specs.RespondSpec.model_validate({"json_body": 1})


@pytest.mark.parametrize(
    ("model", "data"),
    (
        (ConfigSpec, {"version": True}),
        (ConfigSpec, {"version": 1.0}),
        (ConfigSpec, {"version": 2}),
        (specs.LimitsSpec, {"header_count": True}),
        (specs.LimitsSpec, {"header_count": "5"}),
        (specs.LimitsSpec, {"header_count": 5.0}),
        (specs.LimitsSpec, {"header_count": 0}),
        (specs.RedirectSpec, {"to": "/a", "status": 300}),
        (specs.RedirectSpec, {"to": "/a", "status": 301.0}),
        (specs.RespondSpec, {"status": 199}),
        (specs.RespondSpec, {"status": 600}),
        (specs.UpstreamSpec, {"endpoints": []}),
        (specs.UpstreamSpec, {"endpoints": ["http://a"], "balance": "fastest"}),
        (specs.TargetSpec, {"upstream": "a", "weight": -1}),
        (specs.MatchSpec, {"methods": []}),
        (specs.MatchSpec, {"query": {"v": "~["}}),
        (specs.EditSpec, {"add": {"x": 1}}),
        (specs.HeaderEditSpec, {"remove": ["a b"]}),
        (specs.TimeoutsSpec, {"idle": "0s"}),
        (specs.RouteSpec, {"name": "r", "to": []}),
    ),
)
def test_refused(model: type[BaseModel], data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(data)


def test_specs_do_not_change() -> None:
    spec = ConfigSpec.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]


def test_every_field_is_described() -> None:
    models = [model for model in vars(specs).values() if isinstance(model, type) and issubclass(model, specs.Spec)]
    assert len(models) > 15
    for model in models:
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_permissions_of_a_unix_socket() -> None:
    listener = specs.ListenerSpec.model_validate({"bind": "unix:/run/a", "mode": "0660"})
    assert (listener.bind.mode, listener.bind) == (0o660, Bind("", 0, "/run/a"))
    for bind in (":80", "unix:@a"):
        with pytest.raises(ValidationError, match="mode is for a Unix socket with a path"):
            specs.AdminSpec.model_validate({"bind": bind, "mode": "0660"})
