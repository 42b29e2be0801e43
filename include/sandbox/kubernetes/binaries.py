"""Finds, installs or builds the programs of a Kubernetes node.

The four of Kubernetes itself come from its Go module, built once into a cache folder; the others are Debian packages.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mongo_backup.errors import PreconditionError

logger = logging.getLogger(__name__)

VERSION = "1.34.4"
"""The kubelet of 1.35 and newer refuses cgroup v1 unless told otherwise."""

CACHE_VARIABLE = "MONGO_BACKUP_CACHE"
PROGRAMS = ("kube-apiserver", "kubelet", "kube-controller-manager", "kube-scheduler")
SOURCE = Path(__file__).with_name("node_programs")
"""A Go module that needs Kubernetes' own, in exactly the version above."""
COMPILER_FLAGS = "-N -l -dwarf=false"
COMPILER_GOGC = "400"
"""The compiler collects its garbage less often: quicker, with more memory."""

DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "gcc": "gcc",
}
"""Program and the package that has it."""
CNI_FOLDER = Path("/usr/lib/cni")
CNI_PACKAGE = "containernetworking-plugins"


def cache_folder(name: str) -> Path:
    """Return a folder that outlives test runs, made when missing: below `MONGO_BACKUP_CACHE`, else below ~/.cache."""
    base = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "mongo-backup")
    folder = base / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder: two test runs do not build the same thing side by side."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_debian_packages(programs: Mapping[str, str] = DEBIAN_PACKAGES) -> None:
    """Install what is missing from Debian; their services are not started.

    :raises PreconditionError: something is missing and cannot be installed from here.
    """
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    if not (CNI_FOLDER / "bridge").exists():
        missing.add(CNI_PACKAGE)
    if not missing:
        return
    names = sorted(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise PreconditionError(f"missing: {', '.join(names)}. As root on Debian: apt-get install {' '.join(names)}")
    logger.info("Installing %s", ", ".join(names))
    # invoke-rc.d starts no service in runlevel 1
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ["apt-get", *wait, "update", "-qq"],
        ["apt-get", *wait, "install", "-y", "-qq", "--no-install-recommends", *names],
    ):
        run(command, environment=environment)


def kubernetes_programs() -> Path:
    """Return the folder with the programs of Kubernetes, built when they are missing.

    :raises PreconditionError: there is no Go, or the build failed.
    """
    folder = cache_folder(f"kubernetes-{VERSION}")
    with only_one(folder):
        if not all((folder / program).exists() for program in PROGRAMS):
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    """Build one program that is all of them, by the name that it is called with: most of their code is the same.

    Not optimised: the compiler is done in half the time, and a node with a few pods does not miss it.
    """
    if not shutil.which("go"):
        raise PreconditionError(
            f"no Go here: Kubernetes {VERSION} is built from its Go module; install Go 1.24 or newer, "
            f"or put {', '.join(PROGRAMS)} into {folder}"
        )
    logger.warning("Building Kubernetes %s into %s: once, 4 to 6 minutes on 2 cores", VERSION, folder)
    began, partial = time.monotonic(), folder / ".new"
    command = ["go", "build", "-trimpath", "-buildvcs=false", f"-gcflags=all={COMPILER_FLAGS}"]
    run(
        [*command, f"-ldflags={_linker_flags()}", "-o", str(partial), "."],
        environment={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOGC": COMPILER_GOGC},
        cwd=SOURCE,
    )
    partial.rename(folder / "kubernetes")
    for program in PROGRAMS:
        (folder / program).unlink(missing_ok=True)
        (folder / program).symlink_to("kubernetes")
    logger.warning("Built it in %.0f s", time.monotonic() - began)


def _linker_flags() -> str:
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())])


def run(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str | None = None,
) -> str:
    """Run a program to its end and return its output.

    :param given: its standard input.
    :raises PreconditionError: it failed; the message has the end of what it said.
    """
    done = subprocess.run(command, env=environment, cwd=cwd, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise PreconditionError(f"{command[0]} {command[1]} failed with exit status {done.returncode}:\n{said}")
    return done.stdout
