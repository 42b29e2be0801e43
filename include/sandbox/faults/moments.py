"""The moments at which a step can be disturbed: when it sends a certain command, or is about to get the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sandbox.cluster import CONFIG

Place = Literal["member", "store", "gateway"]


@dataclass(frozen=True)
class Moment:
    """One moment of one step.

    :param place: which server the agent talks to.
    :param pattern: what it sends.
    :param component: only members of this one; None: any.
    :param skip: so many of them before.
    """

    words: str
    place: Place
    pattern: bytes
    side: Literal["request", "reply"] = "request"
    component: str | None = None
    skip: int = 0


def command(
    name: str, *, after: bytes = b"", done: bool = False, component: str | None = None, skip: int = 0
) -> Moment:
    """A MongoDB command, whose name is the first field of its document (MongoDB manual, "Wire Protocol", OP_MSG).

    :param after: what else follows.
    :param done: the server has done it, and its answer is on the way.
    """
    return Moment(
        words=f"{name} {'done' if done else 'asked'}",
        place="member",
        pattern=rb"[\x01\x02\x08\x10\x12]" + name.encode() + rb"\x00" + after,
        side="reply" if done else "request",
        component=component,
        skip=skip,
    )


def store(method: str, folder: str, *, done: bool = False) -> Moment:
    """A request of restic to the S3 store, for an object of one of the repository's folders."""
    return Moment(
        words=f"{method} {folder} {'done' if done else 'asked'}",
        place="store",
        pattern=rb"^" + method.encode() + rb" /\S*/" + folder.encode() + rb"/\S",
        side="reply" if done else "request",
    )


_JOURNAL = rb".*mongo_backup_journal"
_LOCK = rb".{4}\x08lock\x00"  # {fsync: 1, lock: true}: without `lock` it is a flush
_BULK = rb".*bulk_shard0"

MOMENTS: dict[str, dict[str, dict[str, Moment]]] = {
    "backup": {
        "prepare": {"member": command("replSetGetStatus"), "store": store("PUT", "locks")},
        "disable_balancer": {
            "member": command("_configsvrBalancerStop"),
            "done": command("_configsvrBalancerStop", done=True),
        },
        "identify_secondaries": {"member": command("replSetGetStatus", component="shard0")},
        "lock_config_server": {
            "member": command("fsync", after=_LOCK, component=CONFIG),
            "done": command("fsync", after=_LOCK, component=CONFIG, done=True),
        },
        "lock_secondaries": {
            "member": command("fsync", after=_LOCK, component="shard0"),
            "done": command("fsync", after=_LOCK, component="shard0", done=True),
        },
        "dump": {
            "member": command("find", after=_BULK, component="shard0", done=True),
            "store": store("PUT", "locks"),
            "data": store("PUT", "data"),
            "done": store("PUT", "snapshots", done=True),
        },
        "unlock_secondaries": {"member": command("aggregate", after=_JOURNAL)},
        "unlock_config_server": {
            "member": command("setParameter", component=CONFIG),
            "done": command("setParameter", component=CONFIG, done=True),
        },
        "enable_balancer": {
            "member": command("_configsvrBalancerStart"),
            "done": command("_configsvrBalancerStart", done=True),
        },
        "commit_snapshot": {"store": store("PUT", "snapshots"), "done": store("PUT", "snapshots", done=True)},
        "apply_retention": {"store": store("DELETE", "snapshots"), "done": store("DELETE", "snapshots", done=True)},
        "push_metrics": {"gateway": Moment(words="POST asked", place="gateway", pattern=rb"^(PUT|POST) ")},
        "finish": {"member": command("aggregate", after=_JOURNAL)},
    },
    "restore": {
        "plan_restore": {"member": command("replSetGetStatus"), "store": store("GET", "snapshots")},
        "disable_balancer": {
            "member": command("_configsvrBalancerStop"),
            "done": command("_configsvrBalancerStop", done=True),
        },
        "drop_existing": {
            "member": command("_shardsvrDropDatabase"),
            "done": command("_shardsvrDropDatabase", done=True),
        },
        "restore": {
            "member": command("insert", after=_BULK, component="shard0"),
            "done": command("insert", after=_BULK, component="shard0", done=True),
            "store": store("GET", "data"),
        },
        "restore_metadata": {
            "member": command("insert", component=CONFIG),
            "done": command("insert", component=CONFIG, done=True),
        },
        "build_indexes": {"member": command("createIndexes"), "done": command("createIndexes", done=True)},
        "verify_restore": {"member": command("find", after=_BULK, component="shard0")},
        "enable_balancer": {
            "member": command("_configsvrBalancerStart"),
            "done": command("_configsvrBalancerStart", done=True),
        },
        "push_metrics": {"gateway": Moment(words="POST asked", place="gateway", pattern=rb"^(PUT|POST) ")},
        "finish": {"member": command("aggregate", after=_JOURNAL)},
    },
}
"""By family, step and name."""
