"""Personalities: what the accounts of the simulated acquirer may do, and what their answers look like. Pure, and data.

A fingerprint is the set of facts by which a merchant's tests tell one processor from another. It is a template: a value
that begins with `=` is filled in from the exchange (see `MAKERS`), anything else is said as it stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from kessai.acquirers import Exchange, Personality
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation, Reason
from kessai.payment.merchant import Terms
from kessai.payment.options import CONTRACTS
from kessai.payment.proof import ATTEMPTED, AUTHENTICATED
from kessai.payment.word import Word

_B, _R = Brand, Reason

PERSONALITIES: Final[Mapping[str, Personality]] = {
    personality.name: personality
    for personality in (
        Personality(
            name="sandbox",
            title="Default sandbox, in the manner of Chase Paymentech",
            link="simulator",
            simulated=True,
            terms=Terms(
                over_capture="allow",
                over_refund="allow",
                echecks=True,
                token_profile="93B32398-AD51-4CC2-A682-EA3E93614EB1",  # noqa: S106  the one of the public samples
                options=CONTRACTS["sandbox"],
            ),
        ),
        Personality(
            name="vpc",
            title="Visa Platform Connect",
            link="simulator",
            simulated=True,
            terms=Terms(increments=True, echecks=True, options=CONTRACTS["vpc"]),
        ),
        Personality(
            name="smcc",
            title="Sumitomo Mitsui Card over Visa Platform Connect",
            link="simulator",
            simulated=True,
            terms=Terms(brands=frozenset({_B.VISA}), authorization_days=60, options=CONTRACTS["smcc"]),
        ),
        Personality(
            name="jcn",
            title="JCN Gateway",
            link="simulator",
            simulated=True,
            terms=Terms(
                brands=frozenset({_B.AMEX, _B.DINERS, _B.JCB, _B.MASTERCARD, _B.VISA}),
                authorization_days=60,
                options=CONTRACTS["jcn"],
            ),
        ),
    )
}


class Message(Word):
    """The kinds of answer that have a fingerprint of their own."""

    AUTHORIZATION = "authorization, sale or increment, approved"
    AUTHORIZATION_DECLINED = "authorization, sale or increment, declined"
    CAPTURE = "capture, approved"
    REVERSAL = "reversal, approved"
    REVERSAL_OF_NOTHING = "reversal of something that never arrived, answered as done"
    REFUND = "refund, approved"
    CREDIT = "credit, approved"
    VOID = "void, approved"
    ECHECK = "debit or credit of a bank account, taken on"
    DECLINED = "any other operation, declined"
    FAILED = "any operation that the acquirer itself failed at"


_M = Message

APPROVAL_OF: Final[Mapping[Operation, Message]] = {
    Operation.AUTHORIZE: _M.AUTHORIZATION,
    Operation.SALE: _M.AUTHORIZATION,
    Operation.INCREMENT: _M.AUTHORIZATION,
    Operation.CAPTURE: _M.CAPTURE,
    Operation.REVERSAL: _M.REVERSAL,
    Operation.REFUND: _M.REFUND,
    Operation.CREDIT: _M.CREDIT,
    Operation.VOID: _M.VOID,
}

_JAPANESE: Final[Mapping[Message, Mapping[str, str]]] = {
    # Answers of these two say no response code and no network's id when they approve.
    _M.AUTHORIZATION: {
        "approval_code": "123456",
        "response_category": "000",
        "sales_slip_number": "=slip",
        "avs_code": "2",
        "cvn_code": "3",
        "reconciliation_id": "=jst",
    },
    _M.AUTHORIZATION_DECLINED: {"response_category": "100", "avs_code": "2", "cvn_code": "3"},
    _M.CAPTURE: {"reconciliation_id": "=jst"},
    _M.REVERSAL: {"response_category": "000", "reconciliation_id": "=jst"},
    _M.REVERSAL_OF_NOTHING: {"response_category": "000", "response_code": "G94", "reconciliation_id": "=jst"},
    _M.REFUND: {
        "approval_code": "123456",
        "response_category": "000",
        "sales_slip_number": "=slip",
        "reconciliation_id": "=jst",
    },
    _M.CREDIT: {
        "approval_code": "123456",
        "response_category": "000",
        "sales_slip_number": "=slip",
        "reconciliation_id": "=jst",
    },
    _M.VOID: {},
    _M.ECHECK: {},  # neither of them takes bank accounts
    _M.DECLINED: {"response_category": "100"},
    _M.FAILED: {"response_category": "909"},
}


def _forwarded_to(acquirer: str) -> dict[Message, Mapping[str, str]]:
    return {
        kind: {**template, "acquirer_name": acquirer} if "response_category" in template else template
        for kind, template in _JAPANESE.items()
    }


FINGERPRINTS: Final[Mapping[str, Mapping[Message, Mapping[str, str]]]] = {
    "sandbox": {
        _M.AUTHORIZATION: {
            "approval_code": "888888",
            "response_code": "100",
            "network_transaction_id": "123456789619999",
            "avs_code": "X",
            "avs_raw": "I1",
            "terminal_id": "111111",
            "reconciliation_id": "=sixteen",
        },
        _M.AUTHORIZATION_DECLINED: {
            "network_transaction_id": "123456789619999",
            "avs_code": "X",
            "avs_raw": "I1",
            "terminal_id": "111111",
        },
        _M.CAPTURE: {"reconciliation_id": "=original"},
        _M.REVERSAL: {"response_code": "200", "reconciliation_id": "=sixteen"},
        _M.REVERSAL_OF_NOTHING: {"response_code": "25", "reconciliation_id": "=sixteen"},
        _M.REFUND: {"approval_code": "888888", "response_code": "100", "reconciliation_id": "=sixteen"},
        _M.CREDIT: {"approval_code": "888888", "response_code": "100", "reconciliation_id": "=sixteen"},
        _M.VOID: {},
        _M.ECHECK: {"response_code": "100", "reconciliation_id": "=sixteen"},
        _M.DECLINED: {},
        _M.FAILED: {},
    },
    "vpc": {
        _M.AUTHORIZATION: {
            "stan": "=stan",
            "approval_code": "831000",
            "advice_code": "01",
            "advice_raw": "M001",
            "response_details": "ABC",
            "network_transaction_id": "016153570198200",
            "rrn": "=rrn",
            "cavv_code": "2",
            "cavv_raw": "2",
            "response_code": "00",
            "avs_code": "Y",
            "avs_raw": "Y",
            "reconciliation_id": "=id",
        },
        _M.AUTHORIZATION_DECLINED: {
            "stan": "=stan",
            "response_details": "ABC",
            "network_transaction_id": "016153570198200",
            "rrn": "=rrn",
            "avs_code": "Y",
            "avs_raw": "Y",
        },
        _M.CAPTURE: {"reconciliation_id": "=id"},
        _M.REVERSAL: {"response_code": "00", "response_details": "ABC", "reconciliation_id": "=id"},
        _M.REVERSAL_OF_NOTHING: {"response_code": "25", "response_details": "ABC", "reconciliation_id": "=id"},
        _M.REFUND: {
            "stan": "=stan",
            "approval_code": "831000",
            "rrn": "=rrn",
            "response_code": "00",
            "reconciliation_id": "=id",
        },
        _M.CREDIT: {
            "stan": "=stan",
            "approval_code": "831000",
            "rrn": "=rrn",
            "response_code": "00",
            "reconciliation_id": "=id",
        },
        _M.VOID: {},
        _M.ECHECK: {"response_code": "00", "reconciliation_id": "=id"},
        _M.DECLINED: {"stan": "=stan", "rrn": "=rrn"},
        _M.FAILED: {},
    },
    "smcc": _forwarded_to("Sumitomo"),
    "jcn": _forwarded_to("JCN"),
}
"""Per personality and kind of answer, what it says, by the names of `acquirers.FACTS`. Response codes of refusals are
in `CODES`; `=id` is left to the dialect, which puts its own id there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Facts that an answer says only under a condition: a brand, or a flag of the request."""

    personality: str
    message: Message
    brand: Brand | None = None
    flag: str | None = None
    facts: Mapping[str, str]


ADDITIONS: Final = (
    Addition(personality="sandbox", message=_M.AUTHORIZATION, brand=_B.MASTERCARD, facts={"auth_indicator": "1"}),
    Addition(personality="sandbox", message=_M.AUTHORIZATION, flag="cvn-sent", facts={"cvn_code": "M", "cvn_raw": "M"}),
    Addition(personality="vpc", message=_M.AUTHORIZATION, flag="cvn-sent", facts={"cvn_code": "M", "cvn_raw": "M"}),
)

# Reason, Paymentech's code, ISO 8583 code and retry category of Visa Platform Connect, domestic Japanese code.
# Documented: 303, 05, 1A, G98, E90 and what the reasons of DE 39 imply; the rest is chosen within each code list.
_CODES: Final[tuple[tuple[Reason, str, str, str, str], ...]] = (
    (_R.ISSUER_REFERRAL, "401", "01", "04", "G98"),
    (_R.EXPIRED_CARD, "522", "54", "03", "G83"),
    (_R.GENERAL_DECLINE, "303", "05", "04", "G12"),
    (_R.PROCESSOR_REFUSED, "225", "12", "01", "G85"),
    (_R.INSUFFICIENT_FUNDS, "521", "51", "02", "G02"),
    (_R.STOLEN_OR_LOST, "502", "41", "01", "G60"),
    (_R.ISSUER_UNAVAILABLE, "301", "91", "02", "G95"),
    (_R.CARD_NOT_PERMITTED, "806", "57", "01", "G61"),
    (_R.CVN_MISMATCH, "531", "N7", "03", "G44"),
    (_R.OVER_LIMIT, "509", "61", "02", "G55"),
    (_R.INVALID_CVN, "531", "82", "03", "G44"),
    (_R.ON_NEGATIVE_LIST, "519", "04", "01", "G96"),
    (_R.ACCOUNT_FROZEN, "530", "78", "01", "G22"),
    (_R.BLOCKED_BY_CARDHOLDER, "571", "R1", "01", "G12"),
    (_R.PAYMENT_REFUSED, "530", "12", "01", "G97"),
    (_R.INVALID_ACCOUNT, "201", "14", "03", "G65"),
    (_R.PIN_TRIES_EXCEEDED, "508", "75", "02", "G42"),
    (_R.AUTHENTICATION_REQUIRED, "303", "1A", "03", "G97"),
    (_R.DECLINED_CAPTURE_POSSIBLE, "303", "05", "04", "G12"),
    (_R.PROCESSOR_ERROR, "", "30", "", "E90"),
    (_R.SYSTEM_ERROR, "", "96", "", "E90"),
)


def _facts_of_refusals(column: int, insight: bool = False) -> dict[Reason, Mapping[str, str]]:
    return {
        row[0]: {
            **({"response_code": str(row[column])} if row[column] else {}),
            **({"insight_category": row[3]} if insight and row[3] else {}),
        }
        for row in _CODES
    }


CODES: Final[Mapping[str, Mapping[Reason, Mapping[str, str]]]] = {
    "sandbox": _facts_of_refusals(1),
    "vpc": _facts_of_refusals(2, insight=True),
    "smcc": _facts_of_refusals(4),
    "jcn": _facts_of_refusals(4),
}
"""Per personality and reason, the response code of a refusal, with its retry category where the processor tells it."""


PROVEN: Final[Mapping[str, frozenset[Brand]]] = {
    "sandbox": frozenset({Brand.VISA, Brand.AMEX}),
    "vpc": frozenset({Brand.VISA, Brand.AMEX}),
}
"""Personality to the brands whose issuers say how they found a cardholder authentication value."""


def proven(exchange: Exchange) -> Mapping[str, str]:
    """What an issuer says of the authentication value of a payment: 2 for an authentication, 3 for an attempt."""
    proof, card = exchange.proof, exchange.card
    if proof is None or not proof.value or card is None or card.brand not in PROVEN.get(exchange.personality, ()):
        return {}
    code = "2" if proof.eci in AUTHENTICATED else "3" if proof.eci in ATTEMPTED else "0"
    return {"cavv_code": code, "cavv_raw": code}


def facts(exchange: Exchange, message: Message, next_slip: Callable[[], str]) -> dict[str, str]:
    """A fresh copy of the fingerprint, filled in. `next_slip` is asked once for each sales slip the answer has."""
    template = _TEMPLATES[exchange.personality, message]
    said = template.fixed.copy()
    for name, maker in template.made:
        said[name] = maker(exchange)
    if template.has_slip:
        said["sales_slip_number"] = next_slip()
    for addition in template.additions:
        if addition.flag is None or addition.flag in exchange.flags:
            card = exchange.card
            if addition.brand is None or (card is not None and card.brand is addition.brand):
                said.update(addition.facts)
    return said


_DIGITS: Final = bytes(b"0123456789"[byte % 10] for byte in range(256))
_ALPHANUMERICS: Final = bytes(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[byte % 36] for byte in range(256))


def _sixteen(exchange: Exchange) -> str:
    """Eight digits and eight upper-case alphanumerics, always the same for one transaction."""
    digest = blake2b(b"%d" % exchange.transaction_id, digest_size=16).digest()
    return (digest[:8].translate(_DIGITS) + digest[8:].translate(_ALPHANUMERICS)).decode()


def _original(exchange: Exchange) -> str:
    original = exchange.original or {}
    return original.get("reconciliation_id") or _sixteen(exchange)


_JST: Final = timedelta(hours=9)


def _jst(exchange: Exchange) -> str:
    """28 digits: `00`, Japan's time of day to the second, and a sequence number that the acquirer leaves at one."""
    return f"00{_second_in_japan(int(exchange.sent_at.timestamp()))}000000000001"


@lru_cache(maxsize=4)
def _second_in_japan(since_epoch: int) -> str:
    return f"{datetime.fromtimestamp(since_epoch, UTC) + _JST:%Y%m%d%H%M%S}"


MAKERS: Final[Mapping[str, Callable[[Exchange], str]]] = {
    "=stan": lambda exchange: exchange.stan,
    "=rrn": lambda exchange: exchange.rrn,
    "=sixteen": _sixteen,
    "=original": _original,
    "=jst": _jst,
}
"""What fills in the marked values of a fingerprint; `=slip` is counted by the link, `=id` written by the dialect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    fixed: dict[str, str]
    made: tuple[tuple[str, Callable[[Exchange], str]], ...]
    has_slip: bool
    additions: tuple[Addition, ...]


def _compile(personality: str, message: Message) -> _Template:
    values = FINGERPRINTS[personality][message]
    return _Template(
        fixed={name: value for name, value in values.items() if value not in MAKERS and value != "=slip"},
        made=tuple((name, MAKERS[value]) for name, value in values.items() if value in MAKERS),
        has_slip="=slip" in values.values(),
        additions=tuple(row for row in ADDITIONS if (row.personality, row.message) == (personality, message)),
    )


_TEMPLATES: Final = {
    (personality, message): _compile(personality, message) for personality in FINGERPRINTS for message in Message
}
