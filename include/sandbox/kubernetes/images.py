"""Container images without a registry: root file systems packed as an archive that containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.kubernetes.binaries import only_one, run

PAUSE = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int number) { (void)number; exit(0); }
int main(void) { signal(SIGINT, end); signal(SIGTERM, end); for (;;) pause(); }
"""
"""The program of a pod's first container: it holds the pod's namespaces."""

BLOCK = 1024 * 1024


def pause_layer(folder: Path) -> Path:
    """Return a layer with the program `/pause`, built once."""
    with only_one(folder):
        layer = folder / "pause.tar"
        if not layer.exists():
            program = folder / "pause"
            run(["gcc", "-static", "-O2", "-x", "c", "-o", str(program), "-"], given=PAUSE)
            partial = layer.with_suffix(".new")
            with tarfile.open(partial, "w") as archive:
                archive.add(program, "pause")
            partial.rename(layer)
    return layer


def layer_of(folder: Path, layer: Path) -> Path:
    """Pack a folder as a layer; owners and times as in the folder: by them Python knows what it has compiled."""
    run(["tar", "--create", "--numeric-owner", "--sort=name", f"--file={layer}", f"--directory={folder}", "."])
    return layer


def write_archive(
    target: Path,
    *,
    name: str,
    layers: Sequence[Path],
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    user: str = "",
) -> None:
    """Write the image as `docker save` does.

    Format: https://github.com/moby/docker-image-spec (v1.2, "Combined Image JSON + Filesystem Changeset Format").

    :param layers: uncompressed tar archives, the lowest first.
    """
    digests = [_sha256(layer) for layer in layers]
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(entrypoint),
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "User": user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    body = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    paths = [f"{digest}/layer.tar" for digest in digests]
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": paths}]
    with tarfile.open(target, "w") as archive:
        _add(archive, config_name, body)
        for layer, path in zip(layers, paths, strict=True):
            archive.add(layer, path)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
