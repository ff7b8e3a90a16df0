"""A client of the CyberSource wire: signs a request as a merchant's own client would, sends it, says what came back.

Shell: it reads the clock and opens sockets. Used by `kessai call` and `kessai demo`.

    Unreachable   nobody answered, not in time, or not over TLS that can be trusted; one sentence for the operator
"""

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import httpx

from kessai import admin
from kessai.accounts import Refused
from kessai.dialects.cybersource.auth import SharedSecret, sign, sign_jwt_hs256

TIMEOUT_S: Final = 60.0
"""Longer than a gateway waits for an acquirer."""
METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Unreachable(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request before it is signed. `target` is sent and signed as it stands, byte by byte."""

    method: str
    target: str
    """Path and query: ASCII, beginning with a slash."""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    """Said besides, or instead of, what signing says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def document(self) -> object:
        """The body as JSON says it; its text where it is none; None where there is no body."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode("utf-8", "replace")


def gateway(folder: Path, given: str | None) -> str:
    """Where to send requests: the URL that was given, else that of the gateway that serves the folder. Refused."""
    if given is not None:
        try:
            return base(given)
        except ValueError as error:
            raise Refused(str(error)) from None
    answer = admin.call_over_there(folder, "status", {})
    if answer is None:
        raise Refused(f"no gateway serves the folder {folder}: start one with `kessai serve`, or name one with --url")
    url = str(answer["result"]["url"])
    if not url:
        raise Refused(f"the gateway of the folder {folder} is still starting")
    return url


def key(folder: Path, merchant_id: str, database: str | None = None) -> SharedSecret:
    """A merchant's shared secret, out of its folder or database. Refused, CannotOpen."""
    found = admin.order(folder, "credentials", database=database, merchant=merchant_id)
    return SharedSecret.of(found["key_id"], found["shared_secret"], merchant_id)


def base(text: str) -> str:
    """A gateway's URL as scheme, host and port. ValueError where it says more than these, or less."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("a gateway's URL begins with http:// or https:// and a host")
    if url.path not in ("", "/") or url.query or url.fragment or url.userinfo:
        raise ValueError("a gateway's URL is scheme, host and port, nothing behind them")
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


@contextmanager
def connect(base_url: str, *, authority: Path | None = None, insecure: bool = False) -> Iterator[httpx.Client]:
    """A client of a gateway at the URL that `base` gave.

    `authority` is a PEM file to trust beside the system's own, where there is such a file; `insecure` trusts everybody.
    Proxies of the environment are used, but not to reach this machine.
    """
    url = httpx.URL(base_url)
    verify: ssl.SSLContext | bool = False
    if url.scheme == "https" and not insecure:
        verify = ssl.create_default_context()
        if authority is not None and authority.exists():
            try:
                verify.load_verify_locations(authority)
            except ssl.SSLError:
                raise Unreachable(f"{authority} is not a certificate to trust") from None
    with httpx.Client(
        base_url=url, verify=verify, timeout=TIMEOUT_S, trust_env=url.host not in _LOOPBACK, follow_redirects=False
    ) as client:
        yield client


def send(client: httpx.Client, request: Request, merchant_id: str, key: SharedSecret, *, jwt: bool = False) -> Answer:
    """Sign a request, by HTTP signature or by a token, and send it. Unreachable."""
    host = client.base_url.netloc.decode("ascii")
    headers = _signed(request, host, merchant_id, key, jwt=jwt)
    headers |= {"host": host, "user-agent": "kessai", "accept": "application/hal+json;charset=utf-8"}
    if request.method in METHODS_WITH_BODY:
        headers["content-type"] = "application/json;charset=utf-8"
    headers |= {name.lower(): value for name, value in request.headers}
    try:
        answer = client.request(
            request.method,
            "/",
            content=request.body,
            headers=headers,
            extensions={"target": request.target.encode("ascii")},  # httpx would normalise it; the signature would not
        )
    except httpx.TimeoutException:
        raise Unreachable(f"{_shown(client)} did not answer within {TIMEOUT_S:.0f} seconds") from None
    except httpx.HTTPError as error:
        raise Unreachable(f"{_shown(client)} cannot be reached: {error}") from None
    return Answer(
        status=answer.status_code,
        phrase=answer.reason_phrase,
        headers={name.lower(): value for name, value in answer.headers.items()},
        body=answer.content,
    )


def _signed(request: Request, host: str, merchant_id: str, key: SharedSecret, *, jwt: bool) -> dict[str, str]:
    now = datetime.now(UTC)
    if jwt:
        return sign_jwt_hs256(
            method=request.method,
            target=request.target,
            host=host,
            body=request.body,
            merchant_id=merchant_id,
            key=key,
            issued_at=now,
            jti=str(uuid.uuid4()),
        )
    return sign(
        method=request.method,
        target=request.target,
        host=host,
        body=request.body,
        merchant_id=merchant_id,
        key=key,
        date_text=format_datetime(now, usegmt=True),
    )


def _shown(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")
