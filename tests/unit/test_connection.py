"""The driver's errors in words for people."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure, PyMongoError

from mongo_backup.connection import said, translate


def refused(reply: dict[str, Any], *, raw: bool = False) -> OperationFailure:
    """As the driver raises it for a reply."""
    details: Any = RawBSONDocument(bson.encode(reply)) if raw else reply
    return OperationFailure(reply["errmsg"], code=reply["code"], details=details)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            refused({"ok": 0, "errmsg": "no luck", "code": 96, "codeName": "OperationFailed"}),
            "no luck (OperationFailed)",
        ),
        (refused({"ok": 0, "errmsg": "no luck", "code": 8000, "secret": "x"}, raw=True), "no luck (8000)"),
        (
            BulkWriteError({"writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000 dup", "op": {"secret": 1}}]}),
            "batch op errors occurred: E11000 dup",
        ),
        (OperationFailure("no luck"), "no luck"),
        (AutoReconnect("connection closed"), "connection closed"),
    ],
)
def test_what_the_server_said(error: PyMongoError, words: str) -> None:
    assert said(error) == words


def test_no_reply_and_no_bytes_in_a_message() -> None:
    error = refused({"ok": 0, "errmsg": "no luck", "code": 96, "codeName": "OperationFailed"}, raw=True)
    message = translate(error, doing="reading shop.orders", host="db:27017").message
    assert message == "reading shop.orders on db:27017 failed: no luck (OperationFailed)"
