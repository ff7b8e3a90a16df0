"""A merchant's client that signs, over a real socket; what every answer must look like; and the gateway behind it.

The client is written from the wire's description and shares no code with the gateway. It checks each answer against the
rules that hold for all of them (`assert_form`), so that no test has to, and none can forget.
"""

import base64
import copy
import hashlib
import hmac
import io
import json
import re
import time
from asyncio import AbstractEventLoop, run_coroutine_threadsafe
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, TypeVar

import httpx

from kessai import admin, books
from kessai.acquirers.simulator.book import Book
from kessai.acquirers.simulator.link import Simulator
from kessai.app import House
from kessai.jobs import settlement
from tests.houses import Clock

T = TypeVar("T")
Json = dict[str, Any]

VISA: Final = "4111111111111111"
MASTERCARD: Final = "5555555555554444"
JCB: Final = "3566111111111113"
UNKNOWN: Final = "7000000000006000103001"
"""An id of the right form that nobody was ever given."""
INVALID_TEXT: Final = "Declined - One or more fields in the request contains invalid data"
MISSING_TEXT: Final = "Declined - The request is missing one or more fields"
REVERSED_TEXT: Final = "Decline - The authorization has already been reversed."
NOT_VOIDABLE_TEXT: Final = (
    "Decline - The capture or credit is not voidable because the capture or credit information has already been "
    "submitted to your processor. Or, you requested a void for a type of transaction that cannot be voided."
)
SIGNED: Final = ("host", "date", "request-target", "digest", "v-c-merchant-id")
"""The list that most clients sign, in their order; `digest` only where there is a body."""


# ---- documents

BILL_TO: Final[Json] = {
    "firstName": "Hanako",
    "lastName": "Suzuki",
    "address1": "1 Market St",
    "locality": "San Francisco",
    "administrativeArea": "CA",
    "postalCode": "94105",
    "country": "US",
    "email": "hanako@example.com",
}
ABSENT: Final = object()
"""In `changed`: the member is taken out."""


def changed(document: Json, changes: Mapping[str, object]) -> Json:
    """A copy with members set, or taken out, by their paths."""
    made = copy.deepcopy(document)
    for path, value in changes.items():
        *steps, last = path.split(".")
        place = made
        for step in steps:
            place = place.setdefault(step, {})
        if value is ABSENT:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def payment(amount: object = "102.21", currency: str = "USD", number: str = VISA, **changes: object) -> Json:
    """A card-not-present authorization. `changes` are paths with `__` for the dot."""
    document: Json = {
        "orderInformation": {"amountDetails": {"totalAmount": amount, "currency": currency}, "billTo": dict(BILL_TO)},
        "paymentInformation": {"card": {"number": number, "expirationMonth": "12", "expirationYear": "2031"}},
    }
    return changed(document, {path.replace("__", "."): value for path, value in changes.items()})


def amount_of(amount: object, currency: str | None = "USD") -> Json:
    """The body of a capture or refund."""
    details = {"totalAmount": amount} | ({"currency": currency} if currency is not None else {})
    return {"orderInformation": {"amountDetails": details}}


def reversal_of(amount: object, **more: object) -> Json:
    return {"reversalInformation": {"amountDetails": {"totalAmount": amount, **more}, "reason": "testing"}}


def japanese(amount: object = "12000", number: str = VISA, **option: object) -> Json:
    """An authorization in yen with a Japanese payment option, its three names filled in."""
    names = {"businessName": "株式会社青空", "businessNameAlphaNumeric": "AOZORA", "businessNameKatakana": "アオゾラ"}
    document = payment(amount, "JPY", number)
    document["processingInformation"] = {"japanPaymentOptions": names | option}
    return document


def named(transaction_id: str) -> Json:
    """What a time-out reversal or void says of its original; and what the original must have said."""
    return {"clientReferenceInformation": {"transactionId": transaction_id}}


# ---- answers


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def any(self) -> Any:
        """The document, whatever it is."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        identifier = self.json["id"]
        assert isinstance(identifier, str)
        return identifier

    @property
    def said(self) -> tuple[int, str, str | None]:
        """HTTP status, `status` and reason: what clients branch on."""
        document = self.json
        error = document.get("errorInformation", {})
        return self.status, document["status"], document.get("reason") or error.get("reason")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Path and reason of every detail, in order."""
        return [(detail["field"], detail["reason"]) for detail in self.json.get("details", [])]

    @property
    def explanation(self) -> str | None:
        return self.headers.get("kessai-explain")


AUTHORIZED: Final = (201, "AUTHORIZED", None)
PENDING: Final = (201, "PENDING", None)
REVERSED: Final = (201, "REVERSED", None)
VOIDED: Final = (201, "VOIDED", None)
TIMED_OUT: Final = (502, "SERVER_ERROR", "SERVER_TIMEOUT")


def refused(reason: str) -> tuple[int, str, str]:
    return 400, "INVALID_REQUEST", reason


def declined(reason: str) -> tuple[int, str, str]:
    return 201, "DECLINED", reason


_ID: Final = re.compile(r"[0-9]{12}6[0-9]{4}0[0-9]{4}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_SUCCESSES: Final = {
    "payments": {"AUTHORIZED", "PARTIAL_AUTHORIZED", "PENDING"},
    "captures": {"PENDING"},
    "reversals": {"REVERSED"},
    "refunds": {"PENDING"},
    "credits": {"PENDING"},
    "voids": {"VOIDED"},
}
_OTHERS: Final = {
    "payments": {"DECLINED", "AUTHORIZED_PENDING_REVIEW", "AUTHORIZED_RISK_DECLINED", "PENDING_AUTHENTICATION"},
    "captures": {"DECLINED"},
    "reversals": {"DECLINED"},
    "refunds": {"FAILED"},
    "credits": {"DECLINED"},
    "voids": {"DECLINED"},
}
"""A refund is never DECLINED: a production client cannot decode that."""
_ANY: Final = {"MISSING_FIELD", "INVALID_DATA", "DUPLICATE_REQUEST", "INVALID_MERCHANT_CONFIGURATION", "NOT_SUPPORTED"}
_HOLD: Final = {"AUTH_ALREADY_REVERSED", "TRANSACTION_ALREADY_SETTLED", "INVALID_AMOUNT", "MISSING_AUTH"} | {
    "TRANSACTION_ALREADY_REVERSED_OR_SETTLED"
}
_CARD: Final = {"INVALID_CARD", "CARD_TYPE_NOT_ACCEPTED", "INVALID_CARD_TYPE", "PROCESSOR_UNAVAILABLE"}
_REASONS: Final = {
    "payments": _ANY | _CARD | {"INVALID_AMOUNT", "INVALID_PAYMENT_ID"},
    "captures": _ANY | _HOLD | {"EXCEEDS_AUTH_AMOUNT"},
    "reversals": _ANY | _HOLD | {"PROCESSOR_UNAVAILABLE"},
    "refunds": _ANY | {"INVALID_CARD", "INVALID_AMOUNT", "CAPTURE_ALREADY_VOIDED", "ACCOUNT_NOT_ALLOWED_CREDIT"},
    "credits": _ANY | _CARD - {"PROCESSOR_UNAVAILABLE"} | {"INVALID_AMOUNT", "ACCOUNT_NOT_ALLOWED_CREDIT"},
    "voids": _ANY | {"NOT_VOIDABLE"},
}
"""The 400 reasons that the public reference lists per operation; credits also say why a card type is not taken."""


_STATES: Final = {"AUTHORIZED", "AUTHORIZED_PENDING_REVIEW", "AUTHORIZED_RISK_DECLINED", "PARTIAL_AUTHORIZED"} | {
    *("PENDING", "TRANSMITTED", "REVERSED", "VOIDED", "DECLINED", "FAILED", "SERVER_ERROR"),
}
"""States that the details tell; all but the partial one are decoded by a production client."""


def assert_form(method: str, path: str, reply: Reply) -> None:
    """What holds for every answer of this wire, whatever was asked."""
    assert reply.headers["v-c-correlation-id"]
    if reply.status == 204:
        assert reply.body == b""
        assert "content-length" not in reply.headers
        return
    if reply.status == 202 and path.endswith("/enrollment"):
        assert reply.body == b""
        return
    if reply.status == 200 and path.endswith("/payment-credentials"):
        assert reply.headers["content-type"].startswith("application/jose")
        assert reply.body.count(b".") == 4
        return
    assert reply.headers["content-type"].startswith(("application/hal+json", "application/json", "application/jwt"))
    if reply.headers["content-type"] == "application/jwt":
        return
    if not path.startswith("/pts/"):
        json.loads(reply.body)
        return
    document = reply.json
    if method == "GET" or reply.status in (401, 404, 405, 409, 415, 503):
        return
    collection = "payments" if method == "PATCH" else path.rstrip("/").rpartition("/")[2]
    assert reply.status in (201, 400, 502), reply.body
    assert _ID.fullmatch(document["id"])
    assert _TIME.fullmatch(document["submitTimeUtc"])
    if reply.status == 201:
        _assert_resource(collection, document)
    else:
        _assert_error(collection, reply.status, document)


def _assert_resource(collection: str, document: Json) -> None:
    assert list(document) == sorted(document, key=lambda name: (name != "_links", name)), "members are in order"
    assert document["clientReferenceInformation"]["code"]
    told = dict(document)
    is_new = told.get("tokenInformation", {}).get("instrumentidentifierNew", False)
    if "tokenInformation" in told:
        told["tokenInformation"] = told["tokenInformation"] | {"instrumentidentifierNew": ""}
    assert isinstance(is_new, bool)
    assert all(isinstance(leaf, str) for leaf in leaves(told)), "every other scalar of an answer is a text"
    if document["status"] in _SUCCESSES[collection]:
        assert "errorInformation" not in document
    else:
        assert document["status"] in _OTHERS[collection]
        assert list(document["errorInformation"]) == ["reason", "message"]
    for name, link in document.get("_links", {}).items():
        assert list(link) == ["method", "href"]
        assert link["href"].startswith(f"/pts/v2/{collection}/{document['id']}")
        assert link["method"] == ("GET" if name == "self" else "POST")


def _assert_error(collection: str, status: int, document: Json) -> None:
    names = ["id", "submitTimeUtc", "status", "reason", "message"]
    assert list(document) in (names, [*names, "details"])
    if status == 502:
        assert document["status"] == "SERVER_ERROR"
        assert document["reason"] in {"SYSTEM_ERROR", "SERVER_TIMEOUT", "SERVICE_TIMEOUT"}
        assert "details" not in document
        return
    assert document["status"] == "INVALID_REQUEST"
    assert document["reason"] in _REASONS[collection]
    for detail in document.get("details", []):
        assert list(detail) == ["field", "reason"]
        assert detail["field"]
        assert detail["reason"] in {"MISSING_FIELD", "INVALID_DATA"}


def leaves(value: object) -> Iterator[object]:
    """Every scalar of a document."""
    if isinstance(value, dict):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    else:
        yield value


# ---- the gateway


@dataclass
class Service:
    """A gateway that is being served, and what a test may do to it from outside."""

    house: House
    clock: Clock
    loop: AbstractEventLoop
    port: int
    logs: io.StringIO
    http: httpx.Client
    database: str = ""
    """Its URL; empty: the embedded one in the data folder."""
    secrets: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something inside of the gateway's own loop."""
        return run_coroutine_threadsafe(work, self.loop).result(30)

    def till(self, merchant: str = "kessai_sandbox") -> "Client":
        if merchant not in self.secrets:
            key_id, secret = self.run(self.house.accounts.shared_secret(merchant))
            self.secrets[merchant] = key_id, base64.b64decode(secret)
        return Client(self, merchant)

    def merchant(self, merchant: str, personality: str = "sandbox", **settings: str) -> "Client":
        """The till of a merchant of one's own, with settings that differ."""
        if self.house.accounts.find(merchant) is None:
            self.run(self.house.accounts.add(merchant, personality, self.house.clock()))
            self.run(self.house.accounts.set(merchant, settings))
        return self.till(merchant)

    def settle(self, merchant: str) -> None:
        """Cut the business day now: what moved money is transmitted."""
        account = self.house.accounts.get(merchant)
        self.run(settlement.settle(self.house.gateway, account.merchant, self.house.clock() + timedelta(seconds=1)))

    def book(self, personality: str = "sandbox") -> Book:
        """What the simulated acquirer believes."""
        link = self.house.gateway.links[personality]
        assert isinstance(link, Simulator)
        return link.book

    def until_quiet(self) -> None:
        """Wait until every clean-up is done."""
        self.until(lambda: admin.jobs(self.house), lambda jobs: jobs == [])

    def until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 10) -> T:
        async def asked() -> T:
            return await ask()

        deadline = time.monotonic() + seconds
        while not holds(found := self.run(asked())):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def assert_books(self) -> None:
        """Every ledger entry follows from the transactions, and every currency adds up to nothing."""
        assert self.run(books.check(self.house.database)).findings == ()

    @contextmanager
    def on(self, day: str) -> Iterator[None]:
        """Business on another day, noon in Japan."""
        self.clock.moved = datetime.fromisoformat(f"{day}T03:00:00+00:00") - datetime.now(UTC)
        try:
            yield
        finally:
            self.clock.moved = timedelta()


@dataclass(frozen=True)
class Client:
    """One merchant's client."""

    service: Service
    merchant: str

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
    ) -> Reply:
        """One signed request. A document of None is no body; `body` goes before it."""
        if body is None:
            body = json.dumps(document).encode() if document is not None else b""
        sent = self.signed(method, path, body)
        if body:
            sent["content-type"] = "application/json;charset=utf-8"
        return self.send(method, path, body, sent | dict(headers or {}))

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """A request whose headers are all given."""
        answer = self.service.http.request(method, path, content=body, headers=dict(headers))
        reply = Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
        assert_form(method, path, reply)
        return reply

    def signed(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        listed: tuple[str, ...] = SIGNED,
        separator: str = " ",
        secret: bytes | None = None,
        date: datetime | None = None,
    ) -> dict[str, str]:
        """The headers of an HTTP signature over a list of names, in its order."""
        key_id, own = self.service.secrets[self.merchant]
        when = format_datetime(date or datetime.now(UTC), usegmt=True)
        headers = {"host": f"127.0.0.1:{self.service.port}", "v-c-merchant-id": self.merchant}
        headers["v-c-date" if "v-c-date" in listed else "date"] = when
        if method in ("POST", "PUT", "PATCH"):
            headers["digest"] = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
        values = {**headers} | dict.fromkeys(("request-target", "(request-target)"), f"{method.lower()} {path}")
        names = [name for name in listed if name in values]
        text = "\n".join(f"{name}: {values[name]}" for name in names)
        mac = base64.b64encode(hmac.digest(secret or own, text.encode(), "sha256")).decode()
        headers["signature"] = (
            f'keyid="{key_id}", algorithm="HmacSHA256", headers="{separator.join(names)}", signature="{mac}"'
        )
        return headers

    # ---- operations

    def pay(self, document: Json | None = None, **headers: str) -> Reply:
        return self.post("/pts/v2/payments", payment() if document is None else document, **headers)

    def sell(self, amount: object = "102.21", **headers: str) -> Reply:
        return self.pay(payment(amount, processingInformation__capture=True), **headers)

    def capture(self, identifier: str, amount: object = "102.21", **headers: str) -> Reply:
        return self.post(f"/pts/v2/payments/{identifier}/captures", amount_of(amount), **headers)

    def reverse(self, identifier: str, amount: object = "102.21", **headers: str) -> Reply:
        return self.post(f"/pts/v2/payments/{identifier}/reversals", reversal_of(amount), **headers)

    def refund(self, identifier: str, amount: object = "102.21", of: str = "payments", **headers: str) -> Reply:
        return self.post(f"/pts/v2/{of}/{identifier}/refunds", amount_of(amount), **headers)

    def void(self, identifier: str, of: str = "payments", **headers: str) -> Reply:
        return self.post(f"/pts/v2/{of}/{identifier}/voids", {}, **headers)

    def increase(self, identifier: str, amount: object = "22.49", **headers: str) -> Reply:
        document = changed(amount_of(amount), {"orderInformation.amountDetails.additionalAmount": amount})
        del document["orderInformation"]["amountDetails"]["totalAmount"]
        return self.call("PATCH", f"/pts/v2/payments/{identifier}", document, _names(headers))

    def credit(self, document: Json | None = None, **headers: str) -> Reply:
        return self.post("/pts/v2/credits", payment() if document is None else document, **headers)

    def details(self, identifier: str) -> Json:
        reply = self.call("GET", f"/tss/v2/transactions/{identifier}")
        assert reply.status == 200
        found = reply.json
        assert found["id"] == identifier
        assert found["applicationInformation"]["status"] in _STATES
        return found

    def warnings(self, identifier: str) -> list[str]:
        """What the details warn of."""
        found = self.details(identifier).get("kessaiInformation", {}).get("warnings", [])
        assert isinstance(found, list)
        return found

    def post(self, path: str, document: object, **headers: str) -> Reply:
        return self.call("POST", path, document, _names(headers))

    def approved(self, reply: Reply) -> str:
        """The id of what must have succeeded."""
        assert reply.status == 201, reply.body
        assert "errorInformation" not in reply.json, reply.body
        return reply.id


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def lodging(vpc: Client) -> str:
    """A pre-authorization, which increments may follow."""
    return vpc.approved(vpc.pay(payment(processingInformation__authorizationOptions={"authIndicator": "0"})))
