"""The pod of a verification: the server beside the agent, reachable by a socket alone."""

from __future__ import annotations

from typing import Any

from tests.unit.mongo_backup_airflow.pods.test_spec import call, environment, pod

from mongo_backup.objects.addon import Function
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup_airflow.pods.throwaway import with_server

STEP = "verify.restore_and_compare"


def verification_pod(function: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """As Kubernetes gets it."""
    wanted = VerificationSettings.model_validate({"image": "mongo:6.0.5", **settings})
    changed = with_server(Function.model_validate(function or {}), wanted)
    return pod(call(step=STEP), changed.model_dump())


def test_the_server_is_a_sidecar_with_a_socket_and_no_port() -> None:
    spec = verification_pod(resources={"limits": {"memory": "2Gi"}}, cache="1GiB")["spec"]
    [server] = spec["initContainers"]
    assert server["image"] == "mongo:6.0.5"
    assert server["restartPolicy"] == "Always"  # ends with the agent, and does not keep it from starting
    assert server["resources"] == {"limits": {"memory": "2Gi"}}
    arguments = server["args"]
    assert arguments[arguments.index("--bind_ip") + 1] == "/var/run/mongod/mongodb-27017.sock"
    assert arguments[arguments.index("--wiredTigerCacheSizeGB") + 1] == "1.00"
    assert "ports" not in server
    [agent] = spec["containers"]
    assert agent["args"][:2] == ["agent", STEP]
    assert environment({"spec": spec})["MONGO_BACKUP_THROWAWAY"] == "/var/run/mongod/mongodb-27017.sock"
    folders = [{each["mountPath"] for each in one["volumeMounts"]} for one in (server, agent)]
    assert folders[0] & folders[1] == {"/var/run/mongod"}
    mounted = {each["name"] for one in (server, agent) for each in one["volumeMounts"]}
    assert mounted <= {volume["name"] for volume in spec["volumes"]}


def test_it_is_as_restricted_as_the_agent() -> None:
    spec = verification_pod()["spec"]
    [server], [agent] = spec["initContainers"], spec["containers"]
    assert server["securityContext"] == agent["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    # the credentials are the agent's alone
    assert not [each for each in server["volumeMounts"] if "secrets" in each["mountPath"]]
    assert "env" not in server


def template(volume: dict[str, Any]) -> dict[str, Any]:
    return {"pod_template": {"spec": {"volumes": [volume]}}}


def test_an_own_template_wins_and_without_an_image_nothing_is_added() -> None:
    own = {"spec": {"volumes": [{"name": "mongod-data", "emptyDir": {"sizeLimit": "10Gi"}}]}}
    volumes = {each["name"]: each for each in verification_pod({"pod_template": own})["spec"]["volumes"]}
    assert volumes["mongod-data"]["emptyDir"] == {"sizeLimit": "10Gi"}
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}}}
    volume = {"name": "mongod-data", "ephemeral": {"volumeClaimTemplate": claim}}
    volumes = {each["name"]: each for each in verification_pod(template(volume))["spec"]["volumes"]}
    assert volumes["mongod-data"] == volume, "a disk of its own, and not the node's"
    plain = Function(image="with-mongod:1")
    assert with_server(plain, VerificationSettings()) is plain
