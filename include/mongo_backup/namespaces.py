r"""Which namespaces belong into a backup.

Three rules, the first that applies decides:

1. Never: database `local`; databases of the server's own (`__mdb_internal*`); the journal of this product; `config`,
   except on a config server the collections that hold routing and settings; `system.*` collections, except
   `system.js`, a time series' buckets, and in `admin` users, roles and `system.version`.
2. Always, on a config server: those routing collections. They are small, and without them no selection of a sharded
   cluster could be restored; a restore takes from them what its namespaces need.
3. The patterns: a namespace is taken if `include` is empty or one of its patterns fits, and no pattern of `exclude`
   fits. So users and roles are in a whole backup; with `include` only if it names them (`admin.*`).

A pattern is `database.collection`; in both parts `*` stands for any text. The first dot ends the database, for names of
databases hold none. A lone `*` is all; `\*` is a star in a name. A time series' buckets follow its own name.
The list for `config` is mongodump's (`common/dumprestore` of the MongoDB Database Tools 100.18).
"""

from __future__ import annotations

import re
from functools import cached_property

from pydantic import field_validator

from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.topology.model import ComponentRole

JOURNAL_DB = "admin"
JOURNAL_COLLECTION = "mongo_backup_journal"
BUCKETS_PREFIX = "system.buckets."
"""A time series `X` keeps its documents in `system.buckets.X`."""

ROUTING = frozenset({"chunks", "collections", "databases", "settings", "shards", "tags", "version"})
"""What of `config` is kept of a config server."""

ACCOUNTS = frozenset({("admin", "system.users"), ("admin", "system.roles")})

NEVER_RESTORED = frozenset(
    {
        ("admin", "system.version"),
        ("admin", "system.keys"),
        (JOURNAL_DB, JOURNAL_COLLECTION),
        ("config", "version"),
        ("config", "shards"),
        ("config", "system.sessions"),
        ("config", "transactions"),
    }
)
"""They tell of the deployment they were read from; written into another they would break it."""

_KEPT_OF_ADMIN = frozenset({"system.users", "system.roles", "system.version"})
_INTERNAL_DB_PREFIX = "__mdb_internal"
_TOKEN = re.compile(r"\\\*|\*|[^*\\]+|\\")


def restorable(db: str, collection: str) -> bool:
    """Tell whether a namespace that stands in an archive (of whatever origin) may ever be written to a target."""
    return db != "local" and (db, collection) not in NEVER_RESTORED


def data_name(collection: str) -> str:
    """The name that a user knows: `X` for the buckets `system.buckets.X`, else the name itself."""
    return collection.removeprefix(BUCKETS_PREFIX)


class NamespacePatterns:
    """Patterns of namespaces, compiled.

    :raises ConfigurationError: a pattern has no collection part, or an empty one.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._matches = [_compiled(pattern) for pattern in patterns]

    def fit(self, db: str, collection: str) -> bool:
        """Tell whether one of the patterns fits."""
        return any(database.fullmatch(db) and name.fullmatch(data_name(collection)) for database, name in self._matches)


def _compiled(pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    db, dot, collection = ("*", ".", "*") if pattern == "*" else pattern.partition(".")
    if not (db and dot and collection):
        raise ConfigurationError(
            f"namespace pattern {pattern!r} is not of the form database.collection: "
            f"write {(db or 'shop') + '.*'!r} for a whole database"
        )
    return _glob(db), _glob(collection)


def _glob(text: str) -> re.Pattern[str]:
    parts = {"*": ".*", "\\*": r"\*"}
    return re.compile("".join(parts.get(token) or re.escape(token) for token in _TOKEN.findall(text)), re.DOTALL)


class Selection(Model):
    """The namespaces that a backup of one component takes."""

    role: ComponentRole
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @field_validator("include", "exclude")
    @classmethod
    def _readable(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        NamespacePatterns(patterns)
        return patterns

    @cached_property
    def _included(self) -> NamespacePatterns:
        return NamespacePatterns(self.include or ("*",))

    @cached_property
    def _excluded(self) -> NamespacePatterns:
        return NamespacePatterns(self.exclude)

    def accepts_db(self, db: str) -> bool:
        """Tell whether anything of a database can belong into the backup."""
        if db == "config":
            return self.role is ComponentRole.CONFIG
        return db != "local" and not db.startswith(_INTERNAL_DB_PREFIX)

    def accepts(self, db: str, collection: str) -> bool:
        """Tell whether a namespace belongs into the backup."""
        if not self.accepts_db(db) or _server_owned(db, collection):
            return False
        if db == "config":
            return True
        return self._included.fit(db, collection) and not self._excluded.fit(db, collection)


def _server_owned(db: str, collection: str) -> bool:
    if db == "config":
        return collection not in ROUTING
    if (db, collection) == (JOURNAL_DB, JOURNAL_COLLECTION):
        return True
    if not collection.startswith("system.") or collection.startswith(BUCKETS_PREFIX):
        return False
    return collection not in _KEPT_OF_ADMIN if db == "admin" else collection != "system.js"
