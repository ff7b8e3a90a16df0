"""The account updater's simulated issuers: what becomes of a card when it is about to expire. Pure.

A table of number prefixes says which issuer renews, replaces or closes. It is asked in the month in which a payment
instrument's expiry lies, in business time. In Japan the batch of such questions is called 洗替 (araigae).
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai.payment.card import Pan, luhn
from kessai.tokens import network
from kessai.tokens.objects import InstrumentIdentifier, NetworkToken, PaymentInstrument, State, Token
from kessai.tokens.provider import later
from kessai.tokens.rules import Changes, seen


class Notice(Enum):
    """What an issuer tells; the value is read by people."""

    RENEWED = "the same number, four years more"
    REPLACED = "another number, four years more"
    CLOSED = "the account is closed"
    CONTACT = "nothing: the cardholder is to be asked"


NOTICES: Final[Mapping[str, Notice]] = {
    "4622943124": Notice.RENEWED,
    "4622943125": Notice.REPLACED,
    "4622943126": Notice.CLOSED,
    "4622943128": Notice.CONTACT,
}
"""The first ten digits of a test number to its issuer's notice. Of other cards nothing is heard."""
LIFE_YEARS: Final = 4


def notice_of(card: Pan) -> Notice | None:
    return NOTICES.get(card.digits[:10])


def another(card: Pan, random: int) -> Pan:
    """A new number of the same issuer. `random` is any number that cannot be foreseen, of 40 bits or more."""
    kept = card.digits[:10]
    free = len(card.digits) - len(kept) - 1
    bodies = (f"{kept}{(random + step) % 10**free:0{free}d}" for step in range(2))
    found = [next(number for check in range(10) if luhn(number := f"{body}{check}")) for body in bodies]
    return Pan(next(number for number in found if number != card.digits))


class Number(Struct, frozen=True):
    """A new number of an account, ready to be kept."""

    masked: str
    suffix: str
    fingerprint: bytes
    sealed: bytes


def update(
    instrument: InstrumentIdentifier,
    referring: Sequence[PaymentInstrument],
    token: NetworkToken | None,
    month: str,
    notice: Notice,
    number: Number | None = None,
) -> Changes:
    """What a notice changes: expiries that lie in the month or before it, the number, or everything's state.

    The instrument identifier stands for the account: it keeps its id over a new number, and a network token lives on,
    over the new card. `number` is the new one, for `REPLACED`.
    """
    if notice is Notice.CONTACT:
        return Changes()
    if notice is Notice.CLOSED:
        ended: list[Token] = [seen(replace(each, state=State.CLOSED)) for each in referring]
        if token is not None and token.state in (State.ACTIVE, State.SUSPENDED):
            last = network.turned(token, State.DELETED, {})
            assert isinstance(last, NetworkToken)
            ended.append(last)
        return Changes((), (seen(replace(instrument, state=State.CLOSED)), *ended))
    due = [each for each in referring if each.expiry and each.expiry <= month]
    renewed = [_renewed(each, month) for each in due]
    after = instrument
    if number is not None:
        document = {**instrument.document, "card": {"number": number.masked}}
        after = replace(instrument, document=document, fingerprint=number.fingerprint, sealed=number.sealed)
        after = seen(after)
    over: list[Token] = []
    if token is not None and token.state in (State.ACTIVE, State.SUSPENDED) and renewed:
        year, _, of_year = max(each.expiry for each in renewed).partition("-")
        card = {"expirationMonth": of_year, "expirationYear": year}
        told = network.turned(token, token.state, card | ({"suffix": number.suffix} if number is not None else {}))
        assert isinstance(told, NetworkToken)
        over.append(told)
    return Changes((), (after, *renewed, *over))


HISTORY: Final = "kessaiInformation"
"""Member of an instrument identifier that keeps what its issuer told: `{"updates": [{"month", "notice"}]}`."""
MOST_KEPT: Final = 12
"""Notices that are kept of a card, the oldest forgotten first."""


def history(instrument: InstrumentIdentifier) -> tuple[Mapping[str, str], ...]:
    """What the issuer of a card told, oldest first: `month` of business time, and `notice`."""
    return tuple(instrument.document.get(HISTORY, {}).get("updates", ()))


def noted(changes: Changes, instrument: InstrumentIdentifier, month: str, notice: Notice) -> Changes | None:
    """The changes of a notice, with a note of it on the card. None: it was told this month, and changes nothing."""
    note = {"month": month, "notice": notice.name}
    before = history(instrument)
    if note in before and not changes.changed:
        return None
    told = {"updates": [*before, note][-MOST_KEPT:]}
    others = tuple(token for token in changes.changed if token.id != instrument.id)
    after = next((token for token in changes.changed if token.id == instrument.id), seen(instrument))
    return Changes(changes.created, (replace(after, document={**after.document, HISTORY: told}), *others))


def _renewed(token: PaymentInstrument, month: str) -> PaymentInstrument:
    """Good for four years more, and for as often as nobody asked meanwhile."""
    expiry = later(token.expiry, LIFE_YEARS)
    while expiry <= month:
        expiry = later(expiry, LIFE_YEARS)
    card = {**token.document.get("card", {}), "expirationYear": expiry[:4], "expirationMonth": expiry[5:]}
    return seen(replace(token, expiry=expiry, document={**token.document, "card": card}))
