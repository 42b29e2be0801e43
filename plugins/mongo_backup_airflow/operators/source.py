"""The repository that a restore or a verification reads: the configuration's own, or the copy that the form names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.resolved import Objects

FIELD = "copy"
OWN = "-"
"""The repository itself: no copy can have this name."""


def source_form(objects: Objects) -> dict[str, Param]:
    """The form's field, where the configuration has copies."""
    names = sorted(each.settings.name for each in objects.copies)
    if not names:
        return {}
    return {
        FIELD: Param(
            OWN,
            type="string",
            enum=[OWN, *names],
            title="Copy",
            description_md=f"Read the snapshot from this copy; `{OWN}`: from the repository itself.",
        )
    }


def source_of(params: Mapping[str, Any], objects: Objects) -> tuple[Objects, dict[str, Any]]:
    """The objects to read by, and the form's other values as far as there are any.

    :raises AirflowFailException: there is no such copy.
    """
    given = {name: value for name, value in dict(params).items() if value is not None}
    wanted = given.pop(FIELD, OWN)
    try:
        return objects.read_from(None if wanted == OWN else wanted), given
    except ConfigurationError as error:
        raise AirflowFailException(f"{FIELD}: {error.message}") from None
