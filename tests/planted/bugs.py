"""Bugs to plant (section 12 of the rules): each is one function that puts one mistake into a gateway, and nothing else.

`patch` is `setattr`, or a test's own that takes it out again. A gateway in a process of its own plants its bug before
it opens anything; one in the test's process gets it before, or after, its house is opened, as its table says.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import apsw
import msgspec

import kessai.gateway as road
from kessai.claims import claim_of
from kessai.dialects.cybersource.requests import Request
from kessai.edge.paying import Paying, Stored
from kessai.gateway import Gateway
from kessai.jobs import recurring, reversals, settlement
from kessai.ledger import Entry, entries
from kessai.outcomes import Encode
from kessai.payment import lifecycle
from kessai.payment.authorize import Authorize
from kessai.payment.card import Pan
from kessai.payment.lifecycle import Operation, Outcome, Payment, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.storage import sqlite
from kessai.storage.database import CommitUnknown, Database, Query, Run, Unavailable
from kessai.storage.payments import Answer, Claim, to_ms
from kessai.storage.subscriptions import BeginCharge
from kessai.storage.tokens import WriteTokens
from kessai.storage.writes import Begin, Replay, claim_row
from kessai.tokens import rules, standing
from kessai.tokens.objects import PaymentInstrument, Token
from kessai.tokens.standing import Names, Standing, Unresolved
from kessai.vault import Vault

Patch = Callable[[Any, str, Any], None]
A_MOMENT_S: Final = 0.01

# ---- the road


def no_reversal_after_a_timeout(patch: Patch) -> None:
    async def is_done(*_: Any) -> bool:
        return True

    patch(reversals, "_reverse", is_done)


def answer_before_commit(patch: Patch) -> None:
    conclude = Gateway._conclude
    late: set[asyncio.Task[None]] = set()

    async def early(
        self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, outcome: Outcome, encode: Encode, *_: Any
    ) -> Answer:
        async def afterwards() -> None:
            await asyncio.sleep(A_MOMENT_S)
            await conclude(self, merchant, payment, tx, outcome, lambda *_: answer, road.Circumstances())

        done = lifecycle.conclude(tx, outcome, self.clock(), merchant.terms.review_avs)
        answer = encode(payment.with_transaction(done), done)
        task = asyncio.create_task(afterwards())
        late.add(task)
        task.add_done_callback(late.discard)
        return answer

    patch(Gateway, "_conclude", early)


@dataclass(frozen=True, slots=True)
class _Claims:
    """Claims that are written by themselves."""

    merchant_id: str
    transaction_id: int
    claims: tuple[Claim, ...]

    def apply(self, run: Run) -> None:
        for claim in self.claims:
            run("claim", claim_row(self.merchant_id, claim) | {"transaction_id": self.transaction_id})


def idempotency_record_written_last(patch: Patch) -> None:
    """Looked for, then done, then remembered."""
    begin, conclude = Gateway._begin, Gateway._conclude
    kept: dict[int, tuple[Claim, ...]] = {}

    async def begun(
        self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, card: Any, around: road.Circumstances
    ) -> Any:
        for claim in around.claims:
            told = await self.database.write(Replay(merchant.id, claim))
            if told is not None:
                return told
        kept[tx.id] = around.claims
        return await begin(self, merchant, payment, tx, card, msgspec.structs.replace(around, claims=()))

    async def concluded(self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, *more: Any) -> Answer:
        answer = await conclude(self, merchant, payment, tx, *more)
        await self.database.write(_Claims(merchant.id, tx.id, kept.pop(tx.id, ())))
        return answer

    patch(Gateway, "_begin", begun)
    patch(Gateway, "_conclude", concluded)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Ledger entries that are written by themselves."""

    merchant_id: str
    entries: tuple[Entry, ...]

    def apply(self, run: Run) -> None:
        for entry in self.entries:
            row: dict[str, object] = {
                "merchant_id": self.merchant_id,
                "transaction_id": entry.transaction_id,
                "line": entry.line,
            }
            row |= {"account": entry.account.value, "currency": entry.currency.code, "amount": entry.amount}
            run("post_entry", row | {"posted_at": to_ms(entry.posted_at)})


def ledger_line_outside_the_transaction(patch: Patch) -> None:
    conclude = Gateway._conclude
    kept: dict[int, tuple[Entry, ...]] = {}

    def put_aside(payment: Payment, tx: Transaction) -> tuple[Entry, ...]:
        kept[tx.id] = entries(payment, tx)
        return ()

    async def concluded(self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, *more: Any) -> Answer:
        answer = await conclude(self, merchant, payment, tx, *more)
        await asyncio.sleep(A_MOMENT_S)
        await self.database.write(_Lines(merchant.id, kept.pop(tx.id, ())))
        return answer

    patch(road, "entries", put_aside)
    patch(Gateway, "_conclude", concluded)


def pan_in_an_exception_text(patch: Patch) -> None:
    begin = Gateway._begin

    async def begun(self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, card: Any, *more: Any) -> Any:
        try:
            return await begin(self, merchant, payment, tx, card, *more)
        except CommitUnknown as error:
            raise CommitUnknown(f"{error}, for card {card.pan.digits}") from error

    patch(Gateway, "_begin", begun)


# ---- what is remembered


def cvv_kept_in_the_retry_row(patch: Patch) -> None:
    """Only in the hash that a key is bound to; there are a thousand of them to try."""
    asks = Paying.asked

    def asked(self: Paying, merchant: Merchant, body: bytes, decoded: Request, found: Stored | None) -> bytes:
        said, command = asks(self, merchant, body, decoded, found), decoded.command
        if not isinstance(command, Authorize) or command.card.security_code is None:
            return said
        return hashlib.sha256(said + command.card.security_code.digits.encode()).digest()

    patch(Paying, "asked", asked)


def nonce_reused(patch: Patch) -> None:
    seal = Vault.seal_card

    def sealed(self: Vault, merchant_id: str, row_id: int, pan: Pan, expiry: Any) -> bytes:
        made = seal(self, merchant_id, row_id, pan, expiry)
        return made[:6] + bytes(12) + made[18:]

    patch(Vault, "seal_card", sealed)


# ---- cards on file, and what is charged to them


def deletion_that_leaves_a_token_payable(patch: Patch) -> None:
    """Its owner is told that it is gone; whoever pays does not look."""
    gone, resolved = rules.gone, standing.resolved

    def half_gone(token: Token, now: datetime) -> Token:
        marked = gone(token, now)
        if isinstance(token, PaymentInstrument):
            return msgspec.structs.replace(marked, expiry=token.expiry)
        return marked

    def unseen(found: Mapping[str, Token], names: Names) -> Standing | Unresolved:
        seen = {
            name: msgspec.structs.replace(token, deleted_at=None) if isinstance(token, PaymentInstrument) else token
            for name, token in found.items()
        }
        return resolved(seen, names)

    patch(rules, "gone", half_gone)
    patch(standing, "resolved", unseen)


def tokens_of_a_declined_payment(patch: Patch) -> None:
    """What is to be kept of a card is kept before anybody knows whether it is good."""
    begin = Gateway._begin

    async def begun(
        self: Gateway, merchant: Merchant, payment: Payment, tx: Transaction, card: Any, around: road.Circumstances
    ) -> Any:
        told = await begin(self, merchant, payment, tx, card, around)
        if told is None and around.attach is not None:
            attached = await around.attach(tx)
            if attached is not None:
                await self.database.write(WriteTokens(merchant_id=merchant.id, changes=attached.changes))
        return told

    patch(Gateway, "_begin", begun)


def charge_not_conditional_on_its_claim(patch: Patch) -> None:
    """Whoever finds a subscription due charges it."""
    begin, others = BeginCharge.apply, itertools.count()

    def begun(self: BeginCharge, run: Run) -> bool:
        begin(self, run)
        return True

    patch(BeginCharge, "apply", begun)
    patch(recurring, "_claim", lambda *_: claim_of("subscription", str(next(others))))


def default_that_is_not_unmarked(patch: Patch) -> None:
    """A new default beside the old one."""
    add = rules.add

    def added(new: Any, customer: Any, default: Any, *more: Any) -> Any:
        return add(new, customer, None if new.is_default else default, *more)

    patch(rules, "add", added)


def merchant_missing_in_the_query_of_a_token(database: Database, patch: Callable[[Any, Any, Any], None]) -> None:
    altered(database, patch, "load_token", "merchant_id = ?", "? IS NOT NULL")


# ---- values


def naive_date_at_midnight_in_tokyo(patch: Patch) -> None:
    patch(settlement, "business_date", lambda now, _terms: now.date())


def amount_via_float(patch: Patch) -> None:
    def parse(text: str, currency: Currency) -> Money:
        return Money(int(float(text) * 10**currency.exponent), currency)

    patch(Money, "parse", staticmethod(parse))


# ---- storage


def commit_error_treated_as_not_done(patch: Patch) -> None:
    patch(sqlite, "CommitUnknown", Unavailable)


def synchronous_normal(patch: Patch) -> None:
    connect = sqlite.connect

    def hurried(*arguments: Any, **more: Any) -> apsw.Connection:
        connection = connect(*arguments, **more)
        connection.execute("PRAGMA synchronous = normal")
        return connection

    patch(sqlite, "connect", hurried)


def refund_sum_checked_outside_the_lock(patch: Patch) -> None:
    """A refund is let in whatever has happened to its payment since it was looked at."""
    apply = Begin.apply

    def late(self: Begin, run: Run) -> Any:
        if self.transaction.operation is not Operation.REFUND:
            return apply(self, run)
        key = {"merchant_id": self.payment.merchant_id, "id": self.payment.id}
        payment = msgspec.structs.replace(self.payment, version=run("load_payment", key)[0][1])
        return apply(msgspec.structs.replace(self, payment=payment), run)

    patch(Begin, "apply", late)


def altered(database: Database, patch: Callable[[Any, Any, Any], None], name: str, old: str, new: str) -> None:
    """A named query with a part of its text replaced; as many places for parameters as before."""
    query = database.queries[name]  # type: ignore[attr-defined] # both engines have them
    assert old in query.sql, query.sql
    patch(database.queries, name, Query(query.sql.replace(old, new), query.names))  # type: ignore[attr-defined]


def status_read_then_written(database: Database, patch: Callable[[Any, Any, Any], None]) -> None:
    if database.kind == "sqlite":
        altered(database, patch, "claim_payment", "AND version = ?", "AND ? IS NOT NULL")
    else:
        altered(database, patch, "begin", "AND p.version = f.version", "")


def replay_answered_without_lock(database: Database, patch: Callable[[Any, Any, Any], None]) -> None:
    altered(database, patch, "replay", "FOR UPDATE OF c, t", "")


def merchant_missing_in_one_query(database: Database, patch: Callable[[Any, Any, Any], None]) -> None:
    place = "?" if database.kind == "sqlite" else "$1"
    altered(database, patch, "load_answer", f"merchant_id = {place}", f"{place} IS NOT NULL")
