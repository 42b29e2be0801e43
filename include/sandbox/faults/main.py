"""`make faults`: run the matrix, show each case, write what came of it to `docs/reliability.md`."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Annotated

import typer

from sandbox.faults.case import Outcome, run_case
from sandbox.faults.matrix import all_cases, choose
from sandbox.faults.page import page
from sandbox.faults.stage import Stage
from sandbox.report import quote, say

LOG_LINES = 12
PAGE = Path("docs/reliability.md")


def faults(
    only: Annotated[str, typer.Option(help="Only cases whose name has all these words.")] = "",
    cases: Annotated[int | None, typer.Option(help="So many of them, at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="In random order: a run that is broken off has seen something of all.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only cases that wait for no time limit.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the cases, run none.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Keep each outcome here, and leave out cases that are here already.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the page with the results here; without it, docs/reliability.md for all cases."),
    ] = None,
) -> None:
    """Disturb every step of a backup and of a restore in every way, and judge what is left."""
    chosen = choose(only=only, count=cases, seed=seed, quick=quick)
    if shuffled:
        random.Random(seed).shuffle(chosen)
    if listed:
        for case in chosen:
            typer.echo(case.name)
        return
    began = time.monotonic()
    outcomes = recorded(record)
    known = {outcome.case.name for outcome in outcomes}
    chosen = [case for case in chosen if case.name not in known]
    with Stage() as stage:
        stage.backup().run()
        say(f"Nine mongods, an S3 store and a proxy before each are up after {time.monotonic() - began:.0f} s")
        for number, case in enumerate(chosen, 1):
            at = time.monotonic()
            try:
                outcome = run_case(stage, case)
            except Exception as error:  # noqa: BLE001 - a case that cannot be judged is a problem of that case
                outcome = Outcome(case=case, problems=[f"not judged: {type(error).__name__}: {error}"[:600]])
                stage.reset()
            outcomes.append(outcome)
            if record is not None:
                with record.open("a") as file:
                    file.write(outcome.model_dump_json() + "\n")
            show(f"{number}/{len(chosen)}", outcome, time.monotonic() - at)
    bad = [each for each in outcomes if each.problems]
    say(f"{len(outcomes)} cases, {len(bad)} with problems, {time.monotonic() - began:.0f} s")
    if write is None and not only and cases is None:
        write = PAGE
    if write is not None:
        order = {case.name: number for number, case in enumerate(all_cases())}
        outcomes.sort(key=lambda outcome: order.get(outcome.case.name, len(order)))
        write.write_text(page(outcomes, earlier=len(known)), "utf-8")
    if bad:
        raise typer.Exit(1)


def recorded(record: Path | None) -> list[Outcome]:
    """The outcomes of an earlier run."""
    lines = record.read_text().splitlines() if record is not None and record.exists() else []
    return [Outcome.model_validate_json(line) for line in lines]


def show(number: str, outcome: Outcome, seconds: float) -> None:
    """Print a case."""
    state = "[green]green[/green]" if outcome.words is None else "red"
    mark = "[red]PROBLEM[/red]" if outcome.problems else "ok"
    more = ", by the watchdog" if outcome.watchdog else ", at the second try" if outcome.tries else ""
    say(f"{number} {mark} {outcome.case.name} -> {state}{more} ({outcome.seconds:.0f} of {seconds:.0f} s)")
    if outcome.words:
        quote(f"    {outcome.words[:300]}")
    for problem in outcome.problems:
        quote(f"    ! {problem}")
    if outcome.problems:
        told = [line for line in outcome.log if "retrying after" not in line]
        for line in told[-LOG_LINES:]:
            quote(f"      {line[:200]}")


if __name__ == "__main__":
    typer.run(faults)
