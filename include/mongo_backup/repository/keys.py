"""The keys of a repository: each password that opens it is one. To change the password is to add one and remove one."""

from __future__ import annotations

from mongo_backup.errors import ConfigurationError, PreconditionError
from mongo_backup.repository.records import KEYS, Key
from mongo_backup.repository.restic import Repository


def list_keys(repository: Repository) -> tuple[Key, ...]:
    """All keys, the oldest first.

    :raises MongoBackupError: they cannot be listed.
    """
    found = repository.ask(KEYS, "listing keys", "key", "list", "--json", "--no-lock")
    return tuple(sorted(found, key=lambda each: each.created))


def add_key(repository: Repository, password: str) -> Key:
    """Add a key for a new password, and open the repository with it.

    :raises ConfigurationError: restic could not read the password back: it has a newline, or blanks at its ends.
    :raises PreconditionError: nothing opens with it.
    """
    if "\n" in password or "\r" in password:
        raise ConfigurationError("the new password has a line break, which restic cannot read: choose another")
    if password != password.strip():
        raise ConfigurationError(
            "the new password begins or ends with a blank, which restic cuts off where it adds a key: choose another"
        )
    before = {each.id for each in list_keys(repository)}
    with repository.secret_file("new-password", password) as file:
        repository.tell("adding a key", "key", "add", "--new-password-file", file)
    with repository.with_password(password) as other:
        added = next((each for each in list_keys(other) if each.current), None)
    if added is None or added.id in before:
        raise PreconditionError("the repository has no key of the new password: it is one that it has already?")
    return added


def remove_key(repository: Repository, key_id: str) -> Key:
    """Remove a key by its id or the id's beginning.

    :raises ConfigurationError: there is none of that id, more than one, or it is the one in use.
    """
    keys = list_keys(repository)
    found = [each for each in keys if key_id and each.id.startswith(key_id)]
    if len(found) != 1:
        shown = ", ".join(each.id for each in keys)
        raise ConfigurationError(f"{len(found)} keys have an id that begins with {key_id!r}; these exist: {shown}")
    if found[0].current:
        raise ConfigurationError(
            f"key {found[0].id} is that of the password in use: use the new password first, then remove this one"
        )
    repository.tell("removing a key", "key", "remove", found[0].id)
    return found[0]
