"""The files that the servers of a node read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.kubernetes.binaries import CNI_FOLDER
from sandbox.kubernetes.network import Link

PAUSE_IMAGE = "sandbox.local/pause:1"
NODE_NAME = "node1"

CONTAINERD = """version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A container's processes may not be less likely to be killed than containerd itself, which takes a capability
  # (CAP_SYS_RESOURCE) that build machines do not have.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""


def secret_file(path: Path, content: str) -> Path:
    """Write a file that only this user can read."""
    path.touch(mode=0o600)
    path.write_text(content, "utf-8")
    return path


def write_files(folder: Path, link: Link, *, group: str, admin_token: str) -> None:
    """Write what containerd, the CNI plugins, the API server and the kubelet are told by files."""
    (folder / "containerd.toml").write_text(CONTAINERD.format(folder=folder, pause=PAUSE_IMAGE, cni=CNI_FOLDER))
    (folder / "cni").mkdir(exist_ok=True)
    (folder / "cni" / "pods.conflist").write_text(json.dumps(_pod_network(link)))
    (folder / "resolv.conf").write_text("# no name server: pods reach the machine by address\n")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    secret_file(folder / "accounts.key", encoded.decode())
    secret_file(folder / "tokens.csv", f'{admin_token},admin,1,"system:masters"\n')
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(folder, link, group)))


def _pod_network(link: Link) -> dict[str, Any]:
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": link.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def _kubelet(folder: Path, link: Link, group: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": link.node,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "makeIPTablesUtilChains": False,  # no services, no rules
        "resolvConf": f"{folder}/resolv.conf",
        "volumePluginDir": f"{folder}/volume-plugins",
        "nodeStatusReportFrequency": "10s",
    }


def kubeconfig(*, server: str, authority: Path, token: str, namespace: str = "default") -> str:
    """Return a kubeconfig with a token in it, as JSON (which is YAML)."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "sandbox", "user": {"token": token}}],
            "contexts": [
                {"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}
            ],
            "current-context": "sandbox",
        }
    )
