"""The manifests for Kubernetes, judged without a cluster: by the API's schemas, and by what they say of each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.config import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "k8s"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VERSIONS = ("1.30", "1.33", "1.37")
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


OBJECTS = {f"{one['kind']}/{one['metadata']['name']}": one for path in sorted(FOLDER.glob("*.yaml"))
           if path.name != "kustomization.yaml" for one in read(path)}  # fmt: skip
RUNNING = {name: one for name, one in OBJECTS.items() if one["kind"] in ("Deployment", "StatefulSet")}


def pod(one: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = one["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_each_object_keeps_to_the_schema_of_its_kind(name: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)


def test_every_file_is_put_in() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    assert [image["name"] for image in KUSTOMIZATION["images"]] == ["inkling"]


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_has_no_powers_and_is_told_of_no_neighbours(name: str) -> None:
    spec = pod(RUNNING[name])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (spec["enableServiceLinks"], spec["automountServiceAccountToken"]) == (False, False)
    for container in spec["containers"]:
        closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == closed
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", RUNNING)
def test_volumes_that_are_mounted_are_there(name: str) -> None:
    one = RUNNING[name]
    there = {volume["name"] for volume in pod(one).get("volumes", [])}
    there |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
    mounted = {mount["name"] for container in pod(one)["containers"] for mount in container["volumeMounts"]}
    assert mounted == there
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod(one).get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    assert all(f"PersistentVolumeClaim/{claim}" in OBJECTS for claim in claims)


@pytest.mark.parametrize("name", [name for name, one in OBJECTS.items() if "selector" in one.get("spec", {})])
def test_what_is_selected_is_there(name: str) -> None:
    selector = OBJECTS[name]["spec"]["selector"]
    wanted = selector.get("matchLabels", selector)
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in RUNNING.values()]
    assert any(wanted.items() <= each.items() for each in labels)


def test_what_is_set_is_a_setting_and_what_is_secret_is_in_the_secret() -> None:
    settings = {f"INKLING_{name.upper()}" for name in Settings.model_fields}
    data = OBJECTS["ConfigMap/inkling"]["data"]
    assert set(data) <= settings
    assert not {"INKLING_DATABASE_URL", "INKLING_API_KEY"} & set(data)
    for name in ("Deployment/inkling-web", "Deployment/inkling-worker"):
        (container,) = pod(OBJECTS[name])["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "inkling"}}]
        assert {each["name"] for each in container["env"]} <= settings
    secret = {
        each["valueFrom"]["secretKeyRef"]["key"]
        for one in RUNNING.values()
        for container in pod(one)["containers"]
        for each in container.get("env", [])
        if "valueFrom" in each
    }
    told = (ROOT / "docs" / "kubernetes.md").read_text()
    assert [key for key in sorted(secret) if f"--from-literal={key}=" not in told] == []


def test_replicas_have_time_to_end_what_they_are_at() -> None:
    web = pod(OBJECTS["Deployment/inkling-web"])
    waits = web["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert web["terminationGracePeriodSeconds"] > waits + Settings.model_fields["drain_s"].default + 10
    assert pod(OBJECTS["Deployment/inkling-worker"])["terminationGracePeriodSeconds"] == 90
    assert COMPOSE["services"]["worker"]["stop_grace_period"] == "90s"


def test_database_and_broker_are_those_of_the_compose_file() -> None:
    for name in ("postgres", "redis"):
        (container,) = pod(OBJECTS[f"StatefulSet/inkling-{name}"])["containers"]
        assert container["image"] == COMPOSE["services"][name]["image"]
    assert pod(OBJECTS["StatefulSet/inkling-redis"])["containers"][0]["args"] == COMPOSE["services"]["redis"]["command"]


def test_the_patch_for_gpus_speaks_of_what_there_is() -> None:
    (patch,) = read(FOLDER / "gpu" / "worker.yaml")
    overlay: dict[str, Any] = yaml.safe_load((FOLDER / "gpu" / "kustomization.yaml").read_text())
    base = OBJECTS[f"{patch['kind']}/{patch['metadata']['name']}"]
    (container,) = pod(patch)["containers"]
    assert container["name"] in [each["name"] for each in pod(base)["containers"]]
    assert container["image"] in [image["name"] for image in overlay["images"]]
    assert overlay["patches"] == [{"path": "worker.yaml"}]
