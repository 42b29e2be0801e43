"""Hooks against a real HTTP server, real programs and a real replica set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mongo_backup import logs
from mongo_backup.agent.contract import BackupRequest, HooksResult, RunIdentity, RunOutcome
from mongo_backup.agent.registry import find_step
from mongo_backup.agent.restore_contract import RestoreParameters, RestoreRequest
from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import PermanentError
from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.resolved import Objects
from mongo_backup.objects.storage import BackupStorage
from sandbox import objects
from sandbox.listener import Listener
from sandbox.replica_set import ReplicaSet

pytestmark = pytest.mark.integration

TOKEN = 'Bearer t0ken/"%?'
PASSWORD = "p@ss:w/ %?#&'\" of the chat"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as found:
        yield found


@dataclass
class Bench:
    """A replica set with a configuration that has hooks."""

    deployment: ReplicaSet
    folder: Path

    def credentials(self, url: str = "") -> Credentials:
        more = {
            "connection:token": Credential(password=SecretStr(TOKEN)),
            "connection:chat": Credential(username="bot", password=SecretStr(PASSWORD)),
            "connection:address": Credential(password=SecretStr(url)),
        }
        return Credentials(values={**objects.credentials(self.deployment).values, **more})

    def objects(self, *, before: list[Any] | None = None, after: list[Any] | None = None) -> Objects:
        hooks = {"before": before or [], "after": after or []}
        configuration = objects.configuration(session={"hooks": hooks}, restore={"hooks": hooks})
        return Objects(
            configuration=BackupConfiguration.model_validate(configuration),
            target=AppBinding.model_validate(self.deployment.app_binding()),
            storage=BackupStorage.model_validate(objects.local_storage(self.folder)),
            addon=builtin_addon(),
        )

    def run(
        self, *hooks: dict[str, Any], outcome: RunOutcome | None = None, restore: bool = False, url: str = ""
    ) -> HooksResult:
        """The agent's step: before, or after if there is an outcome."""
        found = self.objects(**{"after" if outcome else "before": list(hooks)})
        family = "restore" if restore else "backup"
        identity = RunIdentity(dag_id=f"{family}.shop", run_id="manual__1")
        request: BackupRequest | RestoreRequest
        if restore:
            request = RestoreRequest(run=identity, objects=found, parameters=RestoreParameters(), outcome=outcome)
        else:
            request = BackupRequest(run=identity, objects=found, session="manual", set_id="set1", outcome=outcome)
        step = find_step(f"{family}.hooks_{'after' if outcome else 'before'}")
        return HooksResult.model_validate_json(step.call()(request, self.credentials(url)).model_dump_json())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ReplicaSet(members=1) as deployment:
        yield Bench(deployment, tmp_path_factory.mktemp("store"))


GOOD = RunOutcome(success=True, complete=True)
BAD = RunOutcome(success=False, complete=True, reason='apply_retention failed, "x"')


def http(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "http": {"url": url, **more}}


def test_a_request_with_all_that_it_may_have(bench: Bench, listener: Listener) -> None:
    hook = http(
        "chat",
        f"{listener.url}/room?x=1",
        method="PUT",
        headers={"X-Team": "shop"},
        secret_headers={"X-Token": {"connection": "token"}},
        credentials={"connection": "chat"},
        body='{"text": "${configuration} ${outcome}: ${reason}"}',
    )
    result = bench.run({**hook, "when": "failure"}, outcome=BAD)
    assert [(each.hook, each.ok, each.tries) for each in result.ran] == [("chat", True, 1)]
    [seen] = listener.seen
    headers = seen.headers
    assert (seen.method, seen.path, headers["X-Team"], headers["X-Token"]) == ("PUT", "/room?x=1", "shop", TOKEN)
    assert headers["Authorization"] == "Basic Ym90OnBAc3M6dy8gJT8jJiciIG9mIHRoZSBjaGF0"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(seen.body) == {"text": 'shop failure: apply_retention failed, "x"'}


def test_all_facts_where_no_body_is_written(bench: Bench, listener: Listener) -> None:
    bench.run(http("ping", listener.url))
    assert json.loads(listener.seen[0].body) == {
        "kind": "backup",
        "configuration": "shop",
        "session": "manual",
        "target": "sandbox",
        "dag": "backup.shop",
        "run": "manual__1",
        "set_id": "set1",
        "hook": "ping",
        "when": "before",
        "outcome": "",
        "complete": None,
        "reason": "",
    }
    bench.run(http("ping", listener.url), outcome=GOOD, restore=True)
    told = json.loads(listener.seen[1].body)
    assert (told["kind"], told["outcome"], told["complete"], told["when"]) == ("restore", "success", True, "after")


def test_when(bench: Bench, listener: Listener) -> None:
    hooks = [{**http(when, f"{listener.url}/{when}"), "when": when} for when in ("success", "failure", "always")]
    for outcome, expected in ((GOOD, ["success", "always"]), (BAD, ["failure", "always"])):
        listener.seen.clear()
        assert [each.hook for each in bench.run(*hooks, outcome=outcome).ran] == expected
        assert [each.path for each in listener.seen] == [f"/{when}" for when in expected]


def test_tries(bench: Bench, listener: Listener) -> None:
    listener.statuses += [500, 404]
    hook = {**http("ping", listener.url), "retries": 2, "retry_delay": "0s"}
    assert bench.run(hook).ran[0].tries == 3
    listener.statuses += [500, 500, 500, 500]
    with pytest.raises(PermanentError, match=r"hook ping failed, and nothing was begun: POST .* was answered with 500"):
        bench.run(hook, http("never", listener.url))
    assert len(listener.seen) == 6


def test_expected_statuses_and_redirects(bench: Bench, listener: Listener) -> None:
    """A redirect is an answer: no secret follows it elsewhere."""
    listener.statuses += [409, 302, 302]
    bench.run(http("ping", listener.url, expect=[409]))
    bench.run(http("ping", listener.url, method="GET", expect=[302]))
    with pytest.raises(PermanentError, match="answered with 302, expected was 200 to 299"):
        bench.run(http("ping", listener.url))
    assert len(listener.seen) == 3
    assert not any("elsewhere" in each.path for each in listener.seen)


def test_an_address_that_is_a_secret_is_in_no_message(bench: Bench, listener: Listener) -> None:
    secret = f"{listener.url}/T0/B0/s3cret"
    hook = {"name": "chat", "http": {"url_from": {"connection": "address"}}}
    bench.run(hook, url=secret)
    assert listener.seen[0].path == "/T0/B0/s3cret"
    listener.statuses.append(500)
    with pytest.raises(PermanentError) as caught:
        bench.run(hook, url=secret)
    assert "the address of connection:address was answered with 500" in caught.value.message
    for wrong in ("http://127.0.0.1:1/s3cret", "http://[s3cret", "http://127.0.0.1:s3cret/"):
        with pytest.raises(PermanentError) as caught:
            bench.run(hook, url=wrong)
        assert "s3cret" not in caught.value.message


def test_ignored_errors_and_all_hooks_after_a_run(bench: Bench, listener: Listener) -> None:
    listener.statuses += [500, 500]
    ignored = {**http("ignored", listener.url), "on_error": "ignore"}
    result = bench.run(ignored, outcome=GOOD)
    assert [(each.hook, each.ok) for each in result.ran] == [("ignored", False)]
    assert "answered with 500" in str(result.ran[0].reason)
    with pytest.raises(PermanentError, match=r"^hook first failed: .*500") as caught:
        bench.run(http("first", listener.url), {"name": "no", "command": {"args": ["false"]}}, ignored, outcome=GOOD)
    assert "hook no failed: false ended with exit status 1" in caught.value.message
    assert len(listener.seen) == 3


PROGRAM = 'env | grep -v "^_=" > "$0"; echo "out $MONGO_BACKUP_HOOK_PASSWORD"; echo oops >&2'


def test_a_program(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_X", "secret")
    logs.hide([PASSWORD])
    told = tmp_path / "told"
    command = {"args": ["sh", "-c", PROGRAM, str(told)], "credentials": {"connection": "chat"}}
    caplog.set_level("INFO")
    assert bench.run({"name": "freeze", "command": command}, outcome=BAD).ran[0].ok
    found = dict(line.split("=", 1) for line in told.read_text().splitlines())
    mine = {name.removeprefix("MONGO_BACKUP_HOOK_"): value for name, value in found.items() if "HOOK" in name}
    assert (mine["OUTCOME"], mine["COMPLETE"], mine["REASON"]) == ("failure", "true", BAD.reason)
    assert (mine["USERNAME"], mine["PASSWORD"], mine["SET_ID"]) == ("bot", PASSWORD, "set1")
    assert not [name for name in found if name.startswith(("AIRFLOW", "MONGO_BACKUP_CRED", "MONGO_BACKUP_REQ"))]
    assert "sh stdout: out ***" in caplog.text
    assert "sh stderr: oops" in caplog.text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sh", "-c", "exit 7"], "sh ended with exit status 7"),
        (["sh", "-c", "kill -9 $$"], "sh ended with exit status 137"),
        (["no-such-program"], "no-such-program"),
        (["sleep", "60"], "sleep did not end within 1 s, and was ended"),
    ],
)
def test_programs_that_fail(bench: Bench, args: list[str], words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        bench.run({"name": "it", "command": {"args": args}, "timeout": "1s"})


def test_a_database_command(bench: Bench) -> None:
    database = bench.deployment.client().hooks
    database.things.insert_one({"_id": 1})
    drop = {"name": "clear", "mongo": {"database": "hooks", "command": {"drop": "things"}}}
    users = {"credentials": bench.objects().target.spec.restore_credentials}
    reference = users["credentials"].model_dump(exclude_none=True) if users["credentials"] else None
    with pytest.raises(PermanentError, match="not authorized"):
        bench.run(drop)  # the backup user may not drop
    drop["mongo"]["credentials"] = reference  # type: ignore[index]
    assert bench.run(drop).ran[0].ok
    assert database.things.count_documents({}) == 0
    ping = {"name": "ping", "mongo": {"command": {"ping": 1}}}
    assert bench.run(ping, outcome=GOOD, restore=True).ran[0].ok
    with pytest.raises(PermanentError, match="no component shard0"):
        bench.run({"name": "ping", "mongo": {"command": {"ping": 1}, "component": "shard0"}})
