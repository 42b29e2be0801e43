"""A hook that is an HTTP request."""

from __future__ import annotations

import base64
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPErrorProcessor, HTTPHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import ConfigurationError, PermanentError, TransientError
from mongo_backup.hooks.facts import HookFacts
from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.hooks import HttpHook

_JSON = "application/json"


class _EveryStatus(HTTPErrorProcessor):
    """Every answer is an answer; nothing is followed elsewhere, so no secret goes where nobody meant it to."""

    def http_response(self, request: Request, response: object) -> object:
        return response

    https_response = http_response


def send(hook: HttpHook, *, facts: HookFacts, credentials: Credentials, timeout_seconds: float) -> str:
    """Send the request; return in words what came back.

    :raises ConfigurationError: a credential has no password, or the one for the address is none.
    :raises TransientError: the server does not answer.
    :raises PermanentError: it answers with another status than is expected.
    """
    url, shown = _address(hook, credentials)
    shown = f"{hook.method} {shown}"
    status = exchange(
        url,
        method=hook.method,
        headers=_headers(hook, credentials),
        body=_body(hook, facts),
        shown=shown,
        timeout_seconds=timeout_seconds,
    )
    good = status in hook.expect if hook.expect else 200 <= status < 300
    if not good:
        wanted = ", ".join(map(str, hook.expect)) or "200 to 299"
        raise PermanentError(f"{shown} was answered with {status}, expected was {wanted}")
    return f"{shown} was answered with {status}"


def exchange(
    url: str, *, method: str, headers: dict[str, str], body: bytes | None, shown: str, timeout_seconds: float
) -> int:
    """Send a request and return the status of the answer, whatever it is.

    :param shown: what the request is called in errors: the address may be a secret.
    :raises TransientError: there is no answer.
    """
    opener = build_opener(_EveryStatus, HTTPHandler, HTTPSHandler, ProxyHandler)
    try:
        request = Request(url, method=method, headers=headers, data=body)  # noqa: S310 - http or https, as checked
        with opener.open(request, timeout=timeout_seconds) as response:
            return int(response.status)
    except (HTTPException, ValueError) as error:  # their texts may quote the address or a header
        raise TransientError(f"{shown} could not be sent or understood: {type(error).__name__}") from None
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise TransientError(f"{shown} got no answer: {str(reason)[:200]}") from None


def basic(username: str, password: str) -> str:
    """The header `Authorization` of basic authentication (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def _address(hook: HttpHook, credentials: Credentials) -> tuple[str, str]:
    """The address, and how to call it in a log."""
    if hook.url is not None:
        parts = urlsplit(hook.url)
        return hook.url, f"{parts.scheme}://{parts.netloc}{parts.path}"
    url = _password(hook.url_from, credentials)
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"the password of {_key(hook.url_from)} is no http or https address")
    return url, f"the address of {_key(hook.url_from)}"


def _headers(hook: HttpHook, credentials: Credentials) -> dict[str, str]:
    headers = {"User-Agent": "mongo-backup", **hook.headers}
    if hook.sends_body and not _content_type(hook):
        headers["Content-Type"] = _JSON
    for name, reference in hook.secret_headers.items():
        headers[name] = _password(reference, credentials)
    if hook.credentials is not None:
        found = credentials.get(hook.credentials) or Credential()
        headers["Authorization"] = basic(found.username or "", found.password_text() or "")
    return headers


def _content_type(hook: HttpHook) -> str:
    return next((value for name, value in hook.headers.items() if name.lower() == "content-type"), "")


def _body(hook: HttpHook, facts: HookFacts) -> bytes | None:
    if not hook.sends_body:
        return None
    if hook.body is None:
        return facts.document().encode()
    return facts.filled(hook.body, as_json="json" in (_content_type(hook) or _JSON)).encode()


def _password(reference: CredentialsReference | None, credentials: Credentials) -> str:
    found = credentials.get(reference)
    password = found.password_text() if found is not None else None
    if not password:
        raise ConfigurationError(f"credential {_key(reference)} has no password")
    return password


def _key(reference: CredentialsReference | None) -> str:
    return reference.key if reference is not None else "the credential"
