"""An image with MongoDB's server alone, for verifications in pods: `mongod` of this machine and its libraries."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from sandbox.kubernetes.binaries import cache_folder, only_one, run
from sandbox.kubernetes.images import layer_of
from sandbox.mongod import mongod_binary

IMAGE = "sandbox.local/mongod:1"
PROGRAM = "usr/bin/mongod"
ENVIRONMENT = {"PATH": "/usr/bin"}

_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
"""A line of ldd(1): where the loader found a library, or the loader itself."""


def server_layer() -> Path:
    """Return the image's one layer, built once for each server; older ones are removed.

    :raises PreconditionError: there is no `mongod` here, or a tool failed.
    """
    folder, program = cache_folder("images"), Path(mongod_binary())
    state = program.stat()
    made_of = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    target = folder / f"mongod-{made_of}.tar"
    with only_one(folder):
        if not target.exists():
            _build(program, target)
    return target


def _build(program: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".mongod-") as name:
        root = Path(name) / "root"
        _put(program, root / PROGRAM)
        for library in _LIBRARY.findall(run(["ldd", str(program)])):
            _put(Path(library), root / library.lstrip("/"))
        layer_of(root, Path(name) / "layer.tar")
        for old in target.parent.glob("mongod-*.tar"):
            old.unlink(missing_ok=True)
        (Path(name) / "layer.tar").rename(target)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)
