"""Runs the steps of a verification one after the other in this process: what the DAG does, without Airflow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mongo_backup.agent.contract import FinishResult, RunIdentity
from mongo_backup.agent.registry import find_step
from mongo_backup.agent.verify_contract import ChooseResult, VerificationResult, VerifyParameters, VerifyRequest
from mongo_backup.credentials import Credentials
from mongo_backup.model import Model
from mongo_backup.objects.resolved import Objects
from mongo_backup.objects.verification import VerificationSettings
from sandbox.mongod import mongod_binary

ResultModel = TypeVar("ResultModel", bound=Model)


@dataclass
class InlineVerification:
    """One verification, with the sandbox's `mongod`.

    :param settings: further fields of the configuration's `verification`.
    """

    objects: Objects
    credentials: Credentials
    settings: dict[str, Any] = field(default_factory=dict)
    snapshot: str = "latest"
    run_id: str = field(default_factory=lambda: f"inline__{uuid.uuid4().hex[:12]}")

    def step(self, name: str, kind: type[ResultModel], **more: Any) -> ResultModel:
        """Run one step; its result as the model that it should be."""
        configuration = self.objects.configuration
        settings = VerificationSettings.model_validate({"mongod": mongod_binary(), **self.settings})
        spec = configuration.spec.model_copy(update={"verification": settings})
        changed = configuration.model_copy(update={"spec": spec})
        request = VerifyRequest(
            run=RunIdentity(dag_id=f"verify.{configuration.name}", run_id=self.run_id),
            objects=self.objects.model_copy(update={"configuration": changed}),
            parameters=VerifyParameters(snapshot=self.snapshot),
            **more,
        )
        result = find_step(f"verify.{name}").call()(request, self.credentials)
        return kind.model_validate_json(result.model_dump_json())

    def run(self) -> VerificationResult:
        """Run the whole verification; `finish` runs also after a failure."""
        try:
            chosen = self.step("choose_set", ChooseResult)
            return self.step("restore_and_compare", VerificationResult, chosen=chosen)
        finally:
            self.step("finish", FinishResult)
