"""A hook that is a database command on the target."""

from __future__ import annotations

import json

import pymongo
from bson import json_util

from mongo_backup.connection import Client, Connector, mongo_errors
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.app_binding import AppBinding, ReplicaSetAddress
from mongo_backup.objects.hooks import MongoHook

CONFIG = "config"


def command(
    hook: MongoHook, *, binding: AppBinding, restore: bool, credentials: Credentials, timeout_seconds: float
) -> str:
    """Send the command; return in words that it worked.

    :param restore: the user is the one that restores.
    :raises MongoBackupError: it failed, by its cause.
    """
    name = next(iter(hook.command))
    document = json_util.loads(json.dumps(hook.command))
    with (
        Connector(binding=_as_user(binding, hook), credentials=credentials, restore=restore) as connector,
        pymongo.timeout(timeout_seconds),
    ):
        client, where = _client(connector, hook)
        with mongo_errors(f"the command {name}", where):
            client.get_database(hook.database).command(document)
    return f"{where} did {name}"


def _as_user(binding: AppBinding, hook: MongoHook) -> AppBinding:
    if hook.credentials is None:
        return binding
    users = {"credentials": hook.credentials, "restore_credentials": hook.credentials}
    return binding.model_copy(update={"spec": binding.spec.model_copy(update=users)})


def _client(connector: Connector, hook: MongoHook) -> tuple[Client, str]:
    """Who gets the command, and how to call it.

    :raises ConfigurationError: the target has no such component.
    """
    spec = connector.binding.spec
    if hook.component is not None:
        components = {**({CONFIG: spec.config_server} if spec.config_server else {}), **spec.shards}
        if hook.component not in components:
            known = ", ".join(components) or "none: leave `component` out"
            raise ConfigurationError(
                f"AppBinding {connector.binding.name} has no component {hook.component}; these exist: {known}"
            )
        return _primary(connector, components[hook.component])
    if (mongos := connector.mongos()) is not None:
        return mongos, "mongos"
    address = spec.config_server or spec.replica_set
    if address is None:
        return connector.member(spec.hosts[0]), spec.hosts[0]
    return _primary(connector, address)


def _primary(connector: Connector, address: ReplicaSetAddress) -> tuple[Client, str]:
    return connector.primary(address.hosts, address.replica_set), f"the primary of {address.replica_set}"
