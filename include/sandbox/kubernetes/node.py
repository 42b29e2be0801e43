"""Hold the namespaces of a node. Run as a script, never imported by the sandbox.

``python -I -S node.py <file for the process id> <name of its cgroups>``

Makes a mount, a network and a process-id namespace (namespaces(7)) and keeps them until it is asked to end. The first
process in a process-id namespace takes all others with it, so the kernel itself ends every server, container and
containerd-shim of the node, its mounts, network interfaces and routes, however this process ends. Only its control
groups are no part of a namespace: this process removes them last.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
CGROUPS = Path("/sys/fs/cgroup")
OWN_FOLDERS = ("/run", "/var/log", "/var/lib/cni")
"""Where containerd, the CNI plugins and the kubelet write whatever they are told."""
REMOVE_SECONDS = 10.0


def call(name: str, *arguments: int) -> None:
    """Call the C library's function; raise what it complains about."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def hierarchies() -> list[Path]:
    """The roots of the control groups: one for each controller in version 1, a single one in version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [each for each in CGROUPS.iterdir() if (each / "cgroup.procs").exists() and not each.is_symlink()]


def make_groups(name: str) -> None:
    """Make the node's own control group everywhere: the kubelet wants to find it."""
    for root in hierarchies():
        (root / name).mkdir(exist_ok=True)
        if root.name == "cpuset":  # empty in a new group, and then no process may enter
            for file in ("cpuset.cpus", "cpuset.mems"):
                (root / name / file).write_text((root / file).read_text())
        if root == CGROUPS:
            controllers = (root / "cgroup.controllers").read_text().split()
            for folder in (root, root / name):
                with contextlib.suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))


def remove_groups(name: str) -> None:
    """Remove the node's control groups, the inner ones first; what just ended in them may need a moment."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while time.monotonic() < deadline:
        tops = [root / name for root in hierarchies() if (root / name).exists()]
        if not tops:
            return
        for top in tops:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        time.sleep(0.05)


def be_first() -> None:
    """Be process 1 of the node: prepare its view of the machine, then collect orphans until the end. Never returns."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    call("unshare", CLONE_NEWNS | CLONE_NEWNET)
    mounts = [["--make-rprivate", "/"], ["-t", "proc", "proc", "/proc"]]
    for folder in OWN_FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        mounts.append(["-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])
    mounts.append(["--make-rshared", "/"])  # containers see later mounts of volumes
    for arguments in mounts:
        subprocess.run(["mount", *arguments], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.write(1, b"ready\n")
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.2)


def main() -> None:
    """Keep the node until SIGTERM or its own end."""
    pid_file, group = Path(sys.argv[1]), sys.argv[2]
    make_groups(group)
    call("unshare", CLONE_NEWPID)
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        os.dup2(writing, 1)
        os.closerange(3, 256)
        try:
            be_first()
        finally:
            os._exit(1)
    os.close(writing)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    if os.read(reading, 16) == b"ready\n":
        partial = pid_file.with_suffix(".new")
        partial.write_text(str(first))
        partial.rename(pid_file)
    os.waitpid(first, 0)
    remove_groups(group)


if __name__ == "__main__":
    main()
