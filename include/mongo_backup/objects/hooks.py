"""Hooks: what else is done before and after a backup or a restore. No secret stands in one: references only."""

from __future__ import annotations

from datetime import timedelta
from string import Template
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, Name
from mongo_backup.objects.problems import speaks_of_secrets
from mongo_backup.objects.quantities import Duration

FACTS = (
    *("kind", "configuration", "session", "target", "dag", "run", "set_id"),
    *("hook", "when", "outcome", "complete", "reason"),
)
"""What a hook is told: `${name}` in a body, `MONGO_BACKUP_HOOK_<NAME>` in a command's environment."""

_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie"}
_WITHOUT_BODY = ("GET", "HEAD")
_MARGIN = timedelta(minutes=5)


def _check_body(text: str) -> str:
    template = Template(text)
    if not template.is_valid():
        raise ValueError("has a `$` that begins no name; write `$$` for a plain `$`, `${name}` for a fact")
    if unknown := sorted(set(template.get_identifiers()) - set(FACTS)):
        raise ValueError(f"there is no fact {unknown[0]!r}; these exist: {', '.join(FACTS)}")
    return text


def _check_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address; write one such as https://chat.example/hooks/backup")
    return text


def _is_secret(header: str) -> bool:
    return header.lower() in _SECRET_HEADERS or speaks_of_secrets(header.replace("-", "_"))


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    if secret := next((name for name in headers if _is_secret(name)), None):
        raise ValueError(f"{secret} is a secret: write it under `secret_headers`, as a reference to a credential")
    return headers


class HttpHook(Model):
    """A request to an HTTP server. Redirects are not followed: they are an answer like any other."""

    url: Annotated[str, AfterValidator(_check_url)] | None = None
    """The address."""
    url_from: CredentialsReference | None = None
    """Where the address itself is the secret, as with most chats: the password of this credential."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """The method."""
    headers: Annotated[dict[str, str], AfterValidator(_check_headers)] = Field(default_factory=dict)
    """Headers that are no secret."""
    secret_headers: dict[str, CredentialsReference] = Field(default_factory=dict)
    """Headers whose whole value is the password of a credential, such as `Authorization`."""
    credentials: CredentialsReference | None = None
    """User name and password for basic authentication."""
    body: Annotated[str, AfterValidator(_check_body)] | None = None
    """Text with `${fact}`s in it; none: a JSON document of all facts. A JSON body gets them escaped."""
    expect: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """Good status codes; empty: 200 to 299."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("write either `url` or `url_from`")
        if self.body is not None and self.method in _WITHOUT_BODY:
            raise ValueError(f"a {self.method} has no body; remove it, or write `method: POST`")
        return self

    @property
    def sends_body(self) -> bool:
        """Whether the method has a body."""
        return self.method not in _WITHOUT_BODY


class CommandHook(Model):
    """A program, run where the agent runs: as a process of the worker, or in a pod of the addon's function `hook`.

    The facts are in its environment as `MONGO_BACKUP_HOOK_<FACT>`. Its output goes to the task's log.
    """

    args: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments, as they are: no shell, nothing is put in."""
    credentials: CredentialsReference | None = None
    """User name and password, in the environment as `MONGO_BACKUP_HOOK_USERNAME` and `MONGO_BACKUP_HOOK_PASSWORD`."""


class MongoHook(Model):
    """A database command on the target."""

    database: str = "admin"
    """The database that it is sent to."""
    command: dict[str, Any] = Field(min_length=1)
    """The command, its name first, such as `{setParameter: 1, ttlMonitorEnabled: false}`; extended JSON for dates and
    the like."""
    component: str | None = None
    """In a sharded cluster `config` or the name of a shard: its primary gets the command. None: a mongos where the
    AppBinding names one, else the config server's primary. Elsewhere it is the primary."""
    credentials: CredentialsReference | None = None
    """The user; none: the AppBinding's `credentials`, in a restore its `restore_credentials`."""


class Hook(Model):
    """One thing that is done before the rest: `http`, `command` or `mongo`."""

    name: Name
    """For log and errors."""
    http: HttpHook | None = None
    """A request to an HTTP server."""
    command: CommandHook | None = None
    """A program."""
    mongo: MongoHook | None = None
    """A database command on the target."""
    timeout: Duration = timedelta(seconds=30)
    """Of each try."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often it is tried again, whatever went wrong."""
    retry_delay: Duration = timedelta(seconds=10)
    """The wait between two tries."""
    on_error: Literal["fail", "ignore"] = "fail"
    """`fail`: before, nothing is begun; after, the run is red (a set that was made stays). `ignore`: a warning."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(action is not None for action in (self.http, self.command, self.mongo)) != 1:
            raise ValueError(f"hook {self.name!r} must have one of `http`, `command` and `mongo`")
        if not self.timeout:
            raise ValueError(f"hook {self.name!r} has a timeout of 0; write one such as 30s")
        return self

    @property
    def longest(self) -> timedelta:
        """How long it may take with all its tries."""
        return self.timeout * (self.retries + 1) + self.retry_delay * self.retries

    def references(self) -> tuple[CredentialsReference, ...]:
        """The credentials that it names itself."""
        found: list[CredentialsReference | None] = []
        if self.http is not None:
            found = [self.http.url_from, self.http.credentials, *self.http.secret_headers.values()]
        for action in (self.command, self.mongo):
            if action is not None:
                found.append(action.credentials)
        return tuple(each for each in found if each is not None)


class AfterHook(Hook):
    """One thing that is done after the rest: `http`, `command` or `mongo`."""

    when: Literal["success", "failure", "always"] = "always"
    """After which outcome. `success`: all tasks before it succeeded."""


class Hooks(Model):
    """Hooks in their order."""

    before: tuple[Hook, ...] = ()
    """After all checks and before anything is touched. One that fails ends the run there."""
    after: tuple[AfterHook, ...] = ()
    """When all else is done, however the run went, also where a hook before it failed. All are run."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for hooks in (self.before, self.after):
            names = [hook.name for hook in hooks]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two hooks are named {twice[0]}: each needs a name of its own")
        return self


def longest(hooks: tuple[Hook, ...]) -> timedelta:
    """How long hooks may take one after the other, and some more."""
    return sum((hook.longest for hook in hooks), _MARGIN)
