"""A Kubernetes of one node: containerd, etcd, API server, controller manager, scheduler, kubelet."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from kubernetes import client as k8s
from kubernetes import config as k8s_config
from kubernetes import utils as k8s_utils
from mongo_backup.errors import PreconditionError
from mongo_backup.objects.addon import DEFAULT_IMAGE
from sandbox.kubernetes.binaries import cache_folder, install_debian_packages, kubernetes_programs, run
from sandbox.kubernetes.files import NODE_NAME, PAUSE_IMAGE, kubeconfig, secret_file, write_files
from sandbox.kubernetes.images import pause_layer, write_archive
from sandbox.kubernetes.network import lease_link
from sandbox.mongod import accepts_connections
from sandbox.processes import Process
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace

logger = logging.getLogger(__name__)

NODE_SCRIPT = Path(__file__).with_name("node.py")
API_PORT = 6443
SERVICES = "10.96.0.0/16"
AWAY = (ApiException, HTTPError, OSError)
"""What an API server that is not there yet makes the client raise."""


class KubernetesCluster:
    """Start it, run pods in it, break it; `close` (or the end of `with`, or the death of this process) ends it all.

    The node lives in namespaces of its own (see `node.py`). Needs root on Linux. Network policies are accepted and
    not enforced: that takes a network plugin that no Debian package has.

    :param unreachable_seconds: how long pods stay bound to a node that is gone.
    """

    def __init__(self, *, unreachable_seconds: int = 5) -> None:
        if os.geteuid() != 0:
            raise PreconditionError("the test cluster makes namespaces and mounts: run it as root")
        install_debian_packages()
        self.programs = kubernetes_programs()
        self.unreachable_seconds = unreachable_seconds
        self.workspace = Workspace("kubernetes")
        self.link, self._lease = lease_link()
        self.group = f"mongo-backup-sandbox-{self.link.slot}"
        self._token = secrets.token_urlsafe(24)
        self._pid_file = self.workspace.path / "node.pid"
        self._node = Process(
            name="node",
            command=["python3", "-I", "-S", str(NODE_SCRIPT), str(self._pid_file), self.group],
            log_path=self._log("node"),
            tree=True,
        )
        self.servers: dict[str, Process] = {}

    @property
    def folder(self) -> Path:
        """Where everything of it is."""
        return self.workspace.path

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    # Life

    def start(self) -> KubernetesCluster:
        """Start it and wait until its node takes pods. Returns itself.

        :raises MongoBackupError: a server did not come up; everything is stopped and removed.
        """
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        logger.info("Kubernetes is up at %s after %.1f s", self.server, time.monotonic() - began)
        return self

    def _start(self) -> None:
        write_files(self.folder, self.link, group=self.group, admin_token=self._token)
        self._node.start()
        self._node.wait_ready(self._pid_file.exists, timeout=30)
        self.link.lay(self.node_pid)
        for name, command in self._commands().items():
            self.servers[name] = Process(
                name=name, command=[*self._inside(), *command], log_path=self._log(name), stop_timeout=5
            )
        for name in ("containerd", "etcd", "kube-apiserver"):
            self.servers[name].start()
        self.servers["containerd"].wait_ready((self.folder / "containerd.sock").exists, timeout=30)
        self.load_image(PAUSE_IMAGE, layers=[pause_layer(cache_folder("images"))], entrypoint=["/pause"])
        self.servers["kube-apiserver"].wait_ready(self._api_ready, timeout=90, interval=0.1)
        for name in ("kube-controller-manager", "kube-scheduler", "kubelet"):
            self.servers[name].start()
        self.servers["kubelet"].wait_ready(self._node_ready, timeout=90, interval=0.1)
        self._wait_for_accounts("default")

    def close(self) -> None:
        """End all of it and remove what it wrote. May be called again."""
        self._node.stop()
        for server in self.servers.values():
            server.kill()
        self.workspace.remove()
        self._lease.close()

    def __enter__(self) -> KubernetesCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Servers

    @property
    def node_pid(self) -> int:
        """Process id of the node's first process, as seen from here."""
        return int(self._pid_file.read_text())

    def _inside(self) -> list[str]:
        """Return what runs a program on the node."""
        return ["nsenter", "--target", str(self.node_pid), "--mount", "--net", "--pid", "--"]

    def run_inside(self, *command: str) -> str:
        """Run a program on the node and return its output."""
        return run([*self._inside(), *command])

    def _commands(self) -> dict[str, list[str]]:
        folder, programs, etcd = self.folder, self.programs, "http://127.0.0.1:2379"
        admin = ["--kubeconfig", str(self.admin_kubeconfig)]
        return {
            "containerd": ["containerd", "--config", str(folder / "containerd.toml")],
            "etcd": [
                *("etcd", "--data-dir", "/run/etcd"),  # in memory: nothing is to be kept
                *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
                *("--listen-peer-urls", "http://127.0.0.1:2380"),
            ],
            "kube-apiserver": [
                str(programs / "kube-apiserver"),
                *("--etcd-servers", etcd, "--service-cluster-ip-range", SERVICES),
                *("--service-account-issuer", "https://kubernetes.default.svc"),
                *("--service-account-key-file", str(folder / "accounts.key")),
                *("--service-account-signing-key-file", str(folder / "accounts.key")),
                *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
                *("--cert-dir", str(folder / "certificates"), "--bind-address", self.link.node),
                *("--advertise-address", self.link.node, "--secure-port", str(API_PORT)),
                *("--kubelet-preferred-address-types", "InternalIP"),
                f"--default-not-ready-toleration-seconds={self.unreachable_seconds}",
                f"--default-unreachable-toleration-seconds={self.unreachable_seconds}",
            ],
            "kube-controller-manager": [
                *(str(programs / "kube-controller-manager"), *admin, "--leader-elect=false"),
                *("--service-account-private-key-file", str(folder / "accounts.key")),
                *("--root-ca-file", str(self.authority), "--use-service-account-credentials=false"),
            ],
            "kube-scheduler": [str(programs / "kube-scheduler"), *admin, "--leader-elect=false"],
            "kubelet": [
                *(str(programs / "kubelet"), *admin, "--config", str(folder / "kubelet.yaml")),
                *("--root-dir", str(folder / "kubelet"), "--cert-dir", str(folder / "kubelet-certificates")),
                *("--hostname-override", NODE_NAME, "--node-ip", self.link.node),
            ],
        }

    def _api_ready(self) -> bool:
        listens = self.authority.exists() and accepts_connections(API_PORT, self.link.node)
        return listens and self._answers(lambda: bool(self.core.list_namespace(limit=1)))

    def wait_for_api(self) -> None:
        """Wait until the API server answers and the node is ready: after a test took one of them away."""
        wait_until(self._api_ready, what="the API server answers", timeout=90)
        wait_until(self._node_ready, what="the node is ready", timeout=90)

    def _node_ready(self) -> bool:
        def ready() -> bool:
            conditions = [each for node in self.core.list_node().items for each in node.status.conditions or []]
            return any(each.type == "Ready" and each.status == "True" for each in conditions)

        return self._answers(ready)

    @staticmethod
    def _answers(question: Callable[[], bool]) -> bool:
        try:
            return question()
        except AWAY:
            return False

    def _wait_for_accounts(self, namespace: str) -> None:
        """Wait until the controller manager made the service account that pods of the namespace get."""
        wait_until(
            lambda: self._answers(lambda: bool(self.core.read_namespaced_service_account("default", namespace))),
            what=f"namespace {namespace} has its service account",
        )

    # Use

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.link.node}:{API_PORT}"

    @property
    def address(self) -> str:
        """This machine's address for pods: let the servers that they need listen here."""
        return self.link.machine

    @property
    def authority(self) -> Path:
        """The API server's certificate: it makes one of its own at its start."""
        return self.folder / "certificates" / "apiserver.crt"

    @cached_property
    def admin_kubeconfig(self) -> Path:
        """A kubeconfig that may do anything."""
        return self._write_kubeconfig("admin", self._token)

    def _write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        text = kubeconfig(server=self.server, authority=self.authority, token=token, namespace=namespace)
        return secret_file(self.folder / f"{name}.kubeconfig", text)

    def account_kubeconfig(self, account: str, *, namespace: str) -> Path:
        """Return a kubeconfig with the rights of a service account and no others; good for a day."""
        wanted = k8s.AuthenticationV1TokenRequest(spec=k8s.V1TokenRequestSpec(audiences=[], expiration_seconds=86_400))
        answer = self.core.create_namespaced_service_account_token(account, namespace, wanted)
        return self._write_kubeconfig(f"{namespace}-{account}", answer.status.token, namespace)

    @cached_property
    def api(self) -> k8s.ApiClient:
        """A client that may do anything."""
        return self.api_client(self.admin_kubeconfig)

    @staticmethod
    def api_client(path: Path) -> k8s.ApiClient:
        """Return a client for a kubeconfig."""
        return k8s_config.new_client_from_config(config_file=str(path))

    @cached_property
    def core(self) -> k8s.CoreV1Api:
        """The core API, as one who may do anything."""
        return k8s.CoreV1Api(self.api)

    def apply(self, folder: Path) -> None:
        """Create what a kustomize base lists, in its order."""
        base = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
        for file in base["resources"]:
            for document in yaml.safe_load_all((folder / file).read_text("utf-8")):
                k8s_utils.create_from_dict(self.api, document)
                if document["kind"] == "Namespace":
                    self._wait_for_accounts(document["metadata"]["name"])

    def load_image(self, name: str, *, layers: Sequence[Path], **settings: Any) -> None:
        """Give the node an image (pods need `imagePullPolicy: Never` or `IfNotPresent`).

        :param layers: uncompressed tar archives, the lowest first.
        :param settings: see `write_archive`.
        """
        archive = self.folder / "image.tar"
        write_archive(archive, name=name, layers=layers, **settings)
        try:
            self.ask_containerd("images", "import", str(archive))
        finally:
            archive.unlink(missing_ok=True)

    def ask_containerd(self, *arguments: str) -> str:
        """Run `ctr` on the node's containers and images; return what it says."""
        socket = str(self.folder / "containerd.sock")
        return self.run_inside("ctr", "--address", socket, "--namespace", "k8s.io", *arguments)

    def kill_containers(self, name: str) -> int:
        """SIGKILL the containers that pods call so, as the kernel does for want of memory; return how many."""
        named = f'labels."io.kubernetes.container.name"=={name}'
        mine = self.ask_containerd("containers", "list", "--quiet", named).split()
        tasks = [line.split() for line in self.ask_containerd("tasks", "list").splitlines()[1:]]
        running = [task[0] for task in tasks if task[0] in mine and task[2] == "RUNNING"]
        for task in running:
            self.ask_containerd("tasks", "kill", "--signal", "SIGKILL", task)
        return len(running)

    def load_agent_image(self) -> str:
        """Give the node the agent image of this source; return the name under which pods ask for it."""
        from sandbox.kubernetes import agent_image

        layers = agent_image.agent_layers()
        self.load_image(
            agent_image.IMAGE,
            layers=layers,
            entrypoint=agent_image.ENTRYPOINT,
            environment=agent_image.ENVIRONMENT,
            user=agent_image.USER,
        )
        return DEFAULT_IMAGE

    def load_server_image(self) -> str:
        """Give the node an image with a `mongod`; return its name."""
        from sandbox.kubernetes import server_image

        self.load_image(server_image.IMAGE, layers=[server_image.server_layer()], environment=server_image.ENVIRONMENT)
        return server_image.IMAGE

    def copy_logs(self, target: Path) -> None:
        """Keep the servers' logs, to look at after the end."""
        shutil.copytree(self.folder / "logs", target, dirs_exist_ok=True)
