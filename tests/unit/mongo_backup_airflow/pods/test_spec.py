"""The pod of a step, without a cluster: as KubernetesPodOperator hands it to Kubernetes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from mongo_backup.agent.contract import REQUEST_VARIABLE, RunIdentity
from mongo_backup.credentials import CREDENTIALS_VARIABLE
from mongo_backup.model import Model
from mongo_backup.objects.addon import Function
from mongo_backup.objects.configuration import Execution
from mongo_backup_airflow.pods.operator import AgentPod
from mongo_backup_airflow.pods.spec import LARGEST_VARIABLE, agent_pod, merged, pod_name, run_secret_data
from mongo_backup_airflow.runners.base import StepCall

PASSWORD = "p@ss:w/ %?#&'\" planted"


class Large(Model):
    """A request of any size."""

    text: str


def call(**more: Any) -> StepCall:
    settings: dict[str, Any] = {
        "step": "backup.dump",
        "request": RunIdentity(dag_id="backup.shop.nightly", run_id="r1"),
        "credentials": SecretStr(json.dumps({"connection:shop": {"password": PASSWORD}})),
        "run": "backup.shop.nightly/scheduled__2026-11-22T02:00:00+00:00",
        "task": "dump[3]",
        "alone": False,
        "labels": {"configuration": "shop", "session": "nightly", "component": "shard0"},
        "limit": timedelta(hours=12),
        "try_number": 2,
    }
    return StepCall(**{**settings, **more})


def pod(one: StepCall | None = None, function: dict[str, Any] | None = None, **execution: Any) -> dict[str, Any]:
    """What Kubernetes gets."""
    body = agent_pod(
        one or call(),
        execution=Execution.model_validate({"runner": "kubernetes", **execution}),
        function=Function.model_validate(function or {}),
        run_secret="the-pod",
        namespace=execution.get("namespace", "backups"),
    )
    built = AgentPod(pod=body, name="the-pod", connection=None).build_pod_request_obj(None, dry_run=True)
    from kubernetes.client import ApiClient

    found: dict[str, Any] = ApiClient().sanitize_for_serialization(built)
    return found


def environment(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in found["spec"]["containers"][0]["env"]}


def test_what_restricted_asks_for() -> None:
    spec = pod()["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not spec.get("hostNetwork")
    assert all(set(volume) & {"emptyDir", "secret"} for volume in spec["volumes"])


def test_command_result_and_time_limits() -> None:
    spec = pod(termination_grace="90s", start_timeout="10m")["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["mongo-backup"]
    assert container["args"] == ["agent", "backup.dump", "--result", "/dev/termination-log"]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 90
    limit = timedelta(hours=12) + timedelta(minutes=10) + timedelta(seconds=90) + timedelta(minutes=5)
    assert spec["activeDeadlineSeconds"] == limit.total_seconds()


def test_nothing_secret_stands_in_the_pod() -> None:
    found = pod()
    assert PASSWORD not in json.dumps(found)
    assert PASSWORD.encode("unicode_escape").decode() not in json.dumps(found)
    assert environment(found)[CREDENTIALS_VARIABLE] == "/var/run/secrets/mongo-backup"
    assert {"name": "run", "secret": {"secretName": "the-pod", "defaultMode": 0o440}} in found["spec"]["volumes"]
    assert PASSWORD in json.loads(run_secret_data(call())["credentials.json"])["connection:shop"]["password"]


def test_secrets_by_reference_need_no_secret_for_the_run() -> None:
    one = call(credentials=SecretStr("{}"), secrets=("shop-auth", "store"))
    assert run_secret_data(one) == {}
    found = pod(one)
    mounts = {each["name"]: each["mountPath"] for each in found["spec"]["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each.get("secret", {}).get("secretName") for each in found["spec"]["volumes"]}
    assert volumes == {"tmp": None, "secret-0": "shop-auth", "secret-1": "store"}
    assert mounts["secret-1"] == "/var/run/secrets/mongo-backup/secret/store"


def test_the_request_goes_by_environment_and_a_large_one_by_the_secret() -> None:
    found = pod()
    assert json.loads(environment(found)[REQUEST_VARIABLE])["run_id"] == "r1"
    large = call(request=Large(text="x" * LARGEST_VARIABLE))
    found = pod(large)
    assert REQUEST_VARIABLE not in environment(found)
    assert found["spec"]["containers"][0]["args"][-2:] == [
        "--request",
        "/var/run/secrets/mongo-backup/run/request.json",
    ]
    assert json.loads(run_secret_data(large)["request.json"])["text"].startswith("xxx")


def test_labels_lead_from_the_run_to_its_pods() -> None:
    labels = pod()["metadata"]["labels"]
    assert labels["mongo-backup/configuration"] == "shop"
    assert labels["mongo-backup/session"] == "nightly"
    assert labels["mongo-backup/component"] == "shard0"
    assert labels["mongo-backup/step"] == "backup.dump"
    assert labels["mongo-backup/try"] == "2"
    other = pod(call(run="backup.shop.nightly/scheduled__2026-11-23T02:00:00+00:00"))["metadata"]["labels"]
    assert labels["mongo-backup/run"] != other["mongo-backup/run"]
    assert labels["mongo-backup/task"] == other["mongo-backup/task"]
    assert pod_name(call()) == "backup-shop-nightly-dump-3"


def test_the_functions_fields_reach_the_pod() -> None:
    function = {
        "image": "registry.example/agent@sha256:0123",
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "400Mi"}},
        "image_pull_policy": "Always",
        "image_pull_secrets": ["registry"],
        "service_account": "agent",
        "node_selector": {"disk": "fast"},
        "tolerations": [{"key": "backup", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "labels": {"team": "data", "mongo-backup/run": "mine"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "security_context": {"runAsUser": 20002},
        "container_security_context": {"privileged": False},
    }
    found = pod(function=function, service_account="other")
    spec, (container,) = found["spec"], found["spec"]["containers"]
    assert container["image"] == "registry.example/agent@sha256:0123"
    assert container["resources"] == {"requests": {"cpu": "500m"}, "limits": {"memory": "400Mi"}}
    assert container["imagePullPolicy"] == "Always"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["serviceAccountName"] == "agent"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [{"key": "backup", "operator": "Exists"}]
    assert "nodeAffinity" in spec["affinity"]
    assert found["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert found["metadata"]["labels"]["team"] == "data"
    assert found["metadata"]["labels"]["mongo-backup/run"] != "mine"
    assert spec["securityContext"]["runAsUser"] == 20002
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_pod_template_is_laid_over_the_defaults_and_under_the_runners_needs() -> None:
    template = {
        "metadata": {"labels": {"team": "data"}},
        "spec": {
            "priorityClassName": "low",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 300,
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}, {"name": "ca", "configMap": {"name": "ca"}}],
            "containers": [
                {"env": [{"name": "TZ", "value": "UTC"}], "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}]},
                {"name": "proxy", "image": "proxy:1"},
            ],
        },
    }
    found = pod(function={"pod_template": template})
    spec = found["spec"]
    base, proxy = spec["containers"]
    assert (base["name"], proxy["name"]) == ("base", "proxy")
    assert spec["priorityClassName"] == "low"
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 300
    assert environment(found)["TZ"] == "UTC"
    assert REQUEST_VARIABLE in environment(found)
    assert {each["name"] for each in base["volumeMounts"]} == {"tmp", "ca", "run"}
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}} in spec["volumes"]
    assert [each["name"] for each in spec["volumes"]].count("tmp") == 1


def test_merged_changes_neither_side() -> None:
    base, over = {"a": [{"name": "x", "b": {"c": 1}}]}, {"a": [{"name": "x", "b": {"d": 2}}]}
    assert merged(base, over) == {"a": [{"name": "x", "b": {"c": 1, "d": 2}}]}
    assert base == {"a": [{"name": "x", "b": {"c": 1}}]}
    assert over == {"a": [{"name": "x", "b": {"d": 2}}]}


def test_room_for_temporary_files_may_be_a_volume_of_ones_own() -> None:
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}}
    for own in ({"ephemeral": {"volumeClaimTemplate": claim}}, {"emptyDir": {"sizeLimit": "1Gi"}}):
        volume = {"name": "tmp", **own}
        spec = pod(function={"pod_template": {"spec": {"volumes": [volume]}}})["spec"]
        assert [each for each in spec["volumes"] if each["name"] == "tmp"] == [volume]
        assert {"name": "tmp", "mountPath": "/tmp"} in spec["containers"][0]["volumeMounts"]
