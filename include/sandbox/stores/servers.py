"""Stores of one's own machines: an SFTP server (OpenSSH) and a server of restic's REST protocol (rclone)."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from mongo_backup.errors import PreconditionError
from sandbox.mongod import accepts_connections
from sandbox.ports import lease_port
from sandbox.processes import Process
from sandbox.tls import make_tls
from sandbox.workspace import Workspace

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""sshd as root does not start without this folder, which Debian makes when the service starts."""


def program(name: str, package: str) -> str:
    """Return the path of a program of Debian's.

    :raises PreconditionError: it is not installed.
    """
    if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/openssh"):
        return found
    raise PreconditionError(f"no {name} here: install it (Debian: apt-get install {package})")


class _Server:
    """One process that serves `folder`."""

    def __init__(self, name: str) -> None:
        self.workspace = Workspace(name)
        self.folder = self.workspace.folder("store")
        self._lease = lease_port()
        self._process = self._new_process()

    def _new_process(self) -> Process:
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Host and port."""
        return self._lease.address

    def start(self) -> Self:
        """Start it and wait until it listens. Returns itself."""
        try:
            self._process.start()
            self._process.wait_ready(lambda: accepts_connections(self._lease.port, self._lease.host))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill it and give the port back. May be called again."""
        self._process.kill()
        self.workspace.remove()
        self._lease.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SftpServer(_Server):
    """OpenSSH's server for this machine's own user, by a key alone."""

    def __init__(self) -> None:
        super().__init__("sftp")

    def _new_process(self) -> Process:
        root = self.workspace.path
        root.chmod(0o700)
        for name in ("host_key", "user_key"):
            command = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
            subprocess.run(command, check=True)
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        (root / "sshd_config").write_text(
            f"ListenAddress {self._lease.host}:{self._lease.port}\nHostKey {root / 'host_key'}\nPidFile none\n"
            f"AuthorizedKeysFile {root / 'user_key.pub'}\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        return Process(
            name=f"sshd ({self.address})",
            command=[program("sshd", "openssh-server"), "-D", "-e", "-f", str(root / "sshd_config")],
            log_path=root / "sshd.log",
        )

    @property
    def user(self) -> str:
        """Who may log in."""
        return getpass.getuser()

    @property
    def private_key(self) -> str:
        """The user's key."""
        return (self.workspace.path / "user_key").read_text()

    @property
    def known_hosts(self) -> str:
        """The server's key, as ssh-keyscan prints it."""
        key = (self.workspace.path / "host_key.pub").read_text()
        return f"[{self._lease.host}]:{self._lease.port} {key}"


class RestServer(_Server):
    """`rclone serve restic` on a folder, with TLS, a login and a password."""

    login, password = "shop", "s3cr@t:/%?#& '\""

    def __init__(self) -> None:
        super().__init__("rest")

    def _new_process(self) -> Process:
        tls = make_tls(self.workspace.folder("tls"))
        self.ca_file = tls.ca_file
        certificate = ["--cert", str(tls.key_file), "--key", str(tls.key_file)]
        return Process(
            name=f"rclone serve restic ({self.address})",
            command=[
                program("rclone", "rclone"),
                "serve",
                "restic",
                "--addr",
                self.address,
                *certificate,
                str(self.folder),
            ],
            log_path=self.workspace.path / "rclone.log",
            environment={
                **os.environ,
                "RCLONE_USER": self.login,
                "RCLONE_PASS": self.password,
                "RCLONE_CONFIG": str(self.workspace.path / "rclone.conf"),
            },
        )
