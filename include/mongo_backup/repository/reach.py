"""A plain question to a store, without credentials, where restic's own words do not tell what is wrong.

restic 0.14 says nothing at all while it tries an Azure account again that it cannot reach or whose certificate it does
not trust, and for Google's storage it takes a missing bucket for a missing repository, which `restic init` would make.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException

from mongo_backup.repository.outcome import Cause

TIMEOUT_SECONDS = 5.0
NOT_FOUND = 404


def ask(address: str, *, ca_file: str | None) -> tuple[Cause | None, int | None]:
    """Ask once; return why there was no answer, or the answer's HTTP status. Proxies are those of the environment.

    :param ca_file: the certificate authority to trust instead of the machine's own.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310
            return None, answer.status
    except urllib.error.HTTPError as error:
        return None, error.code
    except urllib.error.URLError as error:
        return _cause(error.reason), None
    except (OSError, HTTPException) as error:
        return _cause(error), None


def _cause(reason: object) -> Cause:
    if isinstance(reason, ssl.SSLError):
        return Cause.TLS
    return Cause.SILENT if isinstance(reason, TimeoutError) else Cause.UNREACHABLE
