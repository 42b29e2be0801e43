"""A restore by its steps in this process, with what only pods ask for: results that fit into 4 KiB."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from mongo_backup.agent.whole_restore import ResultModel, WholeRestore


@dataclass
class InlineRestore(WholeRestore):
    """One restore, as a test wants it."""

    run_id: str = field(default_factory=lambda: f"inline__{uuid.uuid4().hex[:12]}")

    def step(self, name: str, kind: type[ResultModel], **more: Any) -> ResultModel:
        """Run one step; its result as the model that it should be."""
        result = super().step(name, kind, **more)
        if (size := len(result.model_dump_json().encode())) >= 4096:
            raise AssertionError(f"the result of {name} is {size} bytes: too long for a pod")
        return result
