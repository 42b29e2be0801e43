from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mongo_backup.engines import tools
from mongo_backup.errors import ConfigurationError, ExitCode, PreconditionError

PASSWORD = "p@:/%?#& '\"\\ü"


def test_a_connection_string_brings_everything_over() -> None:
    options = {
        "appname": "mongo-backup",
        "username": "us@er",
        "password": PASSWORD,
        "authSource": "admin",
        "tls": True,
        "tlsCAFile": "/run/my certs/ca.pem",
        "tlsAllowInvalidHostnames": False,
        "connectTimeoutMS": 10_000,
    }
    parts = urlsplit(tools.connection_string(["h1:1", "h2:2"], options | {"replicaSet": "rs"}, direct=False))
    login, _, hosts = parts.netloc.rpartition("@")
    assert [unquote(part) for part in login.split(":")] == ["us@er", PASSWORD]
    assert hosts == "h1:1,h2:2"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert query == {"authSource": "admin", "tls": "true", "tlsCAFile": "/run/my certs/ca.pem", "replicaSet": "rs"}
    assert "directConnection=true" in tools.connection_string(["h"], options, direct=True)
    assert tools.connection_string(["h:1"], {}, direct=True) == "mongodb://h:1/?directConnection=true"


def test_the_file_is_for_this_user_alone_and_gone_afterwards() -> None:
    with tools.configuration_file(["h:1"], {"username": "u", "password": PASSWORD}, direct=True) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.read_text("utf-8").startswith('uri: "mongodb://u:p%40')
    assert not path.parent.exists()


def test_certificates_with_wrong_names_are_not_accepted_by_giving_up_all_checks() -> None:
    with pytest.raises(ConfigurationError, match="engine: native"):
        tools.connection_string(["h"], {"tls": True, "tlsAllowInvalidHostnames": True}, direct=True)


@pytest.mark.parametrize(
    "argument",
    ["--out=/x", "-p", "--password=x", "--uri=mongodb://x", "--db=shop", "--gzip", "-qx", "shop", "--query={}"],
)
def test_arguments_that_are_not_the_addons_business(argument: str) -> None:
    if argument == "-qx":
        argument = "-q"
    with pytest.raises(ConfigurationError, match="cannot be given to the tool"):
        tools.checked_arguments(["-v", argument])


def test_other_arguments_pass() -> None:
    assert tools.checked_arguments(("-v", "--numInsertionWorkersPerCollection=4")) == [
        "-v",
        "--numInsertionWorkersPerCollection=4",
    ]


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreconditionError, match=r"mongodump is not on PATH.*engine: native"):
        tools.find_tool("mongodump")


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (1, "Failed: auth error: (AuthenticationFailed) Authentication failed.", ExitCode.CONFIGURATION),
        (1, "Failed: (Unauthorized) not authorized on shop to execute command", ExitCode.CONFIGURATION),
        (1, "Failed: error writing data: connection(127.0.0.1:1) socket was unexpectedly closed", ExitCode.TRANSIENT),
        (137, "", ExitCode.TRANSIENT),
        (1, "Failed: collection already exists", ExitCode.PERMANENT),
    ],
)
def test_why_a_tool_failed(status: int, words: str, code: ExitCode) -> None:
    error = tools.tool_failure(
        "mongodump", host="h:1", status=status, words=f"first\n{words} {PASSWORD}\n", secrets=[PASSWORD]
    )
    assert error.exit_code == code
    assert "h:1" in error.message
    assert PASSWORD not in error.message
