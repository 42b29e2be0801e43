"""`mongo-backup discover`: a ready AppBinding from a connection string."""

from __future__ import annotations

import json
import os
import re
import sys
from getpass import getpass
from typing import Annotated, Any, Literal

import typer

from mongo_backup import logs
from mongo_backup.errors import ConfigurationError

URI_VARIABLE = "MONGO_BACKUP_URI"
_ENCODED = re.compile(r"mongodb(\+srv)?://([^@/?#]*@)?[^@]*$")
"""At most one `@`, and none of `/`, `?`, `#` before it."""


def discover(
    uri: Annotated[
        str | None,
        typer.Argument(
            help=f"mongodb://... of any member or mongos; `-`: from standard input; none: from {URI_VARIABLE}. "
            "Arguments are visible to everybody on the machine: give a URI with a password in another way.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the AppBinding.")] = "mongodb",
    connection: Annotated[
        str | None, typer.Option(help="Id of the Airflow Connection with the credentials; else the name.")
    ] = None,
    output: Annotated[Literal["yaml", "json"], typer.Option(help="How to print.")] = "yaml",
) -> None:
    """Connect to a MongoDB and print the AppBinding that describes it."""
    from mongo_backup.topology.binding import binding_from_uri

    address = _read(uri)
    logs.hide(secrets_in(address))
    binding = binding_from_uri(address, name, connection=connection)
    document = binding.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    ordered = {"apiVersion": binding.api_version, "kind": binding.kind, **_without_head(document)}
    typer.echo(json.dumps(ordered, indent=2) if output == "json" else _as_yaml(ordered), nl=output == "json")


def _read(uri: str | None) -> str:
    """The connection string, from where it was given.

    :raises ConfigurationError: nowhere, or a special character of the password is not encoded.
    """
    if uri == "-":
        hidden = sys.stdin.isatty()
        uri = (getpass("Connection string (not shown while you type): ") if hidden else sys.stdin.readline()).strip()
    found = uri or os.environ.get(URI_VARIABLE)
    if not found:
        raise ConfigurationError(
            f"no connection string: give mongodb://... as argument, on standard input (`-`) or in {URI_VARIABLE}"
        )
    if not _ENCODED.match(found):
        # Half of such a password would be taken for a host, and named in errors.
        raise ConfigurationError(
            "the connection string cannot be read: write mongodb://user:password@host:port/ with every special "
            "character of user and password percent-encoded (@ is %40, / is %2F, : is %3A, ? is %3F)"
        )
    return found


def secrets_in(uri: str) -> list[str]:
    """What must not be shown: the user information's password, as written and decoded."""
    from urllib.parse import unquote_plus

    userinfo = uri.partition("://")[2].partition("?")[0].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    return [password, unquote_plus(password), userinfo] if password else []


def _without_head(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}


def _as_yaml(document: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
