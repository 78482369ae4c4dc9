"""The effective configuration: defaults shown, units as text, secrets masked, the shape of the file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.dump import dump
from gateway.config.load import Loaded, load
from gateway.units import Duration, Secret

FIVE_SECONDS = Duration("5s")


@dataclass(frozen=True)
class Options:
    key: Secret
    sleep: Duration = FIVE_SECONDS
    hosts: tuple[str, ...] = ()
    for_: Duration = FIVE_SECONDS


def loaded(folder: Path, text: str) -> Loaded:
    (folder / "routes.yaml").write_text("version: 1\n" + text)
    result = load(folder / "routes.yaml", {})
    assert result.problems == ()
    return result


def dumped(folder: Path, text: str, **options: type | None) -> dict[str, Any]:
    result = loaded(folder, text)
    assert result.spec is not None
    return dump(result.spec, options, result.secrets)


def test_defaults_units_and_aliases(tmp_path: Path) -> None:
    data = dumped(
        tmp_path,
        "trusted_proxies: [10.0.0.0/8]\nroutes: [{name: r, respond: {json: {a: 1}}}]\nlimits: {request_body: 1MiB}",
    )
    assert data["timeouts"] == {
        "request_head": "10s",
        "request_body": "30s",
        "idle": "75s",
        "drain": "30s",
        "grace": "0s",
    }
    assert data["limits"]["request_body"] == "1MiB"
    (listener,) = data["listeners"]
    assert (listener["bind"], listener["half_close"], listener["proxy_protocol"]) == ("0.0.0.0:8080", "abort", [])
    assert data["trusted_proxies"] == ["10.0.0.0/8"]
    assert data["routes"][0]["respond"]["json"] == {"a": 1}
    assert json.loads(json.dumps(data)) == data


def test_plugin_options_are_shown_with_defaults_and_without_secrets(tmp_path: Path) -> None:
    text = (
        "plugins: [{jwt: {key: hunter2}}, plain, {other: {x: 1}}]\n"
        "routes: [{name: r, respond: {}, plugins: [jwt: {key: k}]}]"
    )
    data = dumped(tmp_path, text, jwt=Options, plain=None)
    shown = {"key": "***", "sleep": "5s", "hosts": [], "for": "5s"}
    assert data["plugins"] == [{"jwt": shown}, "plain", {"other": {"x": 1}}]
    assert data["routes"][0]["plugins"] == [{"jwt": shown}]


def test_secrets_are_masked_wherever_they_occur(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    text = (
        "admin: {token: swordfish}\nplugins: [{other: {x: ['Bearer ${file:secret}']}}]\n"
        "routes: [{name: r, respond: {text: '${file:secret}'}}]"
    )
    shown = json.dumps(dumped(tmp_path, text))
    assert "hunter2" not in shown
    assert "swordfish" not in shown
    assert shown.count("***") == 3
