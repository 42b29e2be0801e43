"""Runs the steps of a backup one after the other in this process: what the DAG does, without Airflow.

For tests of the steps themselves. Teardowns run whatever happens, as in the DAG.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mongo_backup.agent.contract import (
    BackupRequest,
    BalancerResult,
    CommitResult,
    DumpResult,
    LockResult,
    MembersResult,
    PrepareResult,
    RunIdentity,
)
from mongo_backup.agent.registry import find_step
from mongo_backup.credentials import Credentials
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.resolved import Objects
from mongo_backup.topology.model import ChosenMember, ComponentRole

ResultModel = TypeVar("ResultModel", bound=Model)


@dataclass
class InlineBackup:
    """One backup. `run` does all of it; the single steps can be called by themselves.

    :param parallel: components dumped at once.
    """

    objects: Objects
    credentials: Credentials
    session: str = "manual"
    parallel: int = 4
    run_id: str = field(default_factory=lambda: f"inline__{uuid.uuid4().hex[:12]}")
    prepared: PrepareResult | None = None
    members: tuple[ChosenMember, ...] = ()
    lock: LockResult | None = None
    dumps: tuple[DumpResult, ...] = ()

    def request(self, **more: Any) -> BackupRequest:
        """Return the request that a step would get now."""
        return BackupRequest(
            run=RunIdentity(dag_id=f"backup.{self.objects.configuration.name}.{self.session}", run_id=self.run_id),
            objects=self.objects,
            session=self.session,
            set_id=self.prepared.set_id if self.prepared else None,
            prepared=self.prepared,
            members=self.members,
            lock=self.lock,
            dumps=self.dumps,
            **more,
        )

    def step(self, name: str, kind: type[ResultModel], **more: Any) -> ResultModel:
        """Run one step; its result as the model that it should be."""
        result = find_step(f"backup.{name}").call()(self.request(**more), self.credentials)
        # over JSON, as between two pods
        return kind.model_validate_json(result.model_dump_json())

    def run(self) -> CommitResult:
        """Run the whole backup; teardowns and `finish` run also after a failure."""
        with ExitStack() as last:
            last.callback(self.release, "finish")
            self.run_dumps()
            return self.step("commit_snapshot", CommitResult)

    def run_dumps(self) -> None:
        """Run everything before the commit."""
        with ExitStack() as teardowns:
            self.prepared = self.step("prepare", PrepareResult)
            sharded = self.prepared.topology is TopologyKind.SHARDED
            if sharded:
                self.step("disable_balancer", BalancerResult)
                teardowns.callback(self.release, "enable_balancer")
            self.members = self.step("identify_secondaries", MembersResult).members
            self.hold(teardowns)
            self.dump_all()

    def hold(self, teardowns: ExitStack) -> None:
        """Lock, or raise history windows; the undo goes onto `teardowns`."""
        if any(member.role is ComponentRole.STANDALONE for member in self.members):
            return
        if any(member.role is ComponentRole.CONFIG for member in self.members):
            teardowns.callback(self.release, "unlock_config_server")
            self.step("lock_config_server", LockResult)
        teardowns.callback(self.release, "unlock_secondaries")
        self.lock = self.step("lock_secondaries", LockResult)

    def dump_all(self) -> None:
        """Dump every component, `parallel` at a time."""
        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            self.dumps = tuple(pool.map(self.dump_one, [member.component for member in self.members]))

    def dump_one(self, component: str) -> DumpResult:
        """Dump one component."""
        return self.step("dump", DumpResult, component=component)

    def release(self, name: str) -> None:
        """Run one of the steps that undo."""
        find_step(f"backup.{name}").call()(self.request(), self.credentials)
