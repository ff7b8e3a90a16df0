"""Tokens as rows: what is read of them, and the one write that makes, changes and deletes them.

A write carries every token that it makes, changes or relies upon, and is conditional on each standing as it was
loaded; a number has one instrument identifier because its fingerprint is a key. Whoever loses a race gets `Conflict`:
load and decide again. The claims of a request and its answer are of the same commit.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.payment.lifecycle import Refusal
from kessai.storage.compact import pack, unpack
from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import Answer, Claim, encode_json, from_ms, to_ms, told_before
from kessai.storage.writes import Conflict, Finish, Raced, claim_row, forget
from kessai.tokens import standing
from kessai.tokens.objects import (
    Customer,
    InstrumentIdentifier,
    Missing,
    NetworkToken,
    Owned,
    PaymentInstrument,
    ShippingAddress,
    State,
    Token,
)
from kessai.tokens.rules import Changes, Referred
from kessai.tokens.standing import Names, Standing, Unresolved

T = TypeVar("T", bound=Token)

KINDS: Final[Mapping[type[Token], str]] = {
    Customer: "customer",
    PaymentInstrument: "payment instrument",
    ShippingAddress: "shipping address",
    InstrumentIdentifier: "instrument identifier",
    NetworkToken: "network token",
}
MOST_REFERRING: Final = 1_000
MOST_KNOWN: Final = 4096
"""Of what is remembered of tokens that paid; it is forgotten as a whole."""
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Tokens:
    """Reads of one installation's tokens; every one is a merchant's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = database.read
        self._known: dict[tuple[str, Names], tuple[int | None, Standing | Unresolved]] = {}
        """With the `token_changes` that it was read after."""

    async def customer(self, merchant_id: str, token_id: str) -> Customer | Missing:
        return await self._find(merchant_id, token_id, Customer)

    async def payment_instrument(self, merchant_id: str, token_id: str) -> PaymentInstrument | Missing:
        """A customer's, or a lone one."""
        return await self._find(merchant_id, token_id, PaymentInstrument)

    async def shipping_address(self, merchant_id: str, token_id: str) -> ShippingAddress | Missing:
        return await self._find(merchant_id, token_id, ShippingAddress)

    async def instrument_identifier(self, merchant_id: str, token_id: str) -> InstrumentIdentifier | Missing:
        return await self._find(merchant_id, token_id, InstrumentIdentifier)

    async def network_token(self, merchant_id: str, token_id: str) -> NetworkToken | Missing:
        return await self._find(merchant_id, token_id, NetworkToken)

    async def network_token_of(self, merchant_id: str, instrument_id: str) -> NetworkToken | None:
        """The network token of a card: the one that is not gone, whatever its state."""
        rows = await self._read("network_token_of", {"merchant_id": merchant_id, "instrument": instrument_id})
        token = _token(rows[0]) if rows else None
        assert token is None or isinstance(token, NetworkToken)
        return token

    async def pending(self, merchant_id: str, most: int) -> list[str]:
        """Ids of network tokens that were names for, the oldest first."""
        return [str(row[0]) for row in await self._read("pending_tokens", {"merchant_id": merchant_id, "most": most})]

    async def expiring(self, merchant_id: str, month: str, after: str, most: int) -> list[tuple[str, str]]:
        """Payment instruments that expire in a month or before it, with what they refer to, in the order of ids."""
        values = {"merchant_id": merchant_id, "month": month, "after": after, "most": most}
        return [(str(row[0]), str(row[1])) for row in await self._read("expiring_tokens", values)]

    async def find(self, merchant_id: str, token_id: str) -> Token | Missing:
        """A token of any kind."""
        rows = await self._read("load_token", {"merchant_id": merchant_id, "id": token_id})
        token = _token(rows[0]) if rows else Missing.UNKNOWN
        return token if isinstance(token, Missing) or token.deleted_at is None else Missing.GONE

    async def _find(self, merchant_id: str, token_id: str, kind: type[T]) -> T | Missing:
        rows = await self._read("load_token", {"merchant_id": merchant_id, "id": token_id})
        if not rows or rows[0][0] != KINDS[kind]:
            return Missing.UNKNOWN
        token = _token(rows[0])
        assert isinstance(token, kind)
        return token if token.deleted_at is None else Missing.GONE

    async def any_kind(self, merchant_id: str, token_id: str) -> Token | None:
        """A token of whatever kind, a deleted one too."""
        rows = await self._read("load_token", {"merchant_id": merchant_id, "id": token_id})
        return _token(rows[0]) if rows else None

    async def page(self, merchant_id: str, after: str, most: int) -> list[Token]:
        """Tokens of every kind behind an id, deleted ones too, in the order of their ids."""
        values = {"merchant_id": merchant_id, "after": after, "most": most}
        return [_token(row) for row in await self._read("tokens_page", values)]

    async def by_fingerprint(self, merchant_id: str, fingerprint: bytes) -> InstrumentIdentifier | None:
        """The instrument identifier of a number."""
        values = {"merchant_id": merchant_id, "fingerprint": fingerprint}
        rows = await self._read("token_by_fingerprint", values)
        token = _token(rows[0]) if rows else None
        assert token is None or isinstance(token, InstrumentIdentifier)
        return token

    async def defaults(
        self, merchant_id: str, customer_id: str
    ) -> tuple[PaymentInstrument | None, ShippingAddress | None]:
        """A customer's default payment instrument and default shipping address."""
        rows = await self._read("load_default_tokens", {"merchant_id": merchant_id, "customer": customer_id})
        found = [_token(row) for row in rows]
        instruments = [token for token in found if isinstance(token, PaymentInstrument)]
        addresses = [token for token in found if isinstance(token, ShippingAddress)]
        return next(iter(instruments), None), next(iter(addresses), None)

    async def standing(self, merchant_id: str, names: Names, *, fresh: bool = True) -> Standing | Unresolved:
        """What the tokens that a payment names stand for, as it all stood at one moment.

        It is remembered: a card pays again and again. Where `token_changes` does not tell whether it is so still, what
        is remembered says what it relies on, and is for those only who do not ask for what is `fresh`.
        """
        asked = merchant_id, names
        changes = self._database.token_changes
        known = self._known.get(asked)
        if known is not None and known[0] == changes and not (fresh and changes is None):
            return known[1]
        values = {
            "merchant_id": merchant_id,
            "payment_instrument": names.payment_instrument,
            "shipping_address": names.shipping_address,
            "instrument": names.instrument,
        }
        if names.customer is None:
            rows = await self._read("load_paying_tokens", values)
        else:
            rows = await self._read("load_paying_customer", values | {"customer": names.customer})
        tokens = {row[1]: _token(row) for row in rows}
        found = standing.resolved(tokens, names)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        if changes is not None:  # what was changed meanwhile was counted
            self._known[asked] = changes, found
        elif isinstance(found, Standing):  # nothing is refused by what is remembered
            self._known[asked] = None, replace(found, relies_on=standing.relied(tokens, names))
        return found

    async def owned(self, merchant_id: str, customer_id: str) -> list[Owned]:
        """Everything that a customer owns."""
        rows = await self._read("load_owned_tokens", {"merchant_id": merchant_id, "customer": customer_id})
        return [token for row in rows if isinstance(token := _token(row), PaymentInstrument | ShippingAddress)]

    async def page_of_customer(
        self, merchant_id: str, customer_id: str, kind: type[T], start: int, most: int
    ) -> tuple[list[T], int]:
        """A page of a customer's tokens of a kind, the default first, and how many there are."""
        values = {"merchant_id": merchant_id, "customer": customer_id, "kind": KINDS[kind]}
        rows = await self._read("owned_tokens_page", values | {"start": start, "most": most})
        found = [token for row in rows if isinstance(token := _token(row), kind)]
        return found, await self.count_of_customer(merchant_id, customer_id, kind)

    async def count_of_customer(self, merchant_id: str, customer_id: str, kind: type[Token]) -> int:
        values = {"merchant_id": merchant_id, "customer": customer_id, "kind": KINDS[kind]}
        return int((await self._read("count_owned_tokens", values))[0][0])

    async def page_of_instrument(
        self, merchant_id: str, instrument_id: str, start: int, most: int
    ) -> tuple[list[PaymentInstrument], int]:
        """A page of the payment instruments that refer to an instrument identifier, and how many there are."""
        values = {"merchant_id": merchant_id, "instrument": instrument_id}
        rows = await self._read("referring_tokens_page", values | {"start": start, "most": most})
        found = [token for row in rows if isinstance(token := _token(row), PaymentInstrument)]
        return found, await self.count_of_instrument(merchant_id, instrument_id)

    async def referring(self, merchant_id: str, instrument_id: str) -> list[PaymentInstrument]:
        """All payment instruments that refer to an instrument identifier; of a number that everybody has, the first."""
        return (await self.page_of_instrument(merchant_id, instrument_id, 0, MOST_REFERRING))[0]

    async def count_of_instrument(self, merchant_id: str, instrument_id: str) -> int:
        """How many payment instruments refer to an instrument identifier."""
        values = {"merchant_id": merchant_id, "instrument": instrument_id}
        return int((await self._read("count_referring_tokens", values))[0][0])

    async def referred(self, merchant_id: str, going: list[PaymentInstrument]) -> list[Referred]:
        """What payment instruments refer to that are to be deleted, and whether anything else does."""
        found = []
        for instrument_id in dict.fromkeys(token.instrument for token in going):
            instrument = await self.instrument_identifier(merchant_id, instrument_id)
            if isinstance(instrument, InstrumentIdentifier):
                leaving = sum(token.instrument == instrument_id for token in going)
                all_there_are = await self.count_of_instrument(merchant_id, instrument_id)
                network = await self.network_token_of(merchant_id, instrument_id)
                found.append(Referred(instrument, all_there_are > leaving, network))
        return found


async def oldest_answer(database: Database, merchant_id: str) -> int | None:
    """The id of the first answer that is kept for who sends its request again."""
    rows = await database.read("oldest_answer", {"merchant_id": merchant_id})
    return rows[0][0] if rows else None


def _token(row: Row) -> Token:
    return _token_of(tuple(row))


@lru_cache(maxsize=8192)
def _token_of(row: tuple[Any, ...]) -> Token:
    """The token of a row. Nobody changes a token in place, its document included: the same row is the same token."""
    kind, id_, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry = row[:12]
    common: dict[str, Any] = {
        "id": id_,
        "made": made,
        "version": version,
        "revision": revision,
        "state": State(state),
        "document": _decode(unpack(bytes(document)) or b"{}"),
        "deleted_at": from_ms(deleted_at) if deleted_at is not None else None,
    }
    match kind:
        case "customer":
            return Customer(**common)
        case "shipping address":
            return ShippingAddress(**common, customer=customer, is_default=bool(is_default))
        case "payment instrument":
            own = {"customer": customer, "instrument": instrument, "is_default": bool(is_default), "expiry": expiry}
            return PaymentInstrument(**common, **own)
        case "network token":
            sealed = bytes(row[13]) if row[13] is not None else None
            return NetworkToken(**common, instrument=instrument, expiry=expiry, sealed=sealed)
        case _:
            fingerprint, sealed = (bytes(value) if value is not None else None for value in row[12:14])
            return InstrumentIdentifier(**common, fingerprint=fingerprint, sealed=sealed)


# ---- writing


class WriteTokens(Struct, frozen=True, kw_only=True):
    """What becomes of tokens, in one commit. A result of None means: written."""

    merchant_id: str
    changes: Changes
    claims: tuple[Claim, ...] = ()
    answer_id: int = 0
    """A new time-ordered id where there are claims."""
    answer: Answer | None = None
    """What is told to who sends the request again."""

    def apply(self, run: Run) -> Conflict | Answer | Refusal | None:
        merchant = self.merchant_id
        for index, claim in enumerate(self.claims):
            if not run("claim", claim_row(merchant, claim) | {"transaction_id": self.answer_id}):
                forget(run, merchant, self.claims[:index])
                return _told(run, merchant, claim) or claim.taken or claim.other
        rows = [token_row(merchant, token) for token in self.changes.changed]
        if not all(run("token_stands", row) for row in rows):
            forget(run, merchant, self.claims)
            return Conflict()
        for token in self.changes.created:
            if not run("add_token", token_row(merchant, token)):
                raise Raced
        for row in rows:
            run("change_token", row)
        if self.answer is not None:
            run("add_answer", answer_row(merchant, self.answer_id, self.answer))
        return None


class FinishWithTokens(Struct, frozen=True):
    """Commit 2 of a payment that makes tokens: its outcome with them, or neither. False: it was concluded before us.

    Raced: a token is not as it was loaded. Nothing was written; load the tokens, decide and finish again.
    """

    finish: Finish
    changes: Changes

    @property
    def merchant_id(self) -> str:
        return self.finish.merchant_id

    def apply(self, run: Run) -> bool:
        if not self.finish.apply(run):
            return False
        if WriteTokens(merchant_id=self.merchant_id, changes=self.changes).apply(run) is not None:
            raise Raced
        return True


class ToldBefore(Struct, frozen=True):
    """What an earlier request with a claim was told; None where it is free. It locks what it reads (R-9)."""

    merchant_id: str
    claim: Claim

    def values(self) -> dict[str, object]:
        return claim_row(self.merchant_id, self.claim)

    def apply(self, run: Run) -> Answer | Refusal | None:
        return _told(run, self.merchant_id, self.claim)


class PurgeAnswers(Struct, frozen=True):
    """Forget answers that no claim leads to any more: those with smaller ids."""

    merchant_id: str
    before: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": self.before}

    def apply(self, run: Run) -> None:
        run("purge_answers", self.values())


def _told(run: Run, merchant_id: str, claim: Claim) -> Answer | Refusal | None:
    rows = run("read_answer", claim_row(merchant_id, claim))
    return told_before(rows[0], claim) if rows else None


async def commit(database: Database, write: WriteTokens) -> Conflict | Answer | Refusal | None:
    """Write tokens. A race that was lost is a `Conflict` on either engine: nothing was written."""
    try:
        return await database.write(write)
    except Raced:
        return Conflict()


def answer_row(merchant_id: str, answer_id: int, answer: Answer) -> dict[str, object]:
    packed = pack(answer.stored or answer.body)
    return {"merchant_id": merchant_id, "id": answer_id, "status": answer.status, "answer": packed}


def token_row(merchant_id: str, token: Token) -> dict[str, object]:
    """A token as the values of its row, by name."""
    row: dict[str, object] = {
        "merchant_id": merchant_id,
        "kind": KINDS[type(token)],
        "id": token.id,
        "made": token.made,
        "version": token.version,
        "revision": token.revision,
        "state": token.state.value,
        "document": pack(encode_json(dict(token.document))),
        "deleted_at": to_ms(token.deleted_at) if token.deleted_at is not None else None,
        **_NEITHER,
    }
    match token:
        case PaymentInstrument():
            row |= {"customer": token.customer, "is_default": int(token.is_default)}
            row |= {"instrument": token.instrument, "expiry": token.expiry}
        case ShippingAddress():
            row |= {"customer": token.customer, "is_default": int(token.is_default)}
        case InstrumentIdentifier():
            row |= {"fingerprint": token.fingerprint, "sealed": token.sealed}
        case NetworkToken():
            row |= {"instrument": token.instrument, "expiry": token.expiry, "sealed": token.sealed}
    return row


_NEITHER: Final[Mapping[str, object]] = {
    "customer": None,
    "is_default": 0,
    "instrument": None,
    "expiry": "",
    "fingerprint": None,
    "sealed": None,
}
