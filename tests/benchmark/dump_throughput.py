"""How fast a member is dumped into a pipe: the native engine against mongodump, in turns, on the same member.

    python tests/benchmark/dump_throughput.py [--megabytes 300] [--document 300] [--collections 4] [--rounds 5]

The goal is 1.5 times mongodump's throughput, with digests, in no more than 300 MB of memory. Wall times mean something
on an idle machine only; the processor time of a dump tells more on a busy one. Without mongodump on PATH only
the native engine is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from pymongo import MongoClient

from sandbox.replica_set import Standalone

DB = "bench"


@dataclass(frozen=True)
class Run:
    seconds: float
    processor_seconds: float
    peak_megabytes: float


def fill(client: MongoClient[dict[str, object]], *, megabytes: int, document: int, collections: int) -> float:
    """Insert documents of about this many bytes; return the megabytes."""
    dice = random.Random(1)
    per_collection = megabytes * 1_000_000 // document // collections
    for number in range(collections):
        for start in range(0, per_collection, 5000):
            client[DB][f"c{number}"].insert_many(
                [
                    {
                        "n": each,
                        "name": f"n{dice.randrange(10**6):06}",
                        "at": {"x": dice.random()},
                        "pad": "x" * (document - 90),
                    }
                    for each in range(start, min(start + 5000, per_collection))
                ],
                ordered=False,
            )
    size: float = client[DB].command("dbStats")["dataSize"]
    return size / 1e6


def measure(command: list[str]) -> Run:
    """Run a dump into a pipe that somebody reads."""
    read, write = os.pipe()
    reader = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL)
    os.close(read)
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert process.stderr
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, processor = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    reader.wait()
    if status:
        raise SystemExit(f"{command[0]} ended with status {status}: {words}")
    if words.startswith("{"):  # the native engine's own start is measured apart: an agent is started once
        told = json.loads(words)
        seconds, processor = told["seconds"], told["processor"]
    return Run(seconds, processor, usage.ru_maxrss / 1000)


def native(host: str, threads: int) -> None:
    """The child that is measured: dump to standard output."""
    from mongo_backup.engines.base import DumpJob
    from mongo_backup.engines.native import dump
    from mongo_backup.namespaces import Selection
    from mongo_backup.topology.model import ComponentRole

    def write(piece: bytes | memoryview) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(1, rest) :]

    with MongoClient[dict[str, object]](host, directConnection=True) as client:
        job = DumpJob(
            client=client,
            host=host,
            component="bench",
            selection=Selection(role=ComponentRole.STANDALONE, include=(f"{DB}.*",)),
            threads=threads,
        )
        client.admin.command("ping")
        began, used = time.monotonic(), time.process_time()
        dump(job, write=write, on_read_complete=lambda: None)
        told = {"seconds": time.monotonic() - began, "processor": time.process_time() - used}
        print(json.dumps(told), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("megabytes", 300), ("document", 300), ("collections", 4), ("rounds", 5), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        native(options.child, options.threads)
        return
    with Standalone(auth=False, cache_gb=1.0) as server:
        host = server.hosts()[0]
        size = fill(
            server.client(),
            megabytes=options.megabytes,
            document=options.document,
            collections=options.collections,
        )
        commands = {"native": [sys.executable, __file__, "--child", host, "--threads", str(options.threads)]}
        if tool := shutil.which("mongodump"):
            commands["mongodump"] = [tool, f"--host={host}", f"--db={DB}", "--archive"]
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                runs[name].append(measure(command))
    print(f"{size:.0f} MB in documents of {options.document} bytes, {options.collections} collections")
    for name, each in runs.items():
        wall = statistics.median(run.seconds for run in each)
        processor = statistics.median(run.processor_seconds for run in each)
        memory = max(run.peak_megabytes for run in each)
        print(f"{name:10} {wall:6.2f} s {size / wall:6.0f} MB/s  processor {processor:5.2f} s  memory {memory:4.0f} MB")
    if len(runs) > 1:
        ratio = statistics.median(
            other.seconds / own.seconds for own, other in zip(runs["native"], runs["mongodump"], strict=True)
        )
        print(f"native has {ratio:.2f} times mongodump's throughput (goal 1.5)")


if __name__ == "__main__":
    main()
