"""The roles that are printed and created grant what preflight asks for, and the backup's no more than it needs."""

from __future__ import annotations

import json
import re

import pytest

from mongo_backup.cli.main import main
from mongo_backup.topology import privileges
from mongo_backup.topology.roles import BACKUP_ROLE, RESTORE_ROLE, ROLES, shell_text

ALL = (
    *privileges.COMMON,
    *privileges.REPLICATED,
    *privileges.LOCKING,
    *privileges.JOURNALING,
    *privileges.BALANCING,
    *privileges.BALANCING_ROUTED,
)
"""Without `privileges.DIRECT`, which a role of the server's own brings."""


@pytest.mark.parametrize("role", ROLES, ids=[role["createRole"] for role in ROLES])
def test_grants_everything_that_is_checked(role: dict[str, object]) -> None:
    granted = role["privileges"]
    assert isinstance(granted, list)
    assert list(privileges.lacking(granted, ALL)) == []


def test_the_backup_role_changes_no_data() -> None:
    writing = {"insert", "update", "remove", "createCollection", "dropCollection", "dropDatabase", "anyAction"}
    for privilege in BACKUP_ROLE["privileges"]:
        if writing & set(privilege["actions"]):
            assert privilege["resource"] in (dict(privileges.JOURNAL), dict(privileges.SETTINGS))


def test_mongosh_gets_what_the_server_gets() -> None:
    text = shell_text(BACKUP_ROLE, "mongo-backup")
    lines = re.findall(r"\{resource: (\{.*?\}), actions: (\[.*?\])\}", text)
    assert [{"resource": json.loads(on), "actions": json.loads(actions)} for on, actions in lines] == BACKUP_ROLE[
        "privileges"
    ]
    assert "passwordPrompt()" in text
    assert '["backup"].concat(parseInt(db.version()) >= 8 ? ["directShardOperations"] : [])' in text
    assert "roles: []\n" in shell_text(RESTORE_ROLE, "mongo-restore")


def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roles", "--user", "someone"]) == 0
    assert capsys.readouterr().out == shell_text(BACKUP_ROLE, "someone")
    assert main(["roles", "--restore"]) == 0
    assert capsys.readouterr().out == shell_text(RESTORE_ROLE, "mongo-restore")
