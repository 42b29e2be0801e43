"""What the benchmarks of the engines share: documents to move, programs to measure, one table for what was seen."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pymongo import MongoClient

DB = "bench"


@dataclass(frozen=True)
class Run:
    seconds: float
    processor_seconds: float
    peak_megabytes: float


def parser(description: str | None, *, rounds: int, threads: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = (("megabytes", 300), ("document", 300), ("collections", 4), ("rounds", rounds), ("threads", threads))
    for name, default in defaults:
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return made


def fill(
    client: MongoClient[dict[str, object]],
    *,
    megabytes: int,
    document: int,
    collections: int,
    database: str = DB,
    text: str = "",
) -> float:
    """Insert documents of about this many bytes; return the megabytes.

    :param text: a document is filled up with a piece of it, for a store that compresses; none: with the letter x.
    """
    dice = random.Random(1)
    size = document - 90
    per_collection = megabytes * 1_000_000 // document // collections

    def padding() -> str:
        start = dice.randrange(len(text) - size) if text else 0
        return text[start : start + size] or "x" * size

    for number in range(collections):
        for start in range(0, per_collection, 5000):
            client[database][f"c{number}"].insert_many(
                [
                    {"n": each, "name": f"n{dice.randrange(10**6):06}", "at": {"x": dice.random()}, "pad": padding()}
                    for each in range(start, min(start + 5000, per_collection))
                ],
                ordered=False,
            )
    found: float = client[database].command("dbStats")["dataSize"]
    return found / 1e6


def measured(command: Sequence[str], *, stdout: int = subprocess.DEVNULL) -> Run:
    """Run a program to its end. What a child of ours says of itself (`telling`) counts for its times."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, processor = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    if status:
        raise SystemExit(f"{command[0]} ended with status {status}: {words}")
    if words.startswith("{"):
        told = json.loads(words)
        seconds, processor = told["seconds"], told["processor"]
    return Run(seconds, processor, usage.ru_maxrss / 1000)


@contextmanager
def telling() -> Iterator[None]:
    """In the child: measure what is within, without the start of Python. An agent is started once for all."""
    began, used = time.monotonic(), time.process_time()
    yield
    told = {"seconds": time.monotonic() - began, "processor": time.process_time() - used}
    print(json.dumps(told), file=sys.stderr)


def in_turns(actions: Mapping[str, Callable[[], Run]], *, rounds: int) -> dict[str, list[Run]]:
    """Measure all of them in each round: what else the machine does then falls on all alike."""
    runs: dict[str, list[Run]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            runs[name].append(action())
    return runs


def report(runs: Mapping[str, Sequence[Run]], *, megabytes: float, own: str, goals: Mapping[str, float]) -> None:
    """Print a line for each, and how `own` does against the others.

    :param goals: the throughput to reach, as a multiple of another's.
    """
    for name, each in runs.items():
        wall = statistics.median(run.seconds for run in each)
        processor = statistics.median(run.processor_seconds for run in each)
        memory = max(run.peak_megabytes for run in each)
        speed = megabytes / wall
        print(f"{name:26} {wall:6.2f} s {speed:6.0f} MB/s  processor {processor:5.2f} s  memory {memory:4.0f} MB")
    for name, goal in goals.items():
        if name in runs:
            ratio = statistics.median(
                theirs.seconds / ours.seconds for ours, theirs in zip(runs[own], runs[name], strict=True)
            )
            print(f"{own} has {ratio:.2f} times the throughput of {name} (goal {goal})")
