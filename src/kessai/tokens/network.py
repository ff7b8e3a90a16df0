"""Network tokens: how one comes to be, what its network and its merchant may do with it, and when it pays. Pure.

    PENDING ──► ACTIVE ◄──► SUSPENDED        ACTIVE, SUSPENDED ──► DELETED, for ever
       └──────► UNPROVISIONED, for ever

A card has at most one network token that is not gone: enrolled again after DELETED or UNPROVISIONED, it gets another,
and the one before is gone. Whoever makes one relies on the instrument identifier, so that two cannot be made at once.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from msgspec.structs import replace

from kessai.payment.card import Pan
from kessai.tokens.objects import Document, InstrumentIdentifier, NetworkToken, State
from kessai.tokens.provider import Given, Reason, account_reference, provider_of
from kessai.tokens.rules import Changes, Refusal, gone, seen

TYPE: Final = "enrollable card"
"""What an instrument identifier is from its enrolment on."""
STANDS: Final = frozenset({State.PENDING, State.ACTIVE, State.SUSPENDED})
FINAL: Final = frozenset({State.DELETED, State.UNPROVISIONED})


class Option(Enum):
    """What a merchant says about network tokens in a payment; the wire's `networkTokenOption`."""

    PREFER = "prefer"
    IGNORE = "ignore"


def pays(token: NetworkToken | None, option: Option | None, month: str) -> bool:
    """Whether a payment in a month (`YYYY-MM`) is made with the network token; otherwise the card's number pays.

    It is preferred unless the merchant says otherwise. One that is suspended, deleted, not given (yet) or expired does
    not pay, and says nothing against the card.
    """
    if token is None or option is Option.IGNORE:
        return False
    return token.state is State.ACTIVE and token.sealed is not None and month <= token.expiry


def enrol(
    instrument: InstrumentIdentifier, before: NetworkToken | None, new: NetworkToken, now: datetime, *, is_new: bool
) -> Changes | Refusal:
    """A network token for a card that has none which stands. `is_new`: its instrument identifier is made with it."""
    assert before is None or before.state not in STANDS
    if instrument.state is State.CLOSED:
        return Refusal.IS_CLOSED
    replaced = (gone(before, now),) if before is not None else ()
    enrolled = replace(instrument, document={**instrument.document, "type": TYPE})
    if is_new:
        return Changes((enrolled, new), replaced)
    return Changes((new,), (seen(enrolled), *replaced))


def concluded(
    token: NetworkToken, told: Given | Reason, sealed: bytes | None, instrument: InstrumentIdentifier, card: Pan
) -> NetworkToken:
    """A network token as its network has decided. `sealed` is its number, where it got one."""
    about = dict(token.document)
    given = about.get("card")
    about["card"] = {**(given if isinstance(given, Mapping) else {}), "suffix": card.suffix}
    if isinstance(told, Reason):
        return seen(replace(token, state=State.UNPROVISIONED, document=about | {"reason": told.value}))
    provider = provider_of(card.brand)
    assert provider is not None
    assert instrument.fingerprint is not None
    about |= {
        "number": told.number.masked(),
        "enrollmentId": told.enrollment,
        "tokenReferenceId": told.reference,
        "requestorId": provider.requestor,
        "provider": provider.name,
    }
    about.setdefault("paymentAccountReference", account_reference(instrument.fingerprint))
    return seen(replace(token, state=State.ACTIVE, document=about, expiry=told.expiry, sealed=sealed))


def turned(token: NetworkToken, state: State, card: Document) -> NetworkToken | Refusal:
    """A network token as its issuer has turned it: into another state, over another card; Refusal where it is final."""
    if token.state in FINAL or token.state is State.PENDING:
        return Refusal.IS_FINAL
    about = dict(token.document)
    if card:
        about["card"] = {**about.get("card", {}), **card}
    if state is not State.DELETED:
        return seen(replace(token, state=state, document=about))
    about.pop("number", None)
    return seen(replace(token, state=State.DELETED, document=about, sealed=None, expiry=""))
