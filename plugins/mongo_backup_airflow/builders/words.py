"""What people read about a DAG and its tasks in the UI."""

from __future__ import annotations

from collections.abc import Sequence

from mongo_backup.objects.configuration import Consistency, Session
from mongo_backup.objects.hooks import Hooks
from mongo_backup.objects.quantities import format_duration
from mongo_backup.objects.resolved import CopyObjects
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup_airflow.subject import Subject

BACKUP_TASKS = {
    "prepare": "Checks all that can be checked before anything is touched: objects, credentials, privileges, topology, "
    "repository, oplog window, locks of others. Needs the target and the store.",
    "hooks_before": "Runs the session's hooks before anything is touched; one that fails ends the run here.",
    "disable_balancer": "Stops the balancer, waits for a running migration round, and notes the state it had.",
    "identify_secondaries": "Chooses the member that each component is read from; the log says why.",
    "lock_config_server": "Locks the chosen member of the config server; `lock_secondaries` takes it over.",
    "lock_secondaries": "Fixes one cluster time T for all components and locks every chosen member at it.",
    "widen_history_windows": "Fixes one cluster time T and raises the history window of every chosen member; no lock.",
    "dump": "Reads one component at T straight into the repository; its member is let go with the last byte read. "
    "One task per component.",
    "unlock_secondaries": "Unlocks what is still locked. Always runs when the locking succeeded; tried many times.",
    "restore_history_windows": "Puts the history windows back. Always runs when they were raised; tried many times.",
    "unlock_config_server": "Unlocks the config server's member, if it still is locked; tried many times.",
    "enable_balancer": "Puts the balancer back into the state it had; tried many times.",
    "commit_snapshot": "Writes the manifest, last: from here on the snapshot exists.",
    "copy": "Brings a copy up to date: what it misses of the complete sets comes in, what its own policy does not keep "
    "goes. Needs the two stores and not the target. One task per copy.",
    "apply_retention": "Removes sets that no rule keeps, and what incomplete sets left behind.",
    "push_metrics": "Pushes metrics, of failed backups too.",
    "hooks_after": "Runs the hooks for this outcome, whatever happened. The outcome is that of all tasks before it.",
    "finish": "Undoes what this run may have left on the target, then fails the run unless every task succeeded.",
}

RESTORE_TASKS = {
    "plan_restore": "Says what will be dropped and written; refuses what cannot work. Touches nothing.",
    "approve": "Waits for a person to approve the plan.",
    "hooks_before": "Runs the restore's hooks before anything is touched; one that fails ends the run here.",
    "disable_balancer": "Stops the balancer and notes the state it had.",
    "drop_existing": "Drops what the plan says.",
    "restore": "Restores one component's documents into its primary. One task per component.",
    "restore_metadata": "Writes the routing (databases, collections, chunks) to the config server.",
    "build_indexes": "Builds the indexes.",
    "verify_restore": "Reads the target back and compares it with the manifest: counts, digests, UUIDs.",
    "enable_balancer": "Puts the balancer back into the state it had; tried many times.",
    "push_metrics": "Pushes metrics, of failed restores too.",
    "hooks_after": "Runs the hooks for this outcome, whatever happened. The outcome is that of all tasks before it.",
    "finish": "Undoes what this run may have left on the target, then fails the run unless every task succeeded.",
}

RELEASE_TASKS = {
    "release_expired": "Looks at one deployment: undoes what the journal holds of runs whose lease has ended, and says "
    "what it leaves alone. One task per deployment.",
}

VERIFY_TASKS = {
    "choose_set": "Chooses the newest complete snapshot, or the one that the form names.",
    "restore_and_compare": "Restores it into a throw-away MongoDB, compares namespaces, documents and indexes with the "
    "manifest, asks the configuration's own questions, and records the verdict in the repository. Touches no target.",
    "push_metrics": "Pushes metrics, of failed verifications too.",
    "finish": "Removes what a killed verification left, then fails the run unless every task succeeded.",
}

MAINTAIN_TASKS = {
    "check": "Removes locks of dead processes, checks the repository's structure and the next part of its data. "
    "Red when anything is damaged; the log names the packs and the sets that need them.",
    "prune": "Removes data that no set needs any more.",
    "push_metrics": "Pushes metrics, of failed maintenances too.",
    "finish": "Lets go of the target and of stale locks, then fails the run unless every task succeeded.",
}

_CONSISTENCY = {
    Consistency.LOCKED: "locked: every chosen secondary is locked and read at one cluster time",
    Consistency.SNAPSHOT: "snapshot: one cluster time, no lock",
}


def backup_description(subject: Subject, session: Session) -> str:
    """One line for the list of DAGs."""
    when = session.schedule or "by trigger only"
    return f"Backs up {subject.objects.target.name} to {subject.objects.storage.name} ({when})"


def backup_words(subject: Subject, session: Session) -> str:
    """The page of a backup DAG, in Markdown."""
    objects = subject.objects
    kind = objects.target.spec.topology.value.replace("_", " ")
    consistency = _CONSISTENCY[session.consistency] if kind != "standalone" else "none: a standalone has no oplog"
    rows = {
        "Target": f"`{objects.target.name}`, {kind}",
        "Storage": f"`{objects.storage.name}`, {objects.storage.spec.provider}, "
        f"repository `{objects.configuration.repository_name}`",
        "Schedule": f"`{session.schedule}` ({session.timezone})" if session.schedule else "by trigger only",
        "Consistency": consistency,
        "Engine": session.engine or objects.addon.spec.function("backup").engine,
        "Retention": f"`{objects.retention.name}`" if objects.retention else "everything is kept",
        **({"Copies": ", ".join(map(_copy, objects.copies))} if objects.copies else {}),
        "Namespaces": _namespaces(session),
        **_hooks(session.hooks),
        "Time limits": f"{format_duration(session.backup_timeout)} for the dump of a component, "
        f"{format_duration(session.max_lock_time)} for a lock",
    }
    return (
        f"# Backup of {objects.target.name}\n\n"
        f"Session `{session.name}` of the BackupConfiguration `{objects.configuration.name}`.\n\n"
        f"{_table(rows)}\n\n"
        "A run is green only if the snapshot is complete and nothing is left on the target. "
        f"Restore with the DAG `restore.{objects.configuration.name}`."
    )


def restore_words(subject: Subject) -> str:
    """The page of a restore DAG, in Markdown."""
    objects = subject.objects
    rows = {
        "Comes from": f"`{objects.target.name}`, {objects.target.spec.topology.value.replace('_', ' ')}",
        "Storage": f"`{objects.storage.name}`, {objects.storage.spec.provider}, "
        f"repository `{objects.configuration.repository_name}`",
        "Possible targets": ", ".join(f"`{name}`" for name in sorted(subject.targets)),
        "Approval": "a person must approve the plan"
        if objects.configuration.spec.restore.approval
        else "none: the restore starts when it is triggered",
        **_hooks(objects.configuration.spec.restore.hooks),
    }
    return (
        f"# Restore of {objects.configuration.name}\n\n{_table(rows)}\n\n"
        "Trigger it; the form asks which snapshot goes where. The plan is in the log of `plan_restore`: "
        "it refuses what cannot work before anything is touched."
    )


def release_words(targets: Sequence[str]) -> str:
    """The page of the watchdog, in Markdown."""
    return (
        "# Watchdog\n\n"
        "Undoes what runs left that died and did not come back: locks, stopped balancers, raised history windows. "
        "It goes by the journal on each deployment, and only by entries whose lease has ended; what a living run or "
        "somebody else holds is left alone, and the log says so. Red: a deployment does not answer.\n\n"
        f"Deployments: {', '.join(f'`{name}`' for name in targets)}"
    )


def maintain_words(subject: Subject) -> str:
    """The page of a maintenance DAG, in Markdown."""
    objects = subject.objects
    settings = objects.configuration.spec.maintenance
    rows = {
        "Storage": f"`{objects.storage.name}`, {objects.storage.spec.provider}, "
        f"repository `{objects.configuration.repository_name}`",
        "Schedule": f"`{settings.schedule}` ({settings.timezone})" if settings.schedule else "by trigger only",
        "Check": f"the structure, and one part in {settings.check_parts} of the data each time",
        "Prune": "what no snapshot needs any more" if settings.prune else "nothing",
        f"Waits for a {'copying' if objects.copy_name else 'backup'}": f"up to {format_duration(settings.wait)}",
    }
    alone = (
        "A copying that runs is waited for, and one that begins waits for it; no backup does."
        if objects.copy_name
        else "A backup or restore that runs is waited for, and one that begins waits for it."
    )
    return f"# Maintenance of {objects.words}\n\n{_table(rows)}\n\n{alone}"


def verify_words(subject: Subject) -> str:
    """The page of a verification DAG, in Markdown."""
    objects = subject.objects
    settings = objects.configuration.spec.verification or VerificationSettings()
    when = [f"`{settings.schedule}` ({settings.timezone})"] if settings.schedule else []
    if settings.after_backups:
        when.append(f"when {settings.after_backups} complete snapshots wait for it")
    rows = {
        "Storage": f"`{objects.storage.name}`, {objects.storage.spec.provider}, "
        f"repository `{objects.configuration.repository_name}`",
        "Runs": ", and ".join(when) or "by trigger only",
        "Sets": f"of the session `{settings.session}`" if settings.session else "of all sessions",
        "Into": f"a server of the image `{settings.image}`" if settings.image else f"`{settings.mongod or 'mongod'}`",
        "Own checks": ", ".join(check.name for check in settings.checks) or "none",
    }
    return (
        f"# Verification of {objects.configuration.name}\n\n{_table(rows)}\n\n"
        "Restores a snapshot into a MongoDB that lives as long as the task, and compares it with its manifest. The "
        "verdict is in the repository: `mongo-backup snapshots list` shows it."
    )


def _copy(copy: CopyObjects) -> str:
    kept = f"retention `{copy.retention.name}`" if copy.retention else "everything is kept"
    return f"`{copy.settings.name}` in `{copy.storage.name}` ({copy.storage.spec.provider}, {kept})"


def _hooks(hooks: Hooks) -> dict[str, str]:
    """A row each for the hooks before and after, as far as there are any."""
    rows = {
        "Hooks before": ", ".join(f"`{hook.name}`" for hook in hooks.before),
        "Hooks after": ", ".join(f"`{hook.name}` ({hook.when})" for hook in hooks.after),
    }
    return {name: words for name, words in rows.items() if words}


def _namespaces(session: Session) -> str:
    include = ", ".join(f"`{each}`" for each in session.include) or "all"
    exclude = ", ".join(f"`{each}`" for each in session.exclude)
    return f"{include} without {exclude}" if exclude else include


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
