"""What is deployed fits the code: manifests are valid, settings exist, drains have time, probes name real services."""

import dataclasses
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from deepsing.access.outgoing import CHANNEL_PREFIX, ChannelSettings
from deepsing.access.settings import ACCESS_PREFIX, TLS_PREFIX, AccessSettings, TlsSettings
from deepsing.runtime.settings import SERVER_PREFIX, ServerSettings
from deepsing.v1 import audio_sentiment_pb2, composer_pb2, generator_pb2, translator_pb2
from tests.architecture.tree import ROOT, SERVICES, find_settings

BIN = Path(sys.executable).parent
DEPLOY = ROOT / "deploy"
KUSTOMIZATIONS = ("base", "overlays/cpu", "overlays/gpu", "overlays/access", "overlays/monitored")
GRPC_NAMES = {
    descriptor.full_name
    for contract in (audio_sentiment_pb2, composer_pb2, generator_pb2, translator_pb2)
    for descriptor in contract.DESCRIPTOR.services_by_name.values()
}
OF_OPERATORS = {"PodMonitor", "PrometheusRule", "ScaledObject"}  # Kubernetes has no schema of them; see test_monitoring
Resource = dict[str, Any]

each_kustomization = pytest.mark.parametrize("folder", KUSTOMIZATIONS)
each_service = pytest.mark.parametrize("service", SERVICES)


@functools.cache
def render_manifests(folder: str) -> list[Resource]:
    command = [str(BIN / "kubectl"), "kustomize", str(DEPLOY / "kustomize" / folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return list(yaml.safe_load_all(answer.stdout))


def deployments(folder: str) -> dict[str, Resource]:
    return {item["metadata"]["name"]: item for item in render_manifests(folder) if item["kind"] == "Deployment"}


def container(deployment: Resource) -> Resource:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(deployment: Resource) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(deployment).get("env", [])}


def list_variables(service: str) -> set[str]:
    kinds = {
        SERVER_PREFIX: ServerSettings,
        ACCESS_PREFIX: AccessSettings,
        TLS_PREFIX: TlsSettings,
        CHANNEL_PREFIX: ChannelSettings,
        f"DEEPSING_{service.upper()}_": find_settings(service),
    }
    return {prefix + field.name.upper() for prefix, kind in kinds.items() for field in dataclasses.fields(kind)}


def test_the_dockerfile_is_clean() -> None:
    answer = subprocess.run([BIN / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def test_the_dockerfile_makes_a_small_image_that_can_be_stopped() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    assert 'ENTRYPOINT ["/bin/sh", "-c", "exec python -m services.${SERVICE}"]' in final
    assert re.search(r"^ARG BASE=\S+:3\.11\.\d+-slim", text, re.MULTILINE)


@each_kustomization
def test_kubernetes_accepts_the_manifests(folder: str) -> None:
    resources = render_manifests(folder)
    for resource in (one for one in resources if one["kind"] not in OF_OPERATORS):
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    kinds = [resource["kind"] for resource in resources]
    assert {kind: kinds.count(kind) for kind in ("Deployment", "Service", "PodDisruptionBudget")} == {
        "Deployment": 4,
        "Service": 4,
        "PodDisruptionBudget": 4,
    }


@each_kustomization
def test_the_four_deployments_differ_only_where_the_services_do(folder: str) -> None:
    shared = []
    for deployment in deployments(folder).values():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        probes = [{**only[probe], "grpc": only[probe]["grpc"]["port"]} for probe in only if probe.endswith("Probe")]
        shared.append([pod["securityContext"], only["securityContext"], only["lifecycle"], only["ports"], probes])
    assert len(shared) == 4
    assert all(entry == shared[0] for entry in shared)
    assert len(shared[0][-1]) == 3


@each_kustomization
def test_probes_ask_for_services_that_exist(folder: str) -> None:
    asked = {container(item)["readinessProbe"]["grpc"]["service"] for item in deployments(folder).values()}
    assert asked == GRPC_NAMES


@each_kustomization
def test_a_pod_has_time_to_drain(folder: str) -> None:
    for deployment in deployments(folder).values():
        pause = container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = float(environment(deployment)["DEEPSING_SERVER_GRACE_S"])
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > pause + grace


@each_kustomization
def test_services_are_headless_and_select_their_pods(folder: str) -> None:
    labels = {name: item["spec"]["template"]["metadata"]["labels"] for name, item in deployments(folder).items()}
    for service in (item for item in render_manifests(folder) if item["kind"] == "Service"):
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"].items() <= labels[service["metadata"]["name"]].items()


@each_service
def test_every_variable_that_is_set_is_a_setting(service: str) -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    name = service.replace("_", "-")
    given = set(composed[name].get("environment", {}))
    for folder in KUSTOMIZATIONS:
        given |= set(environment(deployments(folder)[name]))
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    given |= set(re.findall(r"\b(DEEPSING_[A-Z_]+)=", dockerfile))
    assert given <= list_variables(service)


def test_only_a_pod_with_a_gpu_asks_for_cuda() -> None:
    for folder, provider, gpus in (("overlays/cpu", "cpu", None), ("overlays/gpu", "cuda", "1")):
        generator = deployments(folder)["generator"]
        assert environment(generator)["DEEPSING_GENERATOR_PROVIDER"] == provider
        assert container(generator)["resources"]["limits"].get("nvidia.com/gpu") == gpus


def test_the_compose_file_runs_all_four_and_shows_one() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {entry["build"]["args"]["SERVICE"] for entry in composed.values()} == set(SERVICES)
    assert [name for name, entry in composed.items() if "ports" in entry] == ["composer"]
    for entry in composed.values():
        assert entry["healthcheck"]["test"] == ["CMD", "python", "/app/health_probe.py"]
        assert float(entry["stop_grace_period"].removesuffix("s")) > ServerSettings().grace_s
    others = set(composed) - {"composer"}
    assert set(composed["composer"]["depends_on"]) == others
    targets = {value for key, value in composed["composer"]["environment"].items() if key.endswith("_TARGET")}
    assert targets == {f"dns:///{name}:50051" for name in others}


def test_with_access_every_file_that_is_named_is_mounted_from_a_secret_and_probes_go_round_tls() -> None:
    for name, deployment in deployments("overlays/access").items():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
        mounted = {
            mount["mountPath"] for mount in only["volumeMounts"] if mount["name"] in secrets and mount["readOnly"]
        }
        named = {Path(value) for value in environment(deployment).values() if value.startswith("/etc/")}
        assert {str(path.parent) for path in named} == mounted
        health = int(environment(deployment)["DEEPSING_SERVER_HEALTH_PORT"])
        assert {only[probe]["grpc"]["port"] for probe in only if probe.endswith("Probe")} == {health}
        assert ("DEEPSING_SERVER_TLS_CLIENT_CA" in environment(deployment)) == (name != "composer")
    assert {
        item["spec"]["ports"][0]["appProtocol"]
        for item in render_manifests("overlays/access")
        if item["kind"] == "Service"
    } == {"grpc"}


def test_no_secret_is_kept_beside_the_manifests() -> None:
    assert [
        item["kind"] for folder in KUSTOMIZATIONS for item in render_manifests(folder) if item["kind"] == "Secret"
    ] == []
