"""The watchdog as a task: one deployment each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSkipException

from mongo_backup.agent.release_contract import ReleaseStep, WatchRequest
from mongo_backup.errors import TransientError
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.operators.base import AgentOperator, run_identity
from mongo_backup_airflow.subject import Subject

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, kw_only=True, repr=False)
class WatchedTargets:
    """The deployments to look at.

    :param subjects: by the AppBinding's name; `objects.target` of each is that AppBinding.
    :param backed_up: names of those that some configuration backs up; the others may only be restored into.
    """

    subjects: Mapping[str, Subject]
    backed_up: frozenset[str]

    def __repr__(self) -> str:
        """How many: Airflow writes it into the serialised DAG."""
        return f"{len(self.subjects)} targets"


class ReleaseLocksOperator(AgentOperator):
    """Undoes what dead runs left on one deployment.

    A deployment that does not answer is a failure; one that no configuration backs up may be away, and is skipped.

    :param watched: all deployments.
    :param target: which one, by its AppBinding's name.
    """

    family = "release"
    side_by_side: ClassVar[frozenset[str]] = frozenset({ReleaseStep.EXPIRED})
    template_fields: Sequence[str] = ("step", "target")
    target_template = "{{ task.target }}"
    """How Airflow names the mapped task."""

    def __init__(self, *, watched: WatchedTargets, target: str, **arguments: Any) -> None:
        super().__init__(subject=watched.subjects[target], step=ReleaseStep.EXPIRED.value, **arguments)
        self.watched = watched
        self.target = target

    def execute(self, context: Context) -> Any:
        """Look and undo.

        :raises AirflowSkipException: nobody backs it up, and it does not answer.
        """
        try:
            return super().execute(context)
        except TransientError as error:
            if self.target in self.watched.backed_up:
                raise
            raise AirflowSkipException(f"nobody backs {self.target} up, and it does not answer: {error}") from error

    def request(self, context: Context) -> WatchRequest:
        """The deployment."""
        return WatchRequest(run=run_identity(context), target=self.subject.objects.target)

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The backup user; where there is none, the user that restores."""
        spec = self.subject.objects.target.spec
        return [spec.credentials or spec.restore_credentials]
