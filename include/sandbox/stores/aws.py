"""AWS' identities on this machine: moto, which checks signatures, session tokens and policies as AWS does.

SeaweedFS is the S3 server of everything else; it knows no roles.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

import boto3

from sandbox.mongod import accepts_connections
from sandbox.ports import lease_port
from sandbox.processes import Process
from sandbox.s3 import AccessKey
from sandbox.workspace import Workspace

REGION = "us-east-1"
USER, ROLE, BUCKET = "airflow", "backup", "backups"


class AwsAccount:
    """A user who may do nothing but assume a role, and a role that may use a bucket. Start it with `with`."""

    def __init__(self) -> None:
        self.bucket_name = BUCKET
        self.workspace = Workspace("aws")
        self._lease = lease_port()
        self._process = Process(
            name=f"moto ({self._lease.address})",
            command=[sys.executable, "-m", "moto.server", "-H", self._lease.host, "-p", str(self._lease.port)],
            log_path=self.workspace.path / "moto.log",
        )

    @property
    def endpoint(self) -> str:
        """Where IAM, STS and S3 are."""
        return f"http://{self._lease.address}"

    def __enter__(self) -> Self:
        self._process.start()
        self._process.wait_ready(lambda: accepts_connections(self._lease.port))
        self.client("s3").create_bucket(Bucket=BUCKET)
        iam = self.client("iam")
        iam.create_user(UserName=USER)
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        self.key = AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
        iam.put_user_policy(UserName=USER, PolicyName="roles", PolicyDocument=_may("sts:AssumeRole"))
        trust = _may("sts:AssumeRole", Principal={"AWS": "*"})
        self.role = str(iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)["Role"]["Arn"])
        iam.put_role_policy(RoleName=ROLE, PolicyName="bucket", PolicyDocument=_may("s3:*"))
        # from now on who asks is looked at: http://docs.getmoto.org/en/latest/docs/iam.html
        headers = {"Content-Type": "text/plain"}
        order = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=b"0", headers=headers)
        urllib.request.urlopen(order, timeout=10).close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
        self._lease.release()
        self.workspace.remove()

    def client(self, service: str) -> Any:
        """A client of nobody in particular: of use until identities are looked at."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )

    def connection(self, **extra: Any) -> str:
        """An Airflow Connection of type `aws` with the user's key, as JSON."""
        services = {"sts": {"endpoint_url": self.endpoint}}
        extras = {"region_name": REGION, "service_config": services, **extra}
        login = {"login": self.key.access_key, "password": self.key.secret_key}
        return json.dumps({"conn_type": "aws", **login, "extra": extras})


def _may(action: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, **(more or {"Resource": "*"})}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
