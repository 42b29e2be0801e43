"""A replica set and a standalone server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sandbox.component import Component, Member
from sandbox.deployment import Deployment, shape


class Standalone(Deployment):
    """One server without an oplog; its only component is called "standalone"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.component = self._component(name="standalone", options=self.options, members=[Member()])
        self.components = {self.component.name: self.component}

    def _join(self) -> None:
        """There is nothing to join."""

    def _address(self) -> dict[str, Any]:
        return {"topology": "standalone", "hosts": self.hosts()}


class ReplicaSet(Deployment):
    """A replica set; its only component has the set's name.

    :param members: how many, or each one's part: `[Member(), Member(hidden=True), Member(arbiter=True)]`.
    :param options: see `Deployment`.
    """

    def __init__(self, *, members: int | Sequence[Member] = 3, name: str = "rs0", **options: Any) -> None:
        super().__init__(**options)
        self.component: Component = self._component(
            name=name, options=dataclasses.replace(self.options, replica_set=name), members=shape(members)
        )
        self.components = {name: self.component}

    def _join(self) -> None:
        """There is nothing to join."""

    def _address(self) -> dict[str, Any]:
        return {
            "topology": "replica_set",
            "replica_set": {"replica_set": self.component.name, "hosts": self.component.hosts},
        }
