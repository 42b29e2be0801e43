"""From the folder of objects to the DAGs of one family. What is wrong takes away only its own DAGs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.copy_references import copies_of
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.object_set import ObjectSet
from mongo_backup_airflow.builders.wiring import (
    RELEASE_DAG_ID,
    backup_dag_id,
    maintain_dag_id,
    restore_dag_id,
    verify_dag_id,
)
from mongo_backup_airflow.subject import Subject

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "MONGO_BACKUP_CONFIG"

Order = tuple[str, Callable[[], DAG]]
"""A DAG's id and what builds it."""


def objects_folder(dags: Path) -> Path:
    """The user's folder of objects: where the environment says, else `include/config` beside the DAG files."""
    wanted = os.environ.get(FOLDER_VARIABLE)
    return Path(wanted) if wanted else dags.parent / "include" / "config"


def backup_orders(objects: ObjectSet) -> Iterator[Order]:
    """One DAG for each session of each configuration."""
    for configuration in objects.configurations():
        for session in configuration.spec.sessions:
            yield (
                backup_dag_id(configuration.name, session.name),
                lambda name=configuration.name, session=session.name: _backup(objects, name, session),  # type: ignore[misc]
            )


def restore_orders(objects: ObjectSet) -> Iterator[Order]:
    """One DAG for each configuration."""
    for configuration in objects.configurations():
        yield restore_dag_id(configuration.name), lambda one=configuration: _restore(objects, one)  # type: ignore[misc]


def verify_orders(objects: ObjectSet) -> Iterator[Order]:
    """One DAG for each configuration that asks for verifications."""
    for configuration in objects.configurations():
        if configuration.spec.verification is not None:
            yield verify_dag_id(configuration.name), lambda name=configuration.name: _verify(objects, name)  # type: ignore[misc]


def maintain_orders(objects: ObjectSet) -> Iterator[Order]:
    """One DAG for the repository of each configuration, and one for each copy of it."""
    for configuration in objects.configurations():
        copies = dict.fromkeys(copy.name for _, _, copy in copies_of(configuration))
        for copy in (None, *copies):
            yield (
                maintain_dag_id(configuration.name, copy),
                lambda name=configuration.name, copy=copy: _maintain(objects, name, copy),  # type: ignore[misc]
            )


def release_orders(objects: ObjectSet) -> Iterator[Order]:
    """One DAG for all of them, where there is anything to watch."""
    if objects.configurations():
        yield RELEASE_DAG_ID, lambda: _release(objects)


def _backup(objects: ObjectSet, configuration: str, session: str) -> DAG:
    from mongo_backup_airflow.builders.backup import build_backup_dag

    return build_backup_dag(Subject(objects=objects.resolve(configuration, session), session=session))


def _restore(objects: ObjectSet, configuration: BackupConfiguration) -> DAG:
    from mongo_backup_airflow.builders.restore import build_restore_dag

    resolved = objects.resolve(configuration.name)
    topology = resolved.target.spec.topology
    targets = {name: each for name, each in objects.app_bindings.items() if each.spec.topology is topology}
    return build_restore_dag(Subject(objects=resolved, targets=targets))


def _verify(objects: ObjectSet, configuration: str) -> DAG:
    from mongo_backup_airflow.builders.verify import build_verify_dag

    return build_verify_dag(Subject(objects=objects.resolve(configuration)))


def _maintain(objects: ObjectSet, configuration: str, copy: str | None) -> DAG:
    from mongo_backup_airflow.builders.maintain import build_maintain_dag

    return build_maintain_dag(Subject(objects=objects.resolve(configuration).read_from(copy)))


def _release(objects: ObjectSet) -> DAG:
    from mongo_backup_airflow.builders.release import build_release_dag

    return build_release_dag(objects)


def build(orders: Iterator[Order], *, problems: list[str] | None = None) -> dict[str, DAG]:
    """Build DAGs; one that cannot be built is left out.

    A task's process asks for its own DAG alone (`get_parsing_context`).

    :param problems: gets a line for each DAG that could not be built.
    """
    only = get_parsing_context().dag_id
    dags: dict[str, DAG] = {}
    for dag_id, order in orders:
        if only is None or dag_id == only:
            try:
                dags[dag_id] = order()
            except ConfigurationError as error:
                _note(f"{dag_id}: {error.message}", problems)
            except Exception as error:  # noqa: BLE001 - a defect of one must not take away the others
                _note(f"{dag_id}: {type(error).__name__}: {error}", problems)
    return dags


def _note(problem: str, problems: list[str] | None) -> None:
    if problems is None:
        logger.error("%s", problem)
    else:
        problems.append(problem)


def backup_dags(dags: Path) -> dict[str, DAG]:
    """All backup DAGs of the objects beside this folder of DAG files."""
    return build(backup_orders(load_directory(objects_folder(dags))))


def restore_dags(dags: Path) -> dict[str, DAG]:
    """All restore DAGs of the objects beside this folder of DAG files."""
    return build(restore_orders(load_directory(objects_folder(dags))))


def verify_dags(dags: Path) -> dict[str, DAG]:
    """All verification DAGs of the objects beside this folder of DAG files."""
    return build(verify_orders(load_directory(objects_folder(dags))))


def maintain_dags(dags: Path) -> dict[str, DAG]:
    """All maintenance DAGs of the objects beside this folder of DAG files."""
    return build(maintain_orders(load_directory(objects_folder(dags))))


def release_dags(dags: Path) -> dict[str, DAG]:
    """The watchdog of the objects beside this folder of DAG files."""
    return build(release_orders(load_directory(objects_folder(dags))))


def check_objects(dags: Path) -> None:
    """Raise one error that lists all that is wrong with the objects and the DAGs that cannot be built of them.

    :raises ConfigurationError: something is wrong.
    """
    if get_parsing_context().dag_id is not None:
        return
    objects = load_directory(objects_folder(dags))
    problems: list[str] = []
    families = (backup_orders, restore_orders, verify_orders, maintain_orders, release_orders)
    for orders in families:
        build(orders(objects), problems=problems)
    text = "\n".join([*filter(None, [objects.error_text()]), *problems])
    if text:
        raise ConfigurationError(f"some objects are wrong; the others are not concerned:\n{text}")
