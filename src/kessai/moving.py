"""Moving: the tokens of a merchant into a parcel, and out of one into another installation.

A parcel is read three times. First everything is checked and nothing is written: what is here already, what is newer
here, what clashes. Then customers and instrument identifiers are written, then what belongs to them; so nothing ever
refers to what is not there yet. Each chunk is one commit, conditional on what it relies upon. Whoever does it again
finds what is there already, and goes on: an interrupted import is simply given again.

A token keeps its id, its place in lists, its version and its documents; its number is sealed under the keys here, and
found by the fingerprint key here.
"""

import asyncio
import re
import secrets
from datetime import datetime
from typing import Any, Final

import msgspec
from joserfc.jwk import RSAKey
from msgspec import Struct

from kessai import parcels
from kessai.dialects.cybersource.token_requests import routing_number
from kessai.parcels import Chunk, Place, Record
from kessai.payment.card import AccountNumber, Pan
from kessai.storage.database import Database, Unavailable
from kessai.storage.payments import from_ms, to_ms
from kessai.storage.tokens import KINDS, Tokens, WriteTokens, commit
from kessai.storage.writes import Conflict
from kessai.tokenizer import MOST_RACES, Number, Tokenizer
from kessai.tokens.objects import (
    Customer,
    InstrumentIdentifier,
    PaymentInstrument,
    ShippingAddress,
    State,
    Token,
)
from kessai.tokens.rules import Changes

PAGE: Final = 200
"""Tokens in a chunk, at most: with the largest documents, 13 MB."""
MOST_CLASHES: Final = 20
"""Clashes that are named."""
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)

STAGES: Final = ("check", "owners", "owned")


class Refused(Exception):
    """Why a parcel cannot go on; the text is one sentence."""


class Tally(Struct, frozen=True):
    """What an import of some tokens would do, or did."""

    new: int = 0
    known: int = 0
    """Here already, as they are in the file."""
    newer: int = 0
    """Here already, and changed or deleted here since they came: they stay."""
    clashes: tuple[str, ...] = ()

    def plus(self, other: "Tally") -> "Tally":
        clashes = (self.clashes + other.clashes)[:MOST_CLASHES]
        return Tally(self.new + other.new, self.known + other.known, self.newer + other.newer, clashes)


class Mover:
    """Reads and writes the tokens of one installation."""

    def __init__(self, database: Database, tokenizer: Tokenizer) -> None:
        self._database = database
        self._tokenizer = tokenizer
        self._tokens = Tokens(database)

    # ---- out

    def begin(self, merchant_id: str) -> Place:
        """The place of a new parcel."""
        return Place(secret=secrets.token_hex(32), merchant=merchant_id)

    async def pack(self, place: Place, after: str, key: RSAKey) -> tuple[str, Place, str]:
        """The next line, the place after it, and the id of the last token in it. Past the last token comes the end."""
        found = await self._tokens.page(place.merchant, after, PAGE)
        line, place = parcels.seal(place, tuple(self._record(place.merchant, token) for token in found), key)
        return line, place, found[-1].id if found else after

    def _record(self, merchant_id: str, token: Token) -> Record:
        values: dict[str, Any] = {
            "kind": KINDS[type(token)],
            "id": token.id,
            "made": token.made,
            "version": token.version,
            "state": token.state.value,
            "document": dict(token.document),
            "deleted_at": to_ms(token.deleted_at) if token.deleted_at is not None else None,
        }
        match token:
            case PaymentInstrument():
                values |= {"customer": token.customer, "is_default": token.is_default}
                values |= {"instrument": token.instrument, "expiry": token.expiry}
            case ShippingAddress():
                values |= {"customer": token.customer, "is_default": token.is_default}
            case InstrumentIdentifier() if token.sealed is not None:
                number = self._tokenizer.number(merchant_id, token)
                routing = None if isinstance(number, Pan) else routing_number(token.document)
                if self._tokenizer.fingerprint(merchant_id, number, routing or "") != token.fingerprint:
                    raise Refused(f"the instrument identifier {token.id} is not found by its own number")
                values |= {"number": number.digits, "routing_number": routing}
        return Record(**values)

    # ---- in

    async def unpack(self, merchant_id: str, chunk: Chunk, stage: str) -> Tally:
        """One chunk at one stage of an import. Refused, Unavailable; what is written stays."""
        if chunk.merchant != merchant_id:
            raise Refused(f"the file has tokens of the merchant {chunk.merchant}, not of {merchant_id}")
        owners = (KINDS[Customer], KINDS[InstrumentIdentifier])
        records = [each for each in chunk.tokens if stage == "check" or (each.kind in owners) is (stage == "owners")]
        for _ in range(MOST_RACES):
            done, new = await self._compare(merchant_id, records)
            if stage == "check" or done.clashes or not new:
                return done
            created, relied, gone = await self._made(merchant_id, new)
            changes = Changes(tuple(created), tuple(relied.values()))
            if not created or not isinstance(
                await commit(self._database, WriteTokens(merchant_id=merchant_id, changes=changes)), Conflict
            ):
                return Tally(done.new - gone, done.known, done.newer + gone)
            await asyncio.sleep(0)
        raise Unavailable("these tokens are being changed by others")

    async def _compare(self, merchant_id: str, records: list[Record]) -> tuple[Tally, list[Record]]:
        """What of some records is here, and those that are not."""
        new: list[Record] = []
        known = newer = 0
        clashes = []
        for record in records:
            await asyncio.sleep(0)  # payments go first
            if not _is_sound(record):
                raise Refused(f"the file has a {record.kind[:40]} that is not as tokens are")
            here, number, holder = await self._tokens.any_kind(merchant_id, record.id), _number(record), None
            if here is None:
                holder = await self._holder(merchant_id, record, number)
                if holder == record.id:  # another import wrote it between the two looks
                    here = await self._tokens.any_kind(merchant_id, record.id)
            if here is None and holder is None:
                new.append(record)
            elif here is None:
                clashes.append(f"{record.kind} {record.id}: its number has {holder} here")
            elif self._is_same(merchant_id, here, record, number):
                known += 1
            elif here.made == record.made and _has_gone_on(here, record):
                newer += 1
            else:
                clashes.append(f"{record.kind} {record.id}: another {KINDS[type(here)]} has this id here")
        return Tally(len(new), known, newer, tuple(clashes[:MOST_CLASHES])), new

    async def _holder(self, merchant_id: str, record: Record, number: Number | None) -> str | None:
        """The instrument identifier that a number has here."""
        if number is None:
            return None
        fingerprint = self._tokenizer.fingerprint(merchant_id, number, record.routing_number or "")
        found = await self._tokens.by_fingerprint(merchant_id, fingerprint)
        return found.id if found is not None else None

    def _is_same(self, merchant_id: str, here: Token, record: Record, number: Number | None) -> bool:
        told = (record.kind, record.state, record.document, record.deleted_at is None)
        if told != (KINDS[type(here)], here.state.value, dict(here.document), here.deleted_at is None):
            return False
        match here:
            case PaymentInstrument():
                own = (here.customer, here.is_default, here.instrument, here.expiry)
                return own == (record.customer, record.is_default, record.instrument, record.expiry)
            case ShippingAddress():
                return (here.customer, here.is_default) == (record.customer, record.is_default)
            case InstrumentIdentifier() if number is not None:
                return here.fingerprint == self._tokenizer.fingerprint(merchant_id, number, record.routing_number or "")
        return True

    async def _made(self, merchant_id: str, records: list[Record]) -> tuple[list[Token], dict[str, Token], int]:
        """New tokens of records, what they rely upon, and how many were left out: what they belong to is deleted here.

        Refused where it is not here at all.
        """
        created: list[Token] = []
        relied: dict[str, Token] = {}
        gone = 0
        defaults: set[tuple[str, str]] = set()
        for record in records:
            found = await self._relied(merchant_id, record)
            if record.deleted_at is None and any(each.deleted_at is not None for each in found):
                gone += 1
                continue
            is_default = record.is_default and (record.customer, record.kind) not in defaults
            if is_default and record.customer is not None:
                is_default = not await self._has_default(merchant_id, record.customer, record.kind)
                defaults.add((record.customer, record.kind))
            relied |= {each.id: each for each in found}
            created.append(await self._token(merchant_id, record, is_default=is_default))
        return created, relied, gone

    async def _relied(self, merchant_id: str, record: Record) -> list[Token]:
        if record.deleted_at is not None:
            return []
        found: list[Token] = []
        for kind, token_id in ((Customer, record.customer), (InstrumentIdentifier, record.instrument)):
            if token_id is None:
                continue
            token = await self._tokens.any_kind(merchant_id, token_id)
            if not isinstance(token, kind):
                raise Refused(
                    f"the {record.kind} {record.id} belongs to the {KINDS[kind]} {token_id}, which is neither in the "
                    "file nor here: export again"
                )
            found.append(token)
        return found

    async def _has_default(self, merchant_id: str, customer_id: str, kind: str) -> bool:
        card, address = await self._tokens.defaults(merchant_id, customer_id)
        return (card if kind == KINDS[PaymentInstrument] else address) is not None

    async def _token(self, merchant_id: str, record: Record, *, is_default: bool) -> Token:
        common: dict[str, Any] = {
            "id": record.id,
            "made": record.made,
            "version": record.version,
            "state": State(record.state),
            "document": record.document,
            "deleted_at": _instant(record.deleted_at),
        }
        match record.kind:
            case "customer":
                return Customer(**common)
            case "shipping address" if record.customer is not None:
                return ShippingAddress(**common, customer=record.customer, is_default=is_default)
            case "payment instrument" if record.instrument is not None:
                own: dict[str, Any] = {"customer": record.customer, "instrument": record.instrument}
                own["expiry"] = record.expiry
                return PaymentInstrument(**common, **own, is_default=is_default)
            case "instrument identifier":
                number = _number(record)
                if number is None:
                    return InstrumentIdentifier(**common)
                return InstrumentIdentifier(
                    **common,
                    fingerprint=self._tokenizer.fingerprint(merchant_id, number, record.routing_number or ""),
                    sealed=await self._tokenizer.seal(merchant_id, record.id, number),
                )
        raise Refused(f"the {record.kind} {record.id} is of no kind that is known here")


def _has_gone_on(here: Token, record: Record) -> bool:
    """Whether a token that came from there was changed or deleted here since."""
    is_newer = here.version > record.version or (here.deleted_at is not None and record.deleted_at is None)
    return KINDS[type(here)] == record.kind and is_newer


def _is_sound(record: Record) -> bool:
    """Whether a record is a token of its kind, whoever wrote it."""
    is_number = record.kind == KINDS[InstrumentIdentifier] and record.deleted_at is None
    return (
        record.kind in KINDS.values()
        and record.state in {state.value for state in State}
        and _ID.fullmatch(record.id) is not None
        and (record.number is not None) is is_number
        and (record.number is None or _DIGITS.fullmatch(record.number) is not None)
        and (record.instrument is not None) is (record.kind == KINDS[PaymentInstrument])
        and (record.customer is not None or record.kind != KINDS[ShippingAddress])
    )


def _number(record: Record) -> Number | None:
    if record.number is None:
        return None
    return Pan(record.number) if record.routing_number is None else AccountNumber(record.number)


def _instant(milliseconds: int | None) -> datetime | None:
    return from_ms(milliseconds) if milliseconds is not None else None


def written(value: Place | Tally | None) -> Any:
    """A place or a tally as JSON has it."""
    return msgspec.to_builtins(value)


def tally_of(value: object) -> Tally:
    return msgspec.convert(value, Tally)


def place_of(value: object) -> Place | None:
    return msgspec.convert(value, Place) if value is not None else None
