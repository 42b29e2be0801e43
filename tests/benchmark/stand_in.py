"""An agent whose steps touch nothing: for a simulation of many shards. Runs in the image, on the real agent's frame.

Request in, typed result out, exit code, log and termination message are the real ones; only MongoDB, restic and the
store are not there.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from mongo_backup.agent import contract, registry
from mongo_backup.agent.contract import BackupRequest, Held
from mongo_backup.cli.main import main
from mongo_backup.credentials import Credentials
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode

DUMP_SECONDS = 5.0
SHA256 = "5" * 64
REASONS = ("hidden", "priority 0", "0 s behind the primary", "no other member of its set is away")


def _components(request: BackupRequest) -> list[str]:
    return ["config", *request.objects.target.spec.shards]


def prepare(request: BackupRequest, _: Credentials) -> contract.PrepareResult:
    return contract.PrepareResult(
        set_id="20260101T000000Z-simulation",
        started=datetime.now(UTC).isoformat(),
        topology=request.objects.target.spec.topology,
        components=tuple(_components(request)),
        server_version="7.0.12",
        fcv="7.0",
        cluster_time_supported=True,
        repository_created=False,
    )


def balancer(_request: BackupRequest, _: Credentials) -> contract.BalancerResult:
    return contract.BalancerResult(former="full", now="off")


def members(request: BackupRequest, _: Credentials) -> contract.MembersResult:
    return contract.MembersResult(
        members=tuple(
            ChosenMember(
                component=name,
                role=ComponentRole.CONFIG if name == "config" else ComponentRole.SHARD,
                replica_set=name,
                host=f"{name}-2.mongo.production.svc.example.com:27018",
                state="SECONDARY",
                mode=ReadMode.LOCK,
                reasons=REASONS,
            )
            for name in _components(request)
        )
    )


def lock(request: BackupRequest, _: Credentials) -> contract.LockResult:
    return contract.LockResult(
        consistency=Consistency.LOCKED,
        held=tuple(
            Held(component=each.component, host=each.host, mode="lock", at=time.time(), catalog=SHA256)
            for each in request.members
        ),
        skew_seconds=0.1,
    )


def dump(request: BackupRequest, _: Credentials) -> contract.DumpResult:
    time.sleep(DUMP_SECONDS)
    return contract.DumpResult(
        component=request.component or "",
        archive_id=SHA256,
        inventory_id=SHA256,
        archive_file=f"/{request.component}.archive",
        engine="native",
        consistency=Consistency.LOCKED,
        documents=1,
        bytes=1,
        bytes_added=1,
        collections=1,
        seconds=DUMP_SECONDS,
        read_seconds=DUMP_SECONDS,
    )


def release(_request: BackupRequest, _: Credentials) -> contract.ReleaseResult:
    return contract.ReleaseResult()


def commit(request: BackupRequest, _: Credentials) -> contract.CommitResult:
    return contract.CommitResult(
        set_id=request.set_id or "",
        manifest_id=SHA256,
        consistency=Consistency.LOCKED,
        documents=len(request.dumps),
        bytes=1,
        bytes_added=1,
    )


def retention(_request: BackupRequest, _: Credentials) -> contract.RetentionResult:
    return contract.RetentionResult(kept=1)


def metrics(_request: BackupRequest, _: Credentials) -> contract.MetricsResult:
    return contract.MetricsResult(pushed=False, reason="a simulation")


def finish(_request: BackupRequest, _: Credentials) -> contract.FinishResult:
    return contract.FinishResult()


STEPS = {
    "prepare": "prepare",
    "disable_balancer": "balancer",
    "identify_secondaries": "members",
    "lock_config_server": "lock",
    "lock_secondaries": "lock",
    "dump": "dump",
    "unlock_secondaries": "release",
    "unlock_config_server": "release",
    "enable_balancer": "release",
    "commit_snapshot": "commit",
    "apply_retention": "retention",
    "push_metrics": "metrics",
    "finish": "finish",
}

if __name__ == "__main__":
    request = "mongo_backup.agent.contract:BackupRequest"
    for step, function in STEPS.items():
        registry.STEPS[f"backup.{step}"] = registry.Step(request=request, function=f"stand_in:{function}")
    sys.exit(main())
