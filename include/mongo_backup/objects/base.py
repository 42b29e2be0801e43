"""What all kinds have in common: apiVersion, kind, metadata, references to each other and to credentials."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mongo_backup.model import Model

API_VERSION = "mongo-backup/v1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")]
"""A name that fits into DAG ids, tags and Kubernetes labels: small letters, digits, `-`, `_`; 63 characters at most."""

HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:/@,]+):[0-9]{1,5}$")]
"""A server's address as `host:port`, in the form that the replica set's own configuration uses."""


class Metadata(Model):
    """The name that other objects use, and free labels."""

    name: Name
    """Unique among the objects of its kind."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Free words of your own; they become tags of the DAGs, cut to 100 characters."""


class Reference(Model):
    """Points to another object by name."""

    name: Name
    """The other object's name."""


class SecretReference(Model):
    """A Kubernetes Secret that only the pods read."""

    name: str
    """The Secret's name, in the namespace of the pods."""


class CredentialsReference(Model):
    """Where a credential is kept: an Airflow Connection or a Kubernetes Secret, never the value itself."""

    connection: str | None = None
    """The id of an Airflow Connection."""
    secret: SecretReference | None = None
    """A Kubernetes Secret; needs the runner `kubernetes`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.connection is None) == (self.secret is None):
            raise ValueError("write either `connection: <id of an Airflow Connection>` or `secret: {name: ...}`")
        return self

    @property
    def key(self) -> str:
        """The name under which the agent finds the value, such as `connection:shop` or `secret:shop-auth`."""
        return f"connection:{self.connection}" if self.secret is None else f"secret:{self.secret.name}"


class KubernetesStyleObject(Model):
    """The head that every object has."""

    api_version: Literal["mongo-backup/v1"] = Field(default="mongo-backup/v1", alias="apiVersion")
    """The version of the objects' form."""
    metadata: Metadata
    """What identifies the object."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name
