"""How fast a member is dumped into a pipe: the native engine against mongodump, in turns, on the same member.

    python tests/benchmark/dump_throughput.py [--megabytes 300] [--document 300] [--collections 4] [--rounds 5]

The goal is 1.5 times mongodump's throughput, with digests, in no more than 300 MB of memory. Wall times mean something
on an idle machine only; the processor time of a dump tells more on a busy one. Without mongodump on PATH only
the native engine is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from measuring import DB, Run, fill, in_turns, measured, parser, report, telling
from pymongo import MongoClient

from mongo_backup.engines.base import DumpJob
from mongo_backup.engines.native import dump
from mongo_backup.namespaces import Selection
from mongo_backup.topology.model import ComponentRole
from sandbox.replica_set import Standalone


def into_pipe(command: list[str]) -> Run:
    """Run a dump into a pipe that somebody reads."""
    read, write = os.pipe()
    reader = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL)
    os.close(read)
    try:
        return measured(command, stdout=write)
    finally:
        os.close(write)
        reader.wait()


def native(host: str, threads: int) -> None:
    """The child that is measured: dump to standard output."""

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
        with telling():
            dump(job, write=write, on_read_complete=lambda: None)


def main() -> None:
    options = parser(__doc__, rounds=5, threads=2).parse_args()
    if options.child:
        native(options.child[0], options.threads)
        return
    with Standalone(auth=False, cache_gb=1.0) as server:
        host = server.hosts()[0]
        size = fill(
            server.client(), megabytes=options.megabytes, document=options.document, collections=options.collections
        )
        own = [sys.executable, __file__, "--threads", str(options.threads), "--child", host]
        actions: dict[str, Callable[[], Run]] = {"native": lambda: into_pipe(own)}
        if tool := shutil.which("mongodump"):
            actions["mongodump"] = lambda: into_pipe([tool, f"--host={host}", f"--db={DB}", "--archive"])
        runs = in_turns(actions, rounds=options.rounds)
    print(f"{size:.0f} MB in documents of {options.document} bytes, {options.collections} collections, dumped")
    report(runs, megabytes=size, own="native", goals={"mongodump": 1.5})


if __name__ == "__main__":
    main()
