"""The wire between a gateway and an acquirer that runs apart: frames, messages, response codes. Pure.

A frame is two bytes of length, big-endian, and a JSON object. Messages are named by the message types of ISO 8583:1987;
the last digit of a request's says whether it is a marked repeat. Both sides read strictly: a member that is missing,
unknown or malformed makes a frame garbage (ValueError), and whoever reads garbage closes the connection. An error text
never repeats a value.

A card number, a security code and an account number do travel here: they are what an acquirer is asked about.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from kessai.acquirers import Exchange
from kessai.payment.agreement import Agreement
from kessai.payment.bank import AccountType, BankAccount
from kessai.payment.card import AccountNumber, Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Approved, Declined, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import CURRENCIES, Currency, Money
from kessai.payment.options import PaymentOption
from kessai.payment.proof import Proof

LONGEST_FRAME: Final = 8_192
"""Bytes that a message may have; a length beyond it is garbage."""

SIGN_ON: Final = "0800"
SIGN_ON_ANSWER: Final = "0810"

_O = Operation

MESSAGE_TYPES: Final[Mapping[Operation, tuple[str, str, str]]] = {
    _O.AUTHORIZE: ("0100", "0101", "0110"),
    _O.INCREMENT: ("0100", "0101", "0110"),
    _O.SALE: ("0200", "0201", "0210"),
    _O.REFUND: ("0200", "0201", "0210"),
    _O.CREDIT: ("0200", "0201", "0210"),
    _O.CAPTURE: ("0220", "0221", "0230"),
    _O.REVERSAL: ("0400", "0401", "0410"),
    _O.VOID: ("0400", "0401", "0410"),
}
"""Per operation: the message type of a request, of its marked repeat, and of the answer to either."""

HOLDS: Final = frozenset({_O.AUTHORIZE, _O.SALE, _O.INCREMENT})
UNDOES: Final = frozenset({_O.REVERSAL, _O.VOID})

APPROVED: Final = "00"
APPROVED_IN_PART: Final = "10"
NOTHING_TO_UNDO: Final = "25"
DECLINED: Final = "05"
FAILED: Final = "06"
TIMED_OUT: Final = "68"

TROUBLE: Final[Mapping[str, Reason | None]] = {
    "68": None,
    "91": Reason.ISSUER_UNAVAILABLE,
    "96": Reason.PROCESSOR_REFUSED,
}
"""Codes by which the acquirer speaks of trouble of its own, and what each makes of an authorization, sale or increment:
a decline for a reason, or an unknown outcome (None). Everything else stays unknown and is sent again."""

Digits6 = Annotated[str, Meta(pattern=r"^[0-9]{6}\Z")]
Digits12 = Annotated[str, Meta(pattern=r"^[0-9]{12}\Z")]
Minor = Annotated[int, Meta(ge=0, le=10**15)]
Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=200)]
Facts = Annotated[dict[Word, Text], Meta(max_length=40)]


class CardMember(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The card, as it must be said; it masks itself like the types it comes from."""

    pan: Annotated[str, Meta(pattern=r"^[0-9]{1,20}\Z")]
    expiry: Annotated[str, Meta(pattern=r"^([0-9]{4}-(0[1-9]|1[0-2]))?\Z")] = ""
    security_code: Annotated[str, Meta(pattern=r"^[0-9]{0,4}\Z")] = ""
    brand: Brand | None = None

    def __repr__(self) -> str:
        return "<CardMember ***>"


class AccountMember(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The bank account of an eCheck, in the same way."""

    number: Annotated[str, Meta(pattern=r"^[0-9]{1,17}\Z")]
    routing_number: Annotated[str, Meta(pattern=r"^[0-9]{8,9}\Z")]
    type: AccountType

    def __repr__(self) -> str:
        return "<AccountMember ***>"


class Request(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A message to the acquirer. Amounts in minor units."""

    mti: Annotated[str, Meta(pattern=r"^0[1248][0-9]{2}\Z")]
    stan: Digits6
    rrn: Digits12
    amount: Minor = 0
    currency: str = ""
    operation: Operation | None = None
    personality: str = ""
    merchant: str = ""
    transaction: Id = 0
    sent_at: datetime | None = None
    card: CardMember | None = None
    account: AccountMember | None = None
    option: PaymentOption | None = None
    flags: tuple[Word, ...] = ()
    agreement: Agreement | None = None
    original: Facts | None = None
    original_transaction: Id | None = None
    proof: Proof | None = None
    scenario: Text | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A message back. `amount` is what was asked, `approved` what was approved of it; in minor units."""

    mti: Annotated[str, Meta(pattern=r"^0[1248][0-9]{2}\Z")]
    stan: Digits6
    rrn: Digits12
    code: Annotated[str, Meta(pattern=r"^[0-9A-Z]{2}\Z")]
    amount: Minor = 0
    currency: str = ""
    transaction: Id = 0
    approved: Minor = 0
    reason: Reason | None = None
    facts: Facts = {}


class Key(NamedTuple):
    """By what an answer finds its exchange. The transaction stands in it because a STAN comes round again."""

    mti: str
    stan: str
    rrn: str
    amount: int
    currency: str
    transaction: int


_encode: Final = msgspec.json.Encoder().encode
_read_request: Final = msgspec.json.Decoder(Request).decode
_read_answer: Final = msgspec.json.Decoder(Answer).decode


class Frames:
    """Cuts a stream of bytes into frames; knows no sockets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now, without their lengths. ValueError for a length of 0 or beyond the longest."""
        buffer = self._buffer
        buffer += data
        frames = []
        at = 0
        while len(buffer) - at >= 2:
            length = int.from_bytes(buffer[at : at + 2], "big")
            if not 0 < length <= LONGEST_FRAME:
                raise ValueError(f"a frame has 1 to {LONGEST_FRAME} bytes, not {length}")
            if len(buffer) - at < 2 + length:
                break
            frames.append(bytes(buffer[at + 2 : at + 2 + length]))
            at += 2 + length
        del buffer[:at]
        return frames


def frame(message: Request | Answer) -> bytes:
    """A message with its length before it. ValueError for one that is too long."""
    text = _encode(message)
    if len(text) > LONGEST_FRAME:
        raise ValueError(f"a message has at most {LONGEST_FRAME} bytes, not {len(text)}")
    return len(text).to_bytes(2, "big") + text


def sign_on(stan: str, rrn: str) -> Request:
    """The message that opens a connection; sent again later, it is an echo."""
    return Request(mti=SIGN_ON, stan=stan, rrn=rrn)


def request_of(exchange: Exchange) -> Request:
    """What is said to the acquirer."""
    card, account = exchange.card, exchange.account
    first, repeat, _ = MESSAGE_TYPES[exchange.operation]
    return Request(
        mti=repeat if exchange.is_repeat else first,
        stan=exchange.stan,
        rrn=exchange.rrn,
        amount=exchange.amount.minor,
        currency=exchange.amount.currency.code,
        operation=exchange.operation,
        personality=exchange.personality,
        merchant=exchange.merchant_id,
        transaction=exchange.transaction_id,
        sent_at=exchange.sent_at,
        card=CardMember(
            pan=card.pan.digits,
            expiry=f"{card.expiry.year:04d}-{card.expiry.month:02d}" if card.expiry else "",
            security_code=card.security_code.digits if card.security_code else "",
            brand=card.brand,
        )
        if card
        else None,
        account=AccountMember(account.number.digits, account.routing_number, account.type) if account else None,
        option=exchange.option,
        flags=tuple(sorted(exchange.flags)),
        agreement=exchange.agreement,
        original=dict(exchange.original) if exchange.original is not None else None,
        original_transaction=exchange.original_id,
        proof=exchange.proof,
        scenario=exchange.scenario,
    )


def key_of(exchange: Exchange) -> Key:
    """By what the answer to an exchange is known."""
    return Key(
        MESSAGE_TYPES[exchange.operation][2],
        exchange.stan,
        exchange.rrn,
        exchange.amount.minor,
        exchange.amount.currency.code,
        exchange.transaction_id,
    )


def read_request(text: bytes) -> Request:
    """A message of a gateway. ValueError for garbage."""
    request = _read_request(text)
    if request.mti == SIGN_ON:
        return request
    if request.operation is None or request.operation not in MESSAGE_TYPES:
        raise ValueError("a message names its operation")
    if request.mti not in MESSAGE_TYPES[request.operation][:2]:
        raise ValueError("the message type is not the operation's")
    if request.currency not in CURRENCIES:
        raise ValueError("the currency is not one of ISO 4217")
    if request.sent_at is None or request.sent_at.tzinfo is None or not request.transaction:
        raise ValueError("a message has a time with its zone, and a transaction")
    return request


def exchange_of(request: Request) -> Exchange:
    """The exchange that a message of `read_request` asks for."""
    assert request.operation is not None
    assert request.sent_at is not None
    card, account = request.card, request.account
    return Exchange(
        merchant_id=request.merchant,
        personality=request.personality,
        transaction_id=request.transaction,
        operation=request.operation,
        amount=Money(request.amount, Currency.of(request.currency)),
        stan=request.stan,
        rrn=request.rrn,
        sent_at=request.sent_at,
        card=Card(
            pan=Pan(card.pan),
            expiry=Expiry(int(card.expiry[:4]), int(card.expiry[5:])) if card.expiry else None,
            security_code=SecurityCode(card.security_code) if card.security_code else None,
            brand=card.brand,
        )
        if card
        else None,
        account=BankAccount(
            number=AccountNumber(account.number), routing_number=account.routing_number, type=account.type
        )
        if account
        else None,
        option=request.option,
        flags=frozenset(request.flags),
        agreement=request.agreement,
        original=request.original,
        original_id=request.original_transaction,
        is_repeat=request.mti == MESSAGE_TYPES[request.operation][1],
        proof=request.proof,
        scenario=request.scenario,
    )


def answer_of(request: Request, outcome: Outcome | None, *, found: bool = True) -> Answer:
    """What is said back; None: signed on. `found` is whether there was anything for a reversal or void to undo."""
    if outcome is None:
        return Answer(mti=SIGN_ON_ANSWER, stan=request.stan, rrn=request.rrn, code=APPROVED)
    assert request.operation is not None
    approved, reason, facts = 0, None, {}
    match outcome:
        case Approved():
            code = APPROVED if outcome.amount.minor == request.amount else APPROVED_IN_PART
            if not found and request.operation in UNDOES:
                code = NOTHING_TO_UNDO
            approved, reason, facts = outcome.amount.minor, outcome.review, dict(outcome.facts)
        case Declined():
            code, reason, facts = DECLINED, outcome.reason, dict(outcome.facts)
        case Failed():
            code, reason, facts = FAILED, outcome.reason, dict(outcome.facts)
        case Unknown():
            code = TIMED_OUT
    return Answer(
        mti=MESSAGE_TYPES[request.operation][2],
        stan=request.stan,
        rrn=request.rrn,
        code=code,
        amount=request.amount,
        currency=request.currency,
        transaction=request.transaction,
        approved=approved,
        reason=reason,
        facts=facts,
    )


def read_answer(text: bytes) -> Answer:
    """A message of an acquirer. ValueError for garbage."""
    return _read_answer(text)


def key_in(answer: Answer) -> Key:
    """By what an answer says that it is known."""
    return Key(answer.mti, answer.stan, answer.rrn, answer.amount, answer.currency, answer.transaction)


def outcome_of(exchange: Exchange, answer: Answer) -> Outcome:
    """What the answer to an exchange means. Unknown is whatever is neither an explicit yes nor an explicit no (R-3)."""
    match answer.code:
        case "00" | "10" if 0 < answer.approved <= exchange.amount.minor or answer.approved == exchange.amount.minor:
            return Approved(amount=exchange.amount.of(answer.approved), facts=answer.facts, review=answer.reason)
        case "25" if exchange.operation in UNDOES:
            return Approved(amount=exchange.amount, facts=answer.facts)
        case "05" if answer.reason is not None:
            return Declined(reason=answer.reason, facts=answer.facts)
        case "06" if answer.reason is not None:
            return Failed(reason=answer.reason, facts=answer.facts)
        case code if code in TROUBLE and exchange.operation in HOLDS:
            reason = TROUBLE[code]
            return Unknown("the acquirer timed out") if reason is None else Declined(reason=reason, facts=answer.facts)
        case code:
            return Unknown(f"the acquirer answered {code}")
