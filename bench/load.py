"""The load: complete HTTP requests, each of its own reference and amount, signed as a merchant's client signs.

Pure but for the clock and the file. A request is rendered and signed before the run, so that the client has nothing to
do but write it; signatures hold for five minutes, so a file is written right before it is used.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from itertools import count, cycle, product
from pathlib import Path
from typing import Final

from kessai.dialects.cybersource.auth import SharedSecret, sign

MERCHANT: Final = "kessai_smcc"
PAYMENTS: Final = "/pts/v2/payments"
SEARCHES: Final = "/tss/v2/searches"
MOST_BYTES: Final = 1 << 24
"""The length in front of a request has three bytes."""

# The members of the wire's installment example, and a reference.
_AUTHORIZATION: Final = (
    '{"clientReferenceInformation":{"code":"%s"},'
    '"orderInformation":{"billTo":{"country":"JP","lastName":"Yamada","address1":"1-1 Chiyoda","postalCode":"100-0001",'
    '"locality":"Chiyoda-ku","administrativeArea":"Tokyo","firstName":"Hanako","email":"hanako@example.com"},'
    '"amountDetails":{"totalAmount":"%d.00","currency":"jpy"}},'
    '"paymentInformation":{"card":{"expirationYear":"2031","number":"4111111111111111","expirationMonth":"12",'
    '"type":"001"}},'
    '"processingInformation":{"japanPaymentOptions":{"businessName":"青空商店","businessNameAlphaNumeric":"AOZORA",'
    '"businessNameKatakana":"アオゾラショウテン","firstBusinessMonth":"04","installments":"12","paymentMethod":"61"}}}'
)
_CARD: Final = '"card":{"expirationYear":"2031","number":"4111111111111111","expirationMonth":"12","type":"001"}'
assert _CARD in _AUTHORIZATION
_CAPTURE: Final = (
    '{"clientReferenceInformation":{"code":"%s"},'
    '"orderInformation":{"amountDetails":{"totalAmount":"%d.00","currency":"jpy"}}}'
)
_LEAST_YEN: Final = 12_000
_DATES: Final = 200
"""Lookups of one payment differ by their second, within the window in which a signature holds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A payment that was authorized: its id as printed, and how much of it may be captured, in yen."""

    id: str
    yen: int


@dataclass(frozen=True, slots=True)
class Token:
    """A stored card: the ids under which it pays."""

    customer: str
    payment_instrument: str
    instrument: str


class Signer:
    """Renders requests of one merchant for one host. What repeats within a second is made once."""

    def __init__(self, host: str, key: SharedSecret, *, run: str, keyed: bool = True, merchant: str = MERCHANT) -> None:
        """`run` tells this run's references from every other's; `keyed`: each POST carries an Idempotency-Key."""
        self._host = host
        self._key = key
        self._merchant = merchant
        self._run = run
        self._keyed = keyed
        self._numbers = count(1)
        self._date = (0, "")

    def authorizations(self) -> Iterator[bytes]:
        """Without end; no two alike."""
        while True:
            yield self.authorization()

    def authorization(self) -> bytes:
        number = next(self._numbers)
        reference = f"{self._run}-{number}"
        return self._post(PAYMENTS, _AUTHORIZATION % (reference, _LEAST_YEN + number), reference)

    def storing(self, pan: str) -> bytes:
        """An authorization that stores its card with a new customer."""
        reference = f"{self._run}-{next(self._numbers)}"
        body = _AUTHORIZATION.replace("4111111111111111", pan) % (reference, _LEAST_YEN)
        asks = '"actionList":["TOKEN_CREATE"],"actionTokenTypes":["customer","paymentInstrument"]'
        where = '"processingInformation":{'
        return self._post(PAYMENTS, body.replace(where, f"{where}{asks},"), reference)

    def by_token(self, cards: Sequence[Token]) -> Iterator[bytes]:
        """Authorizations as those of `authorizations`, paid by stored cards: under each of the three names in turn."""
        for card, name in cycle(list(product(cards, ("customer", "paymentInstrument", "instrumentIdentifier")))):
            number = next(self._numbers)
            reference = f"{self._run}-{number}"
            if name == "customer":
                paying = f'"customer":{{"id":"{card.customer}"}}'
            elif name == "paymentInstrument":
                paying = f'"paymentInstrument":{{"id":"{card.payment_instrument}"}}'
            else:
                expiry = '"card":{"expirationYear":"2031","expirationMonth":"12"}'
                paying = f'"instrumentIdentifier":{{"id":"{card.instrument}"}},{expiry}'
            body = _AUTHORIZATION.replace(_CARD, paying) % (reference, _LEAST_YEN + number)
            yield self._post(PAYMENTS, body, reference)

    def captures(self, payments: Iterable[Stored]) -> Iterator[bytes]:
        """An authorization, then the whole capture of a payment that was authorized before; and so on."""
        for payment in payments:
            reference = f"{self._run}-{next(self._numbers)}"
            yield self.authorization()
            yield self._post(f"{PAYMENTS}/{payment.id}/captures", _CAPTURE % (reference, payment.yen), reference)

    def lookups(self, payments: Iterable[Stored]) -> Iterator[bytes]:
        """Every payment, then each again as if it had been asked for a second earlier; `_DATES` times."""
        targets = [f"{PAYMENTS}/{payment.id}" for payment in payments]
        now_s = int(time.time())
        for earlier_s in range(_DATES if targets else 0):
            date = formatdate(now_s - earlier_s, usegmt=True)
            for target in targets:
                yield self._render("GET", target, b"", date, "")

    def searches(self, references: Sequence[str]) -> Iterator[bytes]:
        """First pages, over and over: by a reference, by how one begins, by what all of them have, and both."""
        for reference in cycle(references):
            for query in (
                f"clientReferenceInformation.code:{reference}",
                f"clientReferenceInformation.code:{reference[:-1]}*",
                "orderInformation.billTo.lastName:Yamada AND submitTimeUtc:[NOW/DAY-30DAYS TO NOW}",
                f"paymentInformation.card.suffix:1111 AND clientReferenceInformation.code:{reference}",
            ):
                yield self._post(SEARCHES, f'{{"query":"{query}","sort":"submitTimeUtc:desc"}}', "")

    def _post(self, target: str, body: str, reference: str) -> bytes:
        key = f"idempotency-key: {reference}\r\n" if self._keyed and reference else ""
        return self._render("POST", target, body.encode(), self._now(), f"content-type: application/json\r\n{key}")

    def _now(self) -> str:
        second = int(time.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    def _render(self, method: str, target: str, body: bytes, date: str, more: str) -> bytes:
        signed = sign(
            method=method,
            target=target,
            host=self._host,
            body=body,
            merchant_id=self._merchant,
            key=self._key,
            date_text=date,
        )
        length = f"content-length: {len(body)}\r\n" if body else ""
        lines = "".join([f"{name}: {value}\r\n" for name, value in signed.items()])
        head = f"{method} {target} HTTP/1.1\r\n{lines}accept: application/hal+json;charset=utf-8\r\n{more}{length}\r\n"
        return head.encode() + body


def write(path: Path, requests: Iterable[bytes]) -> int:
    """A file as the client reads it: each request behind its length. The number of requests is returned."""
    written = 0
    with path.open("wb", buffering=1 << 20) as file:
        for request in requests:
            assert len(request) < MOST_BYTES
            file.write(len(request).to_bytes(3, "big") + request)
            written += 1
    return written


def read(path: Path) -> list[bytes]:
    """The requests of a file."""
    data = path.read_bytes()
    requests, at = [], 0
    while at < len(data):
        end = at + 3 + int.from_bytes(data[at : at + 3], "big")
        requests.append(data[at + 3 : end])
        at = end
    return requests
