"""The command `mongo-backup`. Each sub-command lives in a module of its own, imported only when it is asked for.

Exit codes are `mongo_backup.errors.ExitCode`. An error of ours is one red line; anything else is a defect and shows
its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from mongo_backup import __version__, logs
from mongo_backup.errors import ExitCode, MongoBackupError

COMMANDS: dict[str, str] = {
    "objects": "mongo_backup.cli.objects:app",
    "discover": "mongo_backup.cli.discover:discover",
    "roles": "mongo_backup.cli.roles:roles",
    "snapshots": "mongo_backup.cli.snapshots:app",
    "restore": "mongo_backup.cli.restore:restore",
    "verify": "mongo_backup.cli.verify:verify",
    "bootstrap": "mongo_backup.cli.bootstrap:bootstrap",
    "retention": "mongo_backup.cli.retention:app",
    "repository": "mongo_backup.cli.repository:app",
    "release": "mongo_backup.cli.release:release",
    "agent": "mongo_backup.cli.agent:agent",
}
"""Name of each sub-command and where it is: a function becomes a command, a `typer.Typer` a group of commands."""

_HELP = (
    "Back up and restore MongoDB: standalone servers, replica sets, sharded clusters.\n\n"
    "Objects (what, where, when) are YAML files: `mongo-backup discover` writes the first one, "
    "`mongo-backup objects check` reads them. Backups and restores are Airflow DAGs; each of their steps is one "
    "`mongo-backup agent STEP`."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param arguments: without the program's name; None takes the process's own.
    :returns: the exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    logs.set_up()
    try:
        build(words)(words, prog_name="mongo-backup")
    except SystemExit as exit_:
        return _code(exit_)
    except MongoBackupError as error:
        _say_error(error.message)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BaseException:  # noqa: BLE001 (the last line of defence: shown whole, but never with a secret)
        sys.stderr.write(logs.redact(traceback.format_exc()))
        return int(ExitCode.UNEXPECTED)
    return int(ExitCode.OK)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """Put the application together, with the one sub-command that the words name, or all of them for the help."""
    application = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    application.callback(help=_HELP)(_options)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, where in COMMANDS.items():
        if asked not in COMMANDS or asked == name:
            _register(application, name, where)
    return application


def _register(application: typer.Typer, name: str, where: str) -> None:
    module, _, attribute = where.partition(":")
    try:
        thing = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return
    if isinstance(thing, typer.Typer):
        application.add_typer(thing, name=name)
    else:
        application.command(name)(thing)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mongo-backup {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of the program as a whole (the help text is `_HELP`)."""


def _code(exit_: SystemExit) -> int:
    """Return the code of an exit: None is success, and text is what Python itself makes 1 of."""
    if exit_.code is None:
        return int(ExitCode.OK)
    if isinstance(exit_.code, int):
        return exit_.code
    sys.stderr.write(f"{logs.redact(str(exit_.code))}\n")
    return int(ExitCode.UNEXPECTED)


def _say_error(message: str) -> None:
    """One line, red on a terminal."""
    line = " ".join(f"error: {logs.redact(message)}".split("\n"))
    red = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(f"\033[31m{line}\033[0m\n" if red else f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
