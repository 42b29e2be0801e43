from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sandbox.pushgateway import Pushgateway
from sandbox.s3 import AccessKey, S3Store

pytestmark = pytest.mark.integration


def error_code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def test_objects_come_back_and_foreign_keys_and_buckets_are_refused(s3_store: S3Store) -> None:
    client = s3_store.client()
    client.put_object(Bucket=s3_store.DEFAULT_BUCKET, Key="a/b", Body=b"x" * 100_000)
    assert client.get_object(Bucket=s3_store.DEFAULT_BUCKET, Key="a/b")["Body"].read() == b"x" * 100_000
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket="no-such-bucket", Key="a", Body=b"x")
    assert error_code(refused.value) == "NoSuchBucket"
    with pytest.raises(ClientError) as refused:
        s3_store.client(key=AccessKey("SANDBOXACCESSKEY0001", "wrong")).list_buckets()
    assert error_code(refused.value) == "SignatureDoesNotMatch"


def test_restic_can_use_it(s3_store: S3Store) -> None:
    environment = {
        **s3_store.environment(),
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "RESTIC_REPOSITORY": s3_store.restic_repository(prefix="one/two"),
        "RESTIC_PASSWORD": "p@ss:w/ %?#&",
        "RESTIC_CACHE_DIR": str(s3_store.workspace.folder("cache")),
    }
    subprocess.run(["restic", "init"], env=environment, check=True, capture_output=True)
    found = subprocess.run(["restic", "cat", "config"], env=environment, check=True, capture_output=True)
    assert b"chunker_polynomial" in found.stdout


def test_a_full_store_reads_and_does_not_write_and_a_stopped_one_refuses() -> None:
    with S3Store() as store:
        client = store.client()
        client.put_object(Bucket="backups", Key="a", Body=b"x" * 100_000)
        store.set_full(True)
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket="backups", Key="b", Body=b"x" * 100_000)
        assert error_code(refused.value) == "InternalError"
        assert len(client.get_object(Bucket="backups", Key="a")["Body"].read()) == 100_000
        assert any(socket.exists() for socket in store.sockets)
        store.stop()
        with pytest.raises(EndpointConnectionError):
            client.list_buckets()
    assert not store.workspace.path.exists()
    assert not any(socket.exists() for socket in store.sockets)


def test_a_pushgateway_shows_its_metrics() -> None:
    with Pushgateway() as gateway:
        assert "pushgateway_build_info" in gateway.metrics()
    assert not Path(gateway.workspace.path).exists()
