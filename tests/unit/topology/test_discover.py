from __future__ import annotations

import pytest

from mongo_backup.errors import ConfigurationError
from mongo_backup.topology.binding import binding_from_uri
from mongo_backup.topology.discover import parse_set, version_number
from mongo_backup.topology.replica_set import listens


def test_versions_are_compared_as_numbers() -> None:
    assert version_number("10.0.1-rc2") == (10, 0, 1)
    assert min(["6.0.10", "6.0.9", "10.0.0"], key=version_number) == "6.0.9"


def test_a_set_as_the_config_server_keeps_it() -> None:
    assert parse_set("shard0/a:1,b:2").model_dump() == {"replica_set": "shard0", "hosts": ("a:1", "b:2")}


def test_nothing_listens_on_a_privileged_port_of_this_machine() -> None:
    assert not listens("127.0.0.1:1", timeout_seconds=1)
    assert not listens("no-such-host.invalid:27017", timeout_seconds=1)


@pytest.mark.parametrize("uri", ["mongodb://u:se%cret@h:1/", "mongodb://u:sec/ret@h:1/", "http://u:secret@h", "secret"])
def test_an_unreadable_connection_string_is_not_quoted(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as error:
        binding_from_uri(uri, "shop")
    assert "secret" not in error.value.message
    assert "cret@" not in error.value.message
