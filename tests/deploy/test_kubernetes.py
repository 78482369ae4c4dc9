"""The manifests of deploy/kubernetes: ports, probes, grace and names fit one another and the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from gateway.config.load import load
from gateway.config.specs import ConfigSpec
from tests.support.commands import command

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
TOKEN = {"ADMIN_TOKEN": "0123456789abcdef0123456789abcdef"}
MANIFESTS: dict[str, Any] = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
POD = MANIFESTS["deployment"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    """The file as the pod sees it."""
    path = tmp_path / "routes.yaml"
    path.write_text(MANIFESTS["configmap"]["data"]["routes.yaml"])
    return path


@pytest.fixture
def spec(routes: Path) -> ConfigSpec:
    spec = load(routes, TOKEN).spec
    assert spec is not None
    return spec


def test_the_configuration_is_right(routes: Path) -> None:
    result = command("check", "--strict", "-c", routes, env=dict(TOKEN))
    assert result.exit_code == 0, result.output


def test_without_its_secret_it_says_what_to_do(routes: Path) -> None:
    result = command("check", "-c", routes, env={"ADMIN_TOKEN": None})
    assert result.exit_code == 1
    assert "create the Secret aiogate-admin" in result.output


def test_the_token_comes_from_the_secret_that_is_told_of() -> None:
    (variable,) = CONTAINER["env"]
    source = variable["valueFrom"]["secretKeyRef"]
    assert variable["name"] == "ADMIN_TOKEN"
    made = f"create secret generic {source['name']} --from-literal={source['key']}="
    assert made in (FOLDER / "kustomization.yaml").read_text()


def test_ports_are_those_of_the_listeners(spec: ConfigSpec) -> None:
    assert {"http": spec.listeners[0].bind.port, "admin": spec.admin.bind.port} == PORTS
    # The kubelet asks by the pod's address.
    assert spec.admin.bind.host == spec.listeners[0].bind.host == "0.0.0.0"


def test_the_service_leads_to_the_listener_alone() -> None:
    assert [port["targetPort"] for port in MANIFESTS["service"]["spec"]["ports"]] == ["http"]


@pytest.mark.parametrize(
    ("probe", "path"), [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
)
def test_probes_ask_the_admin_listener(probe: str, path: str) -> None:
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "admin"}


def test_a_stop_has_the_time_that_it_needs(spec: ConfigSpec) -> None:
    before = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before + spec.timeouts.drain < POD["spec"]["terminationGracePeriodSeconds"]
    # By then a probe has seen that the pod is not ready, wherever the endpoint's removal has not arrived.
    ready = CONTAINER["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] <= before


def test_the_whole_folder_is_mounted_where_the_file_is_read() -> None:
    (mount,) = CONTAINER["volumeMounts"]
    (volume,) = POD["spec"]["volumes"]
    (name,) = MANIFESTS["configmap"]["data"]
    assert "subPath" not in mount
    assert mount["name"] == volume["name"]
    assert volume["configMap"] == {"name": MANIFESTS["configmap"]["metadata"]["name"]}
    assert CONTAINER["args"][:3] == ["run", "-c", f"{mount['mountPath']}/{name}"]
    assert "--watch" in CONTAINER["args"]


def test_it_may_do_little() -> None:
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    user = f"{pod['runAsUser']}:{pod['runAsGroup']}"
    assert f"USER {user}\n" in (FOLDER.parent / "docker" / "Dockerfile").read_text()
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert POD["spec"]["serviceAccountName"] == MANIFESTS["serviceaccount"]["metadata"]["name"]


def test_every_selector_finds_the_pod() -> None:
    labels = POD["metadata"]["labels"]
    selectors = [
        MANIFESTS["service"]["spec"]["selector"],
        MANIFESTS["deployment"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in POD["spec"]["topologySpreadConstraints"]),
    ]
    assert all(selector == labels for selector in selectors)


def test_the_admin_port_is_not_open_to_everybody() -> None:
    for rule in MANIFESTS["networkpolicy"]["spec"]["ingress"]:
        assert [port["port"] for port in rule["ports"]] == (["admin"] if "from" in rule else ["http"])


def test_the_autoscaler_moves_the_deployment() -> None:
    deployment, scaler = MANIFESTS["deployment"], MANIFESTS["horizontalpodautoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "a new rollout would take the autoscaler's number back"
    # One may go at a time, so there have to be two.
    assert scaler["minReplicas"] > MANIFESTS["poddisruptionbudget"]["spec"]["maxUnavailable"]
    assert CONTAINER["resources"]["requests"]["cpu"]


def test_the_image_is_this_version() -> None:
    assert CONTAINER["image"] == f"aiogate:{__version__}"


def test_every_manifest_is_applied() -> None:
    names = {f"{stem}.yaml" for stem in MANIFESTS} - {"kustomization.yaml"}
    assert set(MANIFESTS["kustomization"]["resources"]) == names
