"""What must be true of a run that somebody or something disturbed."""

from __future__ import annotations

from tests.integration.airflow.stage import PATIENCE, Stage


def ends_red(stage: Stage, dag: str, run: str, *, before: set[str]) -> None:
    """The run fails, nothing is left on the target, no agent lives, no set was committed."""
    state = stage.client.wait(dag, run, timeout=PATIENCE)
    assert state == "failed", stage.explain(dag, run)
    assert stage.marks() == [], stage.explain(dag, run)
    assert stage.agents("backup.dump") == []
    assert stage.complete_sets() == before
    assert "there is no snapshot of this run" in stage.client.log(dag, run, "finish")


def ends_honestly(stage: Stage, dag: str, run: str, *, before: set[str]) -> None:
    """Nothing is left on the target, and the run is green exactly if its set is complete."""
    state = stage.client.wait(dag, run, timeout=PATIENCE)
    assert stage.marks() == [], stage.explain(dag, run)
    assert stage.agents("backup.dump") == []
    expected = {stage.client.result(dag, run, "commit_snapshot")["set_id"]} if state == "success" else set()
    assert stage.complete_sets() - before == expected, stage.explain(dag, run)
