"""Clients of both wires: they send a request as a merchant's own client would, and say what came back.

`send` signs for the CyberSource wire; `PaymentOptions` is a small typed client of the other one, for programs too.
Shell: it reads the clock and opens sockets. Used by `kessai call`, `kessai demo` and the tests.

    Unreachable   nobody answered, not in time, or not over TLS that can be trusted; one sentence for the operator
"""

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack
from urllib.parse import quote

import httpx

from kessai import admin
from kessai.accounts import Refused
from kessai.dialects.cybersource.auth import SharedSecret, sign, sign_jwt_hs256
from kessai.dialects.paymentoptions.auth import basic

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
    return _exchange(client, request, headers | {"accept": "application/hal+json;charset=utf-8"})


def send_bearer(client: httpx.Client, request: Request, keys: Mapping[str, str]) -> Answer:
    """Send a request of the PaymentOptions wire with the keys that `bearer` gives. Unreachable."""
    bears = {"authorization": basic(keys["api_key"]), "x-api-key": keys["x_api_key"]}
    return _exchange(client, request, bears | {"accept": "application/json"})


def is_bearers(target: str) -> bool:
    """Whether a target is one of the PaymentOptions wire, whose requests bear their keys."""
    return target.startswith("/api/")


def _exchange(client: httpx.Client, request: Request, headers: dict[str, str]) -> Answer:
    headers |= {"host": client.base_url.netloc.decode("ascii"), "user-agent": "kessai"}
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


# ---- the PaymentOptions wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card as it is printed; `expiry_year` has two digits or four."""

    number: str = field(repr=False)
    name: str
    expiry_month: str
    expiry_year: str
    cvc: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    country: str
    email: str = ""
    phone_number: str = ""
    address1: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a subscription charges and how often; `cycle_type` is DAYS, WEEKLY or MONTHLY."""

    plan_name: str
    cycle_type: str
    cycle_interval: int
    max_cycle_count: int
    plan_desc: str = ""
    subscription_end_type: str = "CYCLE"
    has_trial_period: bool = False
    trial_period_duration_type: str = "DAYS"
    trial_period_duration: int = 0
    has_discount: bool = False
    discount_percentage: int = 0
    discount_duration: int = 0


class Options(TypedDict, total=False):
    """What a payment may say beside amount and address: a card or a stored payment method pays."""

    card: Card
    token: str
    """The stored payment method that pays."""
    store: bool
    """Whether to keep the card as a stored payment method."""
    reference: str
    customer_ip: str
    return_url: Mapping[str, str]
    """`success_url` and `decline_url` where the payer may be sent away; `webhook_url`, `cancel_url`."""
    browser_info: Mapping[str, object]
    """Of the payer's browser, for 3-D Secure: `acceptHeader`, `userAgent`, `screenWidth` and so on."""
    japan_payment_options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Result:
    """What the gateway answered. A declined payment is an answer too: look at `success`."""

    status: int
    document: Mapping[str, Any] = field(repr=False)

    @property
    def success(self) -> bool:
        return self.document.get("success") is True

    @property
    def code(self) -> str:
        """Of `gateway_response`, such as `INFO0000`; empty where there is none."""
        return str(self._part("gateway_response").get("code", ""))

    @property
    def message(self) -> str:
        return str(self._part("gateway_response").get("message", ""))

    @property
    def response_code(self) -> int | None:
        """The acquirer's; 0 is approved."""
        found = self._part("payment_details").get("response_code")
        return found if isinstance(found, int) else None

    @property
    def id(self) -> str:
        """Of the transaction; empty where none was made."""
        return str(self._part("transaction_details").get("id", ""))

    @property
    def ref(self) -> int | None:
        found = self._part("transaction_details").get("ref")
        return found if isinstance(found, int) else None

    @property
    def token(self) -> str:
        """The stored payment method that was made, or paid; empty where there is none."""
        return str(self._part("transaction_details").get("stored_payment_method_id", ""))

    @property
    def subscription(self) -> str:
        """Id of the subscription; empty where there is none."""
        return str(self._part("subscription_details").get("id", ""))

    @property
    def redirect_url(self) -> str:
        """Where the payer has to be sent; look at it before `success`, which is true then too."""
        return str(self.document.get("redirect_url", ""))

    def _part(self, name: str) -> Mapping[str, Any]:
        found = self.document.get(name)
        return found if isinstance(found, dict) else {}


class PaymentOptions:
    """A merchant's client of the PaymentOptions wire, server to server. Unreachable from every call."""

    PREFIX: Final = "/api/v1/server-to-server-interface"

    def __init__(self, http: httpx.Client, merchant_id: str, *, api_key: str, x_api_key: str) -> None:
        """`http` is a client of the gateway, as `connect` gives; the keys are those of `kessai merchant add`."""
        self._http = http
        self.merchant_id = merchant_id
        self.headers: Mapping[str, str] = {"authorization": basic(api_key), "x-api-key": x_api_key}

    def payment(self, amount: str, currency: str, address: Address, **more: Unpack[Options]) -> Result:
        """Authorize and capture at once."""
        return self._pay("payment", amount, currency, address, more)

    def authorization(self, amount: str, currency: str, address: Address, **more: Unpack[Options]) -> Result:
        """Hold an amount."""
        return self._pay("authorization", amount, currency, address, more)

    def payment_v2(self, amount: str, currency: str, address: Address, **more: Unpack[Options]) -> Result:
        """The same with 3-D Secure: where the result has a `redirect_url`, send the payer there."""
        return self._pay("paymentv2", amount, currency, address, more)

    def authorization_v2(self, amount: str, currency: str, address: Address, **more: Unpack[Options]) -> Result:
        """Hold an amount, with 3-D Secure: where the result has a `redirect_url`, send the payer there."""
        return self._pay("authorizationv2", amount, currency, address, more)

    def capture(self, transaction_id: str, amount: str | int, notes: str = "") -> Result:
        """Capture an authorization, all of it or a part: the rest is released."""
        return self._follow("capture", transaction_id, {"amount": amount, "notes": notes})

    def refund(self, transaction_id: str, amount: str | int, notes: str = "") -> Result:
        """Return money of a payment or a capture, all of it or a part."""
        return self._follow("refund", transaction_id, {"amount": amount, "notes": notes})

    def void(self, transaction_id: str) -> Result:
        """Release an authorization."""
        return self._follow("void", transaction_id, {})

    def status(self, transaction_id: str) -> Result:
        return self.call("GET", f"/transaction/status/{quote(transaction_id, safe='')}")

    def subscribe(self, amount: str, currency: str, address: Address, plan: Plan, **more: Unpack[Options]) -> Result:
        """Begin a subscription with its first payment."""
        also = {"subscription": asdict(plan)}
        return self._pay("subscription/payment", amount, currency, address, more, also)

    def subscriptions(self) -> list[Mapping[str, Any]]:
        found = self.call("GET", "/subscription/list").document.get("subscription_details")
        return list(found) if isinstance(found, list) else []

    def subscription(self, subscription_id: str) -> Result:
        return self.call("GET", f"/subscription/{quote(subscription_id, safe='')}")

    def turn(self, subscription_id: str, how: Literal["pause", "resume", "cancel"]) -> Result:
        """Pause a subscription, go on with it, or end it for good."""
        return self.call("POST", f"/subscription/{quote(subscription_id, safe='')}/{how}")

    def call(self, method: str, path: str, document: object = None, headers: Mapping[str, str] | None = None) -> Result:
        """Any request of this wire; `path` is what follows the prefix."""
        whole = {**self.headers, "accept": "application/json", **(headers or {})}
        try:
            answer = self._http.request(method, self.PREFIX + path, json=document, headers=whole)
        except httpx.TimeoutException:
            raise Unreachable(f"{_shown(self._http)} did not answer within {TIMEOUT_S:.0f} seconds") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{_shown(self._http)} cannot be reached: {error}") from None
        try:
            found = answer.json()
        except ValueError:
            raise Unreachable(f"{_shown(self._http)} did not answer in JSON") from None
        return Result(answer.status_code, found if isinstance(found, dict) else {})

    def _pay(
        self,
        path: str,
        amount: str,
        currency: str,
        address: Address,
        more: Options,
        also: Mapping[str, object] | None = None,
    ) -> Result:
        method: dict[str, object] = {"type": "scheme", "store_payment_method": more.get("store", False)}
        if "token" in more:
            method["stored_payment_method_id"] = more["token"]
        if "japan_payment_options" in more:
            method["japan_payment_options"] = more["japan_payment_options"]
        document: dict[str, object] = {
            "amount": amount,
            "currency": currency,
            "merchant_id": self.merchant_id,
            "payment_method": method,
            "billing_address": _given(asdict(address)),
        }
        if "card" in more:
            document["card"] = asdict(more["card"])
        if "reference" in more:
            document["merchant_txn_ref"] = more["reference"]
        if "customer_ip" in more:
            document["customer_ip"] = more["customer_ip"]
        if "return_url" in more:
            document["return_url"] = dict(more["return_url"])
        if "browser_info" in more:
            document["browser_info"] = dict(more["browser_info"])
        return self.call("POST", f"/{path}", document | dict(also or {}))

    def _follow(self, path: str, transaction_id: str, more: Mapping[str, object]) -> Result:
        document = {"transactionId": transaction_id, "merchant_id": self.merchant_id, **_given(more)}
        return self.call("POST", f"/{path}", document)


def _given(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value != ""}


def bearer(folder: Path, merchant_id: str, database: str | None = None) -> dict[str, str]:
    """A merchant's keys of the PaymentOptions wire, out of its folder or database. Refused, CannotOpen."""
    found = admin.order(folder, "bearer", database=database, merchant=merchant_id)
    return {"api_key": found["api_key"], "x_api_key": found["x_api_key"]}


def _shown(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")
