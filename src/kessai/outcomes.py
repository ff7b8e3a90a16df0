"""Outcomes: commit 2 of the road, with what an approval brings about, and what is logged of it.

The commit is conditional: whoever comes second concludes nothing. Tokens that come of a payment are of the same commit:
they are there with its approval, or not at all.
"""

from asyncio import sleep
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.log import log, log_known
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.database import Database, DatabaseError
from kessai.storage.payments import Answer, Payments
from kessai.storage.tokens import FinishWithTokens
from kessai.storage.writes import Finish, Happened, Raced
from kessai.tokens.rules import Changes

MOST_RACES: Final = 32
"""How often what comes of an approval is decided again before the approval is written without it."""

Encode = Callable[[Payment, Transaction], Answer]
"""A dialect's answer to a concluded transaction, as it will be stored and sent."""


class Attached(Struct, frozen=True):
    """What an approval brings about beside itself, and the answer that tells of it; None: the answer is as without."""

    changes: Changes
    encode: Encode | None = None


class Attach(Protocol):
    """Decides on the tokens that come of an approved payment."""

    def concerns(self, transaction: Transaction, /) -> bool:
        """Whether anything can come of it: nobody has to be asked about most."""
        ...

    async def __call__(self, transaction: Transaction, /) -> Attached | None:
        """What comes of it; asked again where a token changed meanwhile."""
        ...


class OutcomeUnknown(Exception):
    """An exchange took place and its outcome could not be recorded; the clean-up will settle it."""


class Outcomes:
    """Writes outcomes. `new_id` gives time-ordered ids."""

    def __init__(self, database: Database, new_id: Callable[[], int]) -> None:
        self._database = database
        self._payments = Payments(database)
        self._new_id = new_id

    async def finish(self, merchant: Merchant, write: Finish, changes: Changes | None = None) -> bool:
        """Commit 2. Raced: a token is not as it was loaded, and nothing was written."""
        whole = write if changes is None else FinishWithTokens(write, changes)
        try:
            return await self._database.write(whole)
        except DatabaseError as error:
            done = ids.show(write.transaction.id)
            log("commit.failed", level="error", transaction=done, commit=2, error=type(error).__name__)
            return await self._finish_again(merchant, write, whole)

    async def finish_with_tokens(
        self, merchant: Merchant, write: Finish, after: Payment, encode: Encode, attach: Attach
    ) -> tuple[Answer, bool]:
        """Commit 2 with what an approval brings about: decided again whenever a token changed before it was written."""
        for _ in range(MOST_RACES):
            attached = await attach(write.transaction)
            if attached is None:
                break
            answer = (attached.encode or encode)(after, write.transaction)
            with suppress(Raced):
                return answer, await self.finish(merchant, replace(write, answer=answer), attached.changes)
            await sleep(0)
        answer = encode(after, write.transaction)
        return answer, await self.finish(merchant, replace(write, answer=answer))

    async def _finish_again(self, merchant: Merchant, write: Finish, whole: Finish | FinishWithTokens) -> bool:
        """Commit 2 after it failed, or may have: it is conditional, so it is concluded once, by this or the first."""
        assert write.answer is not None
        try:
            if await self._database.write(whole):
                return True
            stored = await self._payments.answer(merchant.id, write.transaction.id)
            is_ours = stored is not None and stored[1].body == (write.answer.stored or write.answer.body)
            if is_ours:  # a commit behind it tells that the first is as durable as any
                await self._database.write(
                    Happened(
                        merchant_id=merchant.id,
                        transaction_id=write.transaction.id,
                        id=self._new_id(),
                        kind="concluded-before",
                        detail="the first commit of its outcome had an error, and stands",
                    )
                )
        except DatabaseError as error:
            raise OutcomeUnknown from error
        return is_ours


def log_outcome(merchant: Merchant, done: Transaction) -> None:
    """One event for one outcome."""
    line = _OutcomeLine(
        merchant.id,
        ids.show(done.id),
        ids.show(done.payment_id),
        str(done.requested),
        done.requested.currency.code,
        done.reason.word if done.reason else None,
    )
    log_known(f"{done.operation.word}.{done.status.word}", line)


class _OutcomeLine(Struct):
    """Members of a log line: ids, digits, words of our tables."""

    merchant: str
    transaction: str
    payment: str
    amount: str
    currency: str
    reason: str | None
