"""All steps of a restore one after the other in one process: what the DAG does, for a person without Airflow."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mongo_backup.agent.contract import BalancerResult, RunIdentity
from mongo_backup.agent.registry import find_step
from mongo_backup.agent.restore_contract import (
    DropResult,
    IndexesResult,
    MetadataResult,
    PlanResult,
    RestoreParameters,
    RestoreRequest,
    RestoreResult,
    VerifyResult,
)
from mongo_backup.credentials import Credentials
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import AppBinding, TopologyKind
from mongo_backup.objects.resolved import Objects

ResultModel = TypeVar("ResultModel", bound=Model)


@dataclass
class WholeRestore:
    """One restore. `run` does all of it; the single steps can be called by themselves.

    :param target: another deployment than the one that the backup is of.
    :param parallel: components restored at once.
    :param run_id: who the journal says it is.
    """

    objects: Objects
    credentials: Credentials
    parameters: RestoreParameters = field(default_factory=RestoreParameters)
    target: AppBinding | None = None
    parallel: int = 4
    try_number: int = 1
    run_id: str = field(default_factory=lambda: f"command__{uuid.uuid4().hex[:12]}")
    plan: PlanResult | None = None
    dropped: DropResult | None = None
    restored: tuple[RestoreResult, ...] = ()
    routing: MetadataResult | None = None
    indexes: IndexesResult | None = None
    verified: VerifyResult | None = None

    def request(self, **more: Any) -> RestoreRequest:
        """Return the request that a step would get now."""
        return RestoreRequest(
            run=RunIdentity(dag_id=f"restore.{self.objects.configuration.name}", run_id=self.run_id),
            objects=self.objects,
            target=self.target,
            parameters=self.parameters,
            try_number=self.try_number,
            plan=self.plan,
            restored=self.restored,
            verified=self.verified,
            **more,
        )

    def step(self, name: str, kind: type[ResultModel], **more: Any) -> ResultModel:
        """Run one step; its result as the model that it should be."""
        result = find_step(f"restore.{name}").call()(self.request(**more), self.credentials)
        return kind.model_validate_json(result.model_dump_json())  # over JSON, as between two pods

    def make_plan(self) -> PlanResult:
        """Decide what will be done; nothing is touched.

        :raises PreconditionError: it cannot work.
        """
        self.plan = self.step("plan_restore", PlanResult)
        return self.plan

    def run(self) -> VerifyResult:
        """Run the whole restore; teardowns and `finish` run also after a failure."""
        with ExitStack() as teardowns:
            teardowns.callback(self._release, "finish")
            plan = self.plan or self.make_plan()
            if plan.topology is TopologyKind.SHARDED:
                self.step("disable_balancer", BalancerResult)
                teardowns.callback(self._release, "enable_balancer")
            self.dropped = self.step("drop_existing", DropResult)
            with ThreadPoolExecutor(max_workers=self.parallel) as pool:
                self.restored = tuple(pool.map(self.restore_one, plan.components))
            self.routing = self.step("restore_metadata", MetadataResult)
            self.indexes = self.step("build_indexes", IndexesResult)
            self.verified = self.step("verify_restore", VerifyResult)
        return self.verified

    def restore_one(self, component: str) -> RestoreResult:
        """Restore one component."""
        return self.step("restore", RestoreResult, component=component)

    def finish(self) -> None:
        """Undo what this restore still holds on the target; for one that ends at its plan. Twice does no harm."""
        self._release("finish")

    def _release(self, name: str) -> None:
        find_step(f"restore.{name}").call()(self.request(), self.credentials)
