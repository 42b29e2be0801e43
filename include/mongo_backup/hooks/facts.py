"""What a hook is told about the run."""

from __future__ import annotations

import json
from string import Template
from typing import Literal

from mongo_backup.model import Model


class HookFacts(Model):
    """Facts by the names that `mongo_backup.objects.hooks.FACTS` lists; before a run much is not known yet."""

    kind: Literal["backup", "restore"]
    configuration: str
    session: str = ""
    """A restore has none."""
    target: str
    """The AppBinding."""
    dag: str
    run: str
    set_id: str = ""
    hook: str
    when: Literal["before", "after"]
    outcome: Literal["", "success", "failure"] = ""
    complete: bool | None = None
    """Whether the set was made, or the restore was equal to it, even if the run failed."""
    reason: str = ""
    """The tasks that did not succeed, and why."""

    def texts(self) -> dict[str, str]:
        """All facts as text."""
        values = self.model_dump(mode="json")
        return {name: _text(value) for name, value in values.items()}

    def document(self) -> str:
        """All facts as a JSON document."""
        return self.model_dump_json()

    def filled(self, template: str, *, as_json: bool) -> str:
        """A template with the facts in it.

        :param as_json: escape them, so that a quotation mark in one ends no JSON text.
        """
        texts = self.texts()
        values = {name: json.dumps(text)[1:-1] for name, text in texts.items()} if as_json else texts
        return Template(template).substitute(values)


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
