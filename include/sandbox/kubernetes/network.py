"""The wire between this machine and a node: a pair of interfaces that the kernel removes with the node."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

from mongo_backup.errors import TransientError
from sandbox.kubernetes.binaries import run

SLOTS = range(1, 200)


@dataclass(frozen=True)
class Link:
    """Addresses of one node. The pods' network is routed through it; nothing is translated or filtered."""

    slot: int

    @property
    def interface(self) -> str:
        """The end on this machine; it goes when the other end goes."""
        return f"mbk{self.slot}"

    @property
    def machine(self) -> str:
        """This machine as nodes and pods see it: what listens here is reached by pods, and from nowhere else."""
        return f"10.88.{self.slot}.1"

    @property
    def node(self) -> str:
        """The node."""
        return f"10.88.{self.slot}.2"

    @property
    def pods(self) -> str:
        """The pods' network."""
        return f"10.89.{self.slot}.0/24"

    def lay(self, node_pid: int) -> None:
        """Connect this machine with the network namespace of a process."""
        pid = str(node_pid)
        inside = ["nsenter", "--target", pid, "--net", "ip"]
        for command in (
            ["ip", "link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns", pid],
            [*inside, "address", "add", f"{self.node}/30", "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
            [*inside, "route", "add", "default", "via", self.machine],
            ["ip", "address", "add", f"{self.machine}/30", "dev", self.interface],
            ["ip", "link", "set", self.interface, "up"],
            ["ip", "route", "add", self.pods, "via", self.node],
        ):
            run(command)


def lease_link() -> tuple[Link, socket.socket]:
    """Choose addresses that no other test run and no network of this machine uses; ours until the socket is closed.

    :raises TransientError: there are none left.
    """
    routes = {route["dst"] for route in json.loads(run(["ip", "-json", "route"]))}
    for slot in SLOTS:
        link = Link(slot)
        if link.pods in routes or f"10.88.{slot}.0/30" in routes:
            continue
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(f"\0mongo-backup-sandbox-node-{slot}")
        except OSError:
            holder.close()
            continue
        return link, holder
    raise TransientError(f"no free network between 10.88.{SLOTS.start}.0 and 10.88.{SLOTS.stop - 1}.0")
