"""What is in a repository: snapshots, sizes, locks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from mongo_backup.errors import PermanentError
from mongo_backup.processes import Completed
from mongo_backup.repository.command import ResticCommand
from mongo_backup.repository.records import SNAPSHOTS, Snapshot, Stats

LONG_TIMEOUT = 600.0
"""For a question that reads all indexes or all snapshots, and for forgetting. Without a cache restic asks for each
snapshot, five at a time: at 50 ms an answer 30 s would be over with 3000 of them."""

Parsed = TypeVar("Parsed")


class Listing(ResticCommand):
    """Questions to a repository; the parameters are those of `ResticCommand`."""

    def snapshots(self, *, tags: Iterable[str] = (), all_hosts: bool = False) -> tuple[Snapshot, ...]:
        """List snapshots that have all these tags, oldest first; of this host alone unless `all_hosts`.

        Reads without a lock: it only lists, and a lock would make it wait for a prune.
        """
        wanted = ",".join(tags)
        arguments = [*(("--tag", wanted) if wanted else ()), *(() if all_hosts else ("--host", self.host))]
        words = ("snapshots", "--json", "--no-lock", *arguments)
        done = self._must("listing snapshots", *words, timeout=LONG_TIMEOUT)
        found: tuple[Snapshot, ...] = self._parse(SNAPSHOTS, done.stdout)
        return tuple(sorted(found, key=lambda snapshot: snapshot.time))

    def stats(self) -> Stats:
        """Sizes of what all snapshots hold together."""
        done = self._must(
            "asking for sizes", "stats", "--json", "--no-lock", "--mode", "raw-data", timeout=LONG_TIMEOUT
        )
        return self._parse(TypeAdapter(Stats), done.stdout)

    def locks(self) -> tuple[str, ...]:
        """Ids of the locks that are on the repository now."""
        return tuple(self._must("listing locks", "list", "locks", "--no-lock").stdout.split())

    def ask(self, adapter: TypeAdapter[Parsed], doing: str, *arguments: str, timeout: float = LONG_TIMEOUT) -> Parsed:
        """Run a command that prints JSON.

        :raises MongoBackupError: it failed, or printed something else.
        """
        return self._parse(adapter, self._must(doing, *arguments, timeout=timeout).stdout)

    def tell(self, doing: str, *arguments: str, timeout: float = LONG_TIMEOUT) -> None:
        """Run a command whose output does not matter.

        :raises MongoBackupError: it failed.
        """
        self._must(doing, *arguments, timeout=timeout)

    def words(self, done: Completed) -> str:
        """The end of what restic wrote to standard error, without secrets."""
        return str(self.error(done, "")).partition("restic says: ")[2]

    @staticmethod
    def _parse(adapter: TypeAdapter[Parsed], text: str) -> Parsed:
        try:
            return adapter.validate_json(text or "null")
        except ValidationError as error:
            what = error.errors(include_input=False, include_url=False)[0]
            raise PermanentError(
                f"restic printed something else than expected: {what['msg']} at {what['loc']}"
            ) from None
