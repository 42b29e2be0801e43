"""Single steps in real pods, with exactly the rights of the manifests: what goes in, what comes out, what is left."""

from __future__ import annotations

import logging
import time

import pytest
from tests.kubernetes.bench import Bench

from mongo_backup.agent.contract import PrepareResult
from sandbox.waiting import wait_until


def test_a_step_runs_in_a_pod_and_leaves_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    began = time.monotonic()
    envelope = bench.run()
    print(f"prepare took {time.monotonic() - began:.1f} s")
    assert envelope.ok, envelope.message
    assert PrepareResult.model_validate(envelope.result).components == ("rs0",)
    assert any(record.name == "mongo_backup.agent" for record in caplog.records)
    wait_until(lambda: not bench.pods(), what="the pod is gone")
    assert not bench.secrets()
