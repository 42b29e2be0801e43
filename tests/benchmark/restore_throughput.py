"""How fast an archive comes back: the native restore against mongorestore, in turns, into the same server.

    python tests/benchmark/restore_throughput.py [--megabytes 300] [--document 300] [--collections 4] [--rounds 3]

The goal is twice mongorestore's throughput, with all checksums looked at, in no more than 300 MB of memory. The server
is a replica set of one member; both write with `w: majority`. mongorestore runs as people call it, and once more with
`--numInsertionWorkersPerCollection=4`. Without mongorestore on PATH only the native restore is measured.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measuring import DB, Run, fill, in_turns, measured, parser, report, telling
from pymongo import MongoClient

from mongo_backup.engines.base import DumpJob
from mongo_backup.engines.native import dump
from mongo_backup.memory import return_large_pieces
from mongo_backup.namespaces import Selection
from mongo_backup.restore.component import ComponentTarget, restore_archive
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.topology.model import ComponentRole
from sandbox.replica_set import ReplicaSet

SET = "rs0"
WORKERS = 4


def native(host: str, archive: str, threads: int) -> None:
    """The child that is measured."""
    return_large_pieces()
    with (
        MongoClient[dict[str, object]](host, replicaSet=SET) as client,
        Path(archive).open("rb", buffering=0) as source,
    ):
        target = ComponentTarget(
            client=client, name=SET, host=host, rules=RestoreRules(), keep_uuids=False, threads=threads
        )
        client.admin.command("ping")
        with telling():
            restore_archive(source, target)


def dump_into(archive: Path, client: MongoClient[dict[str, object]], host: str) -> None:
    selection = Selection(role=ComponentRole.SHARD, include=(f"{DB}.*",))
    with archive.open("wb") as file:
        job = DumpJob(client=client, host=host, component=SET, selection=selection)
        dump(job, write=file.write, on_read_complete=lambda: None)


def main() -> None:
    options = parser(__doc__, rounds=3, threads=8).parse_args()
    if options.child:
        host, archive = options.child
        native(host, archive, options.threads)
        return
    with ReplicaSet(members=1, name=SET, auth=False, cache_gb=2.0) as server, tempfile.TemporaryDirectory() as folder:
        host, client, file = server.hosts()[0], server.client(), Path(folder) / "archive"
        size = fill(client, megabytes=options.megabytes, document=options.document, collections=options.collections)
        dump_into(file, client, host)

        def into_empty(command: list[str]) -> Callable[[], Run]:
            def run() -> Run:
                client.drop_database(DB)
                return measured(command)

            return run

        own = [sys.executable, __file__, "--threads", str(options.threads), "--child", host, str(file)]
        actions = {"native": into_empty(own)}
        if tool := shutil.which("mongorestore"):
            theirs = [tool, f"--host={SET}/{host}", f"--archive={file}", "--quiet"]
            actions["mongorestore"] = into_empty(theirs)
            actions[f"mongorestore, {WORKERS} workers"] = into_empty(
                [*theirs, f"--numInsertionWorkersPerCollection={WORKERS}"]
            )
        runs = in_turns(actions, rounds=options.rounds)
    print(f"{size:.0f} MB in documents of {options.document} bytes, {options.collections} collections, restored")
    report(runs, megabytes=size, own="native", goals={"mongorestore": 2, f"mongorestore, {WORKERS} workers": 1})


if __name__ == "__main__":
    main()
