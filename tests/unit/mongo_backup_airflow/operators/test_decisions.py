"""Retry or fail, what is mapped over, and the last task's verdict."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from mongo_backup.agent.contract import BackupRequest, Envelope
from mongo_backup.agent.restore_contract import RestoreRequest
from mongo_backup.errors import ConfigurationError, ExitCode, MongoBackupError, PermanentError, TransientError
from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.resolved import CopyObjects, Objects
from mongo_backup.objects.storage import BackupStorage
from mongo_backup_airflow import queueing
from mongo_backup_airflow.operators import base
from mongo_backup_airflow.operators.backup import (
    BackupMetricsOperator,
    BackupOperator,
    CommitSnapshotOperator,
    DumpOperator,
    FinishBackupOperator,
    IdentifySecondariesOperator,
)
from mongo_backup_airflow.operators.restore import (
    FinishRestoreOperator,
    MongoRestoreOperator,
    PlanRestoreOperator,
    RestoreStepOperator,
)
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.subject import Subject
from sandbox.objects import API, configuration, local_storage

BINDING = {
    **API,
    "kind": "AppBinding",
    "metadata": {"name": "shop"},
    "spec": {"topology": "replica_set", "replica_set": {"replica_set": "rs", "hosts": ["h:1"]}},
}
OTHER = {**BINDING, "metadata": {"name": "copy"}}
RUN = "backup.shop.manual/r/1 begun 2026-01-31T02:00:07.000005+00:00"
MEMBER = {"component": "rs", "role": "replica_set", "host": "h:1", "state": "SECONDARY", "mode": "lock"}


def subject(session: str | None = "manual", **spec: Any) -> Subject:
    document = configuration(target="shop", **spec)
    document["spec"]["encryption"] = {"connection": "encryption"}
    objects = Objects.model_validate(
        {
            "configuration": document,
            "target": BINDING,
            "storage": local_storage(Path("/backups")),
            "addon": builtin_addon().model_dump(by_alias=True),
        }
    )
    targets = {name: objects.target.model_validate(each) for name, each in (("shop", BINDING), ("copy", OTHER))}
    return Subject(objects=objects, session=session, targets=targets)


class FakeInstance:
    """The task instance as far as operators use it: results of other tasks and states."""

    dag_id, run_id, task_id, map_index = "backup.shop.manual", "r/1", "finish", -1

    def __init__(self, results: dict[str, Any], states: dict[str, str], try_number: int = 1) -> None:
        self.results, self.states, self.try_number = results, states, try_number
        self.pushed: dict[str, Any] = {}
        self.waits_since: datetime | None = None

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value", map_indexes: int | None = None) -> Any:
        if isinstance(task_ids, list):
            return self.results.get(task_ids[0], [None])
        if map_indexes is not None:
            task_ids += f"[{map_indexes}]" if map_indexes >= 0 else ""
        return self.results.get(task_ids if key == "return_value" else f"{task_ids}:{key}")

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.waits_since

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: self.states}

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return []


class FakeDag:
    tasks: tuple[Any, ...] = (SimpleNamespace(task_id="dump", is_mapped=True),)


def context(
    results: dict[str, Any] | None = None,
    *,
    states: dict[str, str] | None = None,
    params: dict[str, Any] | None = None,
    try_number: int = 1,
) -> Any:
    return {
        "ti": FakeInstance(results or {}, states or {}, try_number),
        "dag": FakeDag(),
        "dag_run": SimpleNamespace(start_date=datetime(2026, 1, 31, 2, 0, 7, 5, tzinfo=UTC)),
        "params": params or {},
    }


class Played:
    """A runner that answers without an agent; what it was asked stays for the test to see."""

    def __init__(self, answer: Envelope | BaseException) -> None:
        self.answer = answer
        self.calls: list[StepCall] = []

    def run(self, call: StepCall) -> Envelope:
        self.calls.append(call)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def stop(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ENCRYPTION", '{"conn_type": "generic", "password": "of-the-repository"}')


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answer(given: Envelope | BaseException) -> Played:
        played = Played(given)
        monkeypatch.setattr(base, "runner_for", lambda *_: played)
        return played

    return answer


def failed(code: ExitCode) -> Envelope:
    return Envelope(step="s", ok=False, exit_code=code, message="as it is")


def done(**result: Any) -> Envelope:
    return Envelope(step="s", ok=True, result=result)


def backup(kind: type[BackupOperator] = BackupOperator, **more: Any) -> BackupOperator:
    asked = more.pop("subject", None) or subject()
    return kind(task_id="t", subject=asked, step=more.pop("step", "prepare"), **more)


@pytest.mark.parametrize(
    ("code", "again", "teardown_again"),
    [
        (ExitCode.CONFIGURATION, False, False),
        (ExitCode.PRECONDITION, False, True),
        (ExitCode.CONFLICT, True, True),
        (ExitCode.TRANSIENT, True, True),
        (ExitCode.PERMANENT, False, True),
        (ExitCode.ARCHIVE, False, True),
        (ExitCode.VERIFICATION, False, True),
        (ExitCode.INTERRUPTED, False, True),
        (ExitCode.UNEXPECTED, False, True),
    ],
)
def test_the_cause_decides_on_another_try(play: Any, code: ExitCode, again: bool, teardown_again: bool) -> None:
    play(failed(code))
    for teardown, expected in ((False, again), (True, teardown_again)):
        operator = backup()
        if teardown:
            operator.as_teardown()
        with pytest.raises(MongoBackupError if expected else AirflowFailException, match="as it is"):
            operator.execute(context())


def waits_until(operator: BackupOperator, given: Any) -> datetime:
    with pytest.raises(AirflowRescheduleException) as raised:
        operator.execute(given)
    return raised.value.reschedule_date


def test_a_run_queues_for_a_busy_target_and_gives_up_one_day(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGO_BACKUP_RETRY_SECONDS", raising=False)
    play(failed(ExitCode.BUSY))
    operator = backup(subject=subject(queue_timeout="1h"))
    for minutes, pause in ((0, 15), (4, 30), (50, 120), (59.5, 30)):
        given, now = context(), datetime.now(UTC)
        given["ti"].waits_since = now - timedelta(minutes=minutes) if minutes else None
        assert (waits_until(operator, given) - now).total_seconds() == pytest.approx(pause, abs=2)
    given["ti"].waits_since = datetime.now(UTC) - timedelta(minutes=61)
    with pytest.raises(AirflowFailException, match=r"given up after 1h \(queue_timeout\) in the queue: as it is"):
        operator.execute(given)


def test_where_it_is_forbidden_a_run_fails_at_once(play: Any) -> None:
    play(failed(ExitCode.BUSY))
    operator = backup(subject=subject(concurrency="forbid"))
    with pytest.raises(AirflowFailException, match=r"as it is\. BackupConfiguration shop says concurrency: forbid"):
        operator.execute(context())
    operator.as_teardown()
    with pytest.raises(MongoBackupError):
        operator.execute(context())


def test_the_pause_of_demonstrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_BACKUP_RETRY_SECONDS", "2")
    assert queueing.next_pause(timedelta(hours=3)) == timedelta(seconds=2)


def test_errors_of_the_runner_decide_too(play: Any) -> None:
    play(TransientError("the store sleeps"))
    with pytest.raises(TransientError):
        backup().execute(context())
    play(ConfigurationError("no such connection"))
    with pytest.raises(AirflowFailException, match="no such connection"):
        backup().execute(context())


def test_a_try_that_fails_leaves_its_reason(play: Any) -> None:
    long = Envelope(step="s", ok=False, exit_code=ExitCode.PERMANENT, message="shard0\n" + "x" * 1000)
    expected = {
        failed(ExitCode.TRANSIENT): "as it is",
        failed(ExitCode.CONFIGURATION): "as it is (configuration)",
        ConfigurationError("no such connection"): "no such connection (configuration)",
        long: "shard0 " + "x" * 390 + "...",
    }
    for answer, reason in expected.items():
        play(answer)
        given = context()
        with pytest.raises((MongoBackupError, AirflowFailException)):
            backup().execute(given)
        assert given["ti"].pushed == {"reason": reason}


def test_a_reason_that_cannot_be_left_is_still_raised(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Any, **_: Any) -> None:
        raise OSError("the API server is away")

    monkeypatch.setattr(FakeInstance, "xcom_push", away)
    play(failed(ExitCode.TRANSIENT))
    with pytest.raises(TransientError, match="as it is"):
        backup().execute(context())


def test_a_run_in_the_queue_has_no_reason_to_leave(play: Any) -> None:
    play(failed(ExitCode.BUSY))
    given = context()
    with pytest.raises(AirflowRescheduleException):
        backup().execute(given)
    assert given["ti"].pushed == {}


def test_metrics_of_a_failed_run_need_no_connection(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_ENCRYPTION")
    played = play(done(pushed=True))
    backup(BackupMetricsOperator, step="push_metrics").execute(context(states={"prepare": "failed"}))
    assert played.calls[0].credentials.get_secret_value() == "{}"
    with pytest.raises(AirflowFailException, match="there is no Airflow Connection 'encryption'"):
        backup(BackupMetricsOperator, step="push_metrics").execute(context(states={"commit_snapshot": "success"}))


def test_a_time_limit_is_no_reason_to_try_again(play: Any) -> None:
    play(AirflowTaskTimeout("late"))
    with pytest.raises(AirflowFailException, match="time limit"):
        backup().execute(context())
    operator = backup()
    operator.as_teardown()
    with pytest.raises(AirflowTaskTimeout):
        operator.execute(context())


def test_what_the_agent_gets(play: Any) -> None:
    played = play(done())
    prepared = {
        "set_id": "s1",
        "started": "2026-01-01T00:00:00Z",
        "topology": "replica_set",
        "components": ["rs"],
        "server_version": "6.0.5",
        "cluster_time_supported": True,
        "repository_created": False,
    }
    lock = {"consistency": "locked", "cluster_time": {"t": 7, "i": 1}}
    results = {"prepare": prepared, "identify_secondaries": [MEMBER], "widen_history_windows": lock}
    operator = backup(DumpOperator, step="dump", member=MEMBER, lock_task="widen_history_windows")
    operator.execute(context(results))
    (call,) = played.calls
    request = call.request
    assert isinstance(request, BackupRequest)
    assert (call.step, call.run, call.task, call.alone) == ("backup.dump", RUN, "finish", False)
    assert (request.component, request.set_id, request.session) == ("rs", "s1", "manual")
    assert request.lock is not None
    assert str(request.lock.cluster_time) == "7.1"
    assert "of-the-repository" in call.credentials.get_secret_value()
    assert "of-the-repository" not in request.model_dump_json()


@pytest.mark.parametrize(
    ("step", "alone"), [("prepare", True), ("lock_secondaries", True), ("unlock_secondaries", False), ("finish", True)]
)
def test_what_waits_for_older_agents(play: Any, step: str, alone: bool) -> None:
    played = play(done())
    backup(step=step).execute(context())
    assert played.calls[0].alone is alone


def test_an_empty_list_is_an_error_not_a_green_run(play: Any) -> None:
    play(done(members=[]))
    with pytest.raises(ValueError, match="nothing would be backed up"):
        backup(IdentifySecondariesOperator).execute(context())
    play(done(members=[MEMBER]))
    assert backup(IdentifySecondariesOperator).execute(context()) == [MEMBER]
    play(done(components={}, words=[], warnings=[]))
    with pytest.raises(ValueError, match="nothing would be restored"):
        restore(PlanRestoreOperator).execute(context())


def test_nothing_is_committed_without_all_dumps(play: Any) -> None:
    played = play(done())
    operator = backup(CommitSnapshotOperator, step="commit_snapshot")
    with pytest.raises(AirflowSkipException, match="no dump of rs"):
        operator.execute(context({"identify_secondaries": [MEMBER], "dump": [None]}))
    with pytest.raises(AirflowSkipException, match="any component"):
        operator.execute(context())
    assert played.calls == []


# The verdict


def finish(states: dict[str, str], *, try_number: int = 1, reasons: dict[str, str] | None = None) -> Any:
    operator = backup(FinishBackupOperator, step="finish")
    operator.as_teardown(on_failure_fail_dagrun=True)
    left = {f"{task}:reason": reason for task, reason in (reasons or {}).items()}
    return operator.execute(context(left, states={**states, "finish": "running"}, try_number=try_number))


WELL = {"prepare": "success", "dump_0": "success", "commit_snapshot": "success", "push_metrics": "success"}


def test_a_clean_run(play: Any) -> None:
    played = play(done(swept=[]))
    assert finish(WELL) == {"swept": []}
    assert played.calls[0].request.states == {"dump[0]" if task == "dump_0" else task: "success" for task in WELL}


def test_sweeps_before_it_judges(play: Any) -> None:
    played = play(done(swept=["unlocked rs"]))
    with pytest.raises(AirflowFailException, match=r"there is no snapshot of this run: dump\[0\] failed"):
        finish({**WELL, "dump_0": "failed", "commit_snapshot": "skipped"})
    assert len(played.calls) == 1


def test_says_why_tasks_failed(play: Any) -> None:
    play(done())
    states = {**WELL, "dump_0": "failed", "dump_1": "failed", "commit_snapshot": "skipped", "push_metrics": "failed"}
    reasons = {"dump[1]": "shard1 is away", "push_metrics": "no room", "prepare": "of an older try"}
    with pytest.raises(AirflowFailException) as raised:
        finish(states, reasons=reasons)
    assert str(raised.value) == (
        "there is no snapshot of this run: dump[0] failed, dump[1] failed, push_metrics failed, "
        "commit_snapshot skipped; dump[1]: shard1 is away; push_metrics: no room"
    )


def test_a_complete_snapshot_in_a_run_that_is_not_clean(play: Any) -> None:
    play(done())
    with pytest.raises(AirflowFailException, match=r"the snapshot is complete .*: apply_retention failed"):
        finish({**WELL, "apply_retention": "failed"})


def test_a_sweep_that_fails_is_tried_again(play: Any) -> None:
    play(TransientError("down"))
    with pytest.raises(TransientError):
        finish(WELL, try_number=19)
    play(failed(ExitCode.CONFIGURATION))
    with pytest.raises(AirflowFailException, match="the sweep failed"):
        finish(WELL)


def test_a_run_that_touched_nothing_gives_up_sooner(play: Any) -> None:
    play(TransientError("down"))
    states = {**WELL, "prepare": "failed", "commit_snapshot": "skipped"}
    with pytest.raises(TransientError):
        finish(states, try_number=2)
    with pytest.raises(AirflowFailException, match="prepare failed"):
        finish(states, try_number=3)


@pytest.mark.parametrize(
    ("drop", "words"), [("success", "do not use"), ("failed", "do not use"), ("skipped", "nothing was restored")]
)
def test_a_restore_says_what_became_of_the_target(play: Any, drop: str, words: str) -> None:
    play(done())
    states = {"plan_restore": "success", "drop_existing": drop, "verify_restore": "skipped", "finish": "running"}
    with pytest.raises(AirflowFailException, match=words):
        restore(FinishRestoreOperator, step="finish").execute(context(states=states))


# Restore


def restore(kind: type[RestoreStepOperator] = RestoreStepOperator, **more: Any) -> RestoreStepOperator:
    return kind(task_id="t", subject=subject(None), step=more.pop("step", "plan_restore"), **more)


@pytest.mark.parametrize(("params", "store"), [({}, "store"), ({"copy": "-"}, "store"), ({"copy": "far"}, "offsite")])
def test_a_restore_reads_the_copy_that_the_form_names(
    play: Any, monkeypatch: pytest.MonkeyPatch, params: dict[str, str], store: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FAR", '{"conn_type": "generic", "password": "of-the-copy"}')
    made = restore(PlanRestoreOperator)
    settings = {"name": "far", "storage": {"name": "offsite"}, "encryption": {"connection": "far"}}
    copy = CopySettings.model_validate(settings)
    storage = BackupStorage.model_validate(local_storage(Path("/offsite"), name="offsite"))
    objects = made.subject.objects.model_copy(update={"copies": (CopyObjects(settings=copy, storage=storage),)})
    made.subject = dataclasses.replace(made.subject, objects=objects)
    played = play(done(components={"rs": "rs"}, words=[], warnings=[]))
    made.execute(context(params=params))
    asked = played.calls[0]
    assert asked.request.objects.storage.name == store
    assert ("connection:far" in asked.credentials.get_secret_value()) is (store == "offsite")
    with pytest.raises(AirflowFailException, match=r"copy: .* has no copy 'near'; these exist: far"):
        made.execute(context(params={"copy": "near"}))


def test_the_plan_for_people_and_for_the_steps(play: Any) -> None:
    result = {"components": {"rs": "rs", "b": "b"}, "words": ["Drop 3 collections."], "warnings": ["No T."]}
    play(done(**result))
    given = context()
    assert restore(PlanRestoreOperator).execute(given) == ["rs", "b"]
    assert given["ti"].pushed == {"result": result, "plan": "- Drop 3 collections.\n- **No T.**"}


def test_the_form_becomes_the_request(play: Any) -> None:
    played = play(done())
    params = {"snapshot": "latest", "target": "copy", "existing": "drop", "include": ["a.*"], "exclude": None}
    operator = restore(MongoRestoreOperator, step="restore", component="rs")
    operator.execute(context(params=params))
    request = played.calls[0].request
    assert isinstance(request, RestoreRequest)
    assert (request.binding.name, request.component, request.parameters.include) == ("copy", "rs", ("a.*",))


def test_the_backups_own_target_needs_no_name(play: Any) -> None:
    played = play(done())
    restore().execute(context(params={"target": "shop"}))
    assert played.calls[0].request.target is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"existing": "maybe"}, "existing"),
        ({"snapshoot": "latest"}, "snapshoot"),
        ({"target": "nowhere"}, "no AppBinding 'nowhere'"),
        ({"include": "a.b"}, "include"),
    ],
)
def test_wrong_parameters(play: Any, params: dict[str, Any], words: str) -> None:
    played = play(done())
    with pytest.raises(AirflowFailException, match=words):
        restore().execute(context(params=params))
    assert played.calls == []


def test_an_unknown_error_is_no_reason_to_try_again(play: Any) -> None:
    play(PermanentError("broken"))
    with pytest.raises(AirflowFailException, match="broken"):
        restore().execute(context())
