"""The agent image without a registry: what `include/image/Dockerfile` makes, from Debian and Python packages.

Two layers, each kept in the cache folder under a digest of what it is made of: Debian with Python and restic (2 to 3
minutes, once), and the project's wheel with what it needs (seconds, for each change of the source). Unlike the
Dockerfile's image it has Debian's restic and not MongoDB's own tools, which no package has.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from mongo_backup.errors import PreconditionError
from mongo_backup.objects.addon import DEFAULT_IMAGE
from sandbox.kubernetes.binaries import cache_folder, only_one, run
from sandbox.kubernetes.images import layer_of

logger = logging.getLogger(__name__)

IMAGE = f"docker.io/library/{DEFAULT_IMAGE}"
"""How a node knows the image that has no registry in its name."""

ENTRYPOINT = ("mongo-backup",)
USER = "10001:10001"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "RESTIC_CACHE_DIR": "/tmp/restic-cache",
}

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
MIRROR_VARIABLE = "MONGO_BACKUP_DEBIAN_MIRROR"
PACKAGES = ("ca-certificates", "python3", "restic")
UNUSED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")
PYTHON = "3.11"
"""The suite's Python."""
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"

PROJECT = Path(__file__).resolve().parents[3]
WHEEL_SOURCES = (
    "pyproject.toml",
    "README.md",
    "constraints.txt",
    "include/mongo_backup",
    "plugins/mongo_backup_airflow",
)
COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
LAUNCHER = "#!/usr/bin/python3\nimport sys\n\nfrom mongo_backup.cli.main import main\n\nsys.exit(main())\n"


def agent_layers() -> list[Path]:
    """Return the image's layers, built where they are missing.

    :raises PreconditionError: a tool failed.
    """
    folder = cache_folder("images")
    with only_one(folder):
        base = _base(folder)
        return [_base_layer(base), _application(folder, base)]


def _base(folder: Path) -> Path:
    """Return the folder with Debian's root file system."""
    target = folder / f"base-{_digest([SUITE, *PACKAGES, *UNUSED])}"
    if target.exists():
        return target
    logger.warning("Building the base of the agent image from Debian %s: once, 1 to 3 minutes", SUITE)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".base-") as name:
        root = Path(name) / "root"
        mirror = os.environ.get(MIRROR_VARIABLE, MIRROR)
        run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), mirror])
        for unused in UNUSED:
            shutil.rmtree(root / unused, ignore_errors=True)
        Path(name).chmod(0o755)
        Path(name).rename(target)
        Path(name).mkdir()  # for the end of this block to remove
    logger.warning("Built it in %.0f s", time.monotonic() - began)
    return target


def _base_layer(base: Path) -> Path:
    """Return the layer of Debian's root file system."""
    layer = base / "root.tar"
    if not layer.exists():
        layer_of(base / "root", base / "root.new").rename(layer)
    return layer


def _application(folder: Path, base: Path) -> Path:
    """Return the layer with the wheel and its dependencies; older ones are removed."""
    target = folder / f"application-{_digest([base.name, LAUNCHER, *COMPILE, *_source_texts()])}.tar"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=folder, prefix=".application-") as name:
        root, wheels = Path(name) / "root", Path(name) / "wheels"
        site = root / SITE
        run([*_uv(), "build", "--quiet", "--wheel", "--out-dir", str(wheels), str(PROJECT)])
        wheel = next(wheels.glob("*.whl"))
        install = ["pip", "install", "--quiet", "--target", str(site), "--python-version", PYTHON]
        install += ["--only-binary", ":all:", "--constraint", str(PROJECT / "constraints.txt"), str(wheel)]
        run([*_uv(), *install])
        shutil.rmtree(site / "bin", ignore_errors=True)
        launcher = root / "usr/local/bin/mongo-backup"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        _compile(site, base / "root")
        layer_of(root, Path(name) / "layer.tar")
        for old in folder.glob("application-*.tar"):
            old.unlink(missing_ok=True)
        (Path(name) / "layer.tar").rename(target)
    return target


def _compile(site: Path, base: Path) -> None:
    """Compile with the image's own Python: on a read-only file system each start would compile anew."""
    compiling = f"python3 {' '.join(COMPILE)} -s /mnt -p /{SITE} /mnt"
    inside = f"mount --bind '{site}' '{base}/mnt' && exec chroot '{base}' {compiling}"
    run(["unshare", "--mount", "sh", "-c", inside])


def _uv() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise PreconditionError("no uv here: run `make setup`, or install it (pip install uv)")
    return [found]


def _source_texts() -> Iterable[str]:
    """Names and contents of everything that the wheel is made of."""
    for name in WHEEL_SOURCES:
        path = PROJECT / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                yield f"{file.relative_to(PROJECT)}\n{file.read_text('utf-8', errors='surrogateescape')}"


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", errors="surrogateescape") + b"\0")
    return digest.hexdigest()[:16]
