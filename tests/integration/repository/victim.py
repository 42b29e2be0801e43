"""A writer that is killed in the middle: `python victim.py`, the repository as JSON on standard input.

Prints the guard's process id when 8 MiB are on their way, then goes on writing, slowly, for ever.
"""

from __future__ import annotations

import json
import os
import sys
import time

from pydantic import TypeAdapter

from mongo_backup.credentials import Credential
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository


def main() -> None:
    order = json.load(sys.stdin)
    repository = Repository(
        store=TypeAdapter(StoreSpec).validate_python(order["store"]),
        credential=Credential.model_validate(order["credential"]) if order["credential"] else None,
        password=order["password"],
        name=order["name"],
        host="shop",
    )
    with BackupSink(repository, Label(set_id=order["set"], component="a", part="archive"), "a.archive") as sink:
        for _ in range(8):
            sink.write(os.urandom(1 << 20))
        print(sink.guard_pid, flush=True)
        while True:
            sink.write(os.urandom(1 << 10))
            time.sleep(0.01)


main()
