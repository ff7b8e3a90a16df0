"""Commits that fail, and have been done or not (R-7): nobody can know, so nobody may say that nothing was done."""

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from kessai import books
from kessai.app import House
from kessai.claims import bound_to, claim_of
from kessai.gateway import Circumstances
from kessai.outcomes import OutcomeUnknown
from kessai.payment.authorize import Authorize
from kessai.payment.lifecycle import Payment, Refusal, Transaction
from kessai.storage.database import CommitUnknown, DatabaseError, Unavailable
from kessai.storage.payments import Answer
from kessai.storage.sqlite import Sqlite
from tests.houses import VISA, opened, until, usd

MERCHANT: Final = "kessai_sandbox"
PAN: Final = VISA.pan.digits


class Faulty:
    """A connection whose commits fail at times: half of these have been done, half have not."""

    def __init__(self, connection: apsw.Connection, fate: random.Random) -> None:
        self._connection = connection
        self._fate = fate

    def execute(self, statement: str, *values: Any) -> Any:
        drawn = self._fate.random() if statement == "COMMIT" else 1.0
        if drawn >= 0.2:
            return self._connection.execute(statement, *values)
        self._connection.execute("COMMIT" if drawn < 0.1 else "ROLLBACK")
        raise apsw.IOError("the disk did not answer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@dataclass(slots=True)
class Sent:
    """One payment, and all that its client was told."""

    key: str
    minor: int
    told: list[Answer | Refusal | DatabaseError | OutcomeUnknown] = field(default_factory=list)


def encode(_payment: Payment, transaction: Transaction) -> Answer:
    return Answer(201, f"{transaction.id} {transaction.status.value} {transaction.approved}".encode())


async def send(house: House, sent: Sent) -> None:
    """Send a payment under its key until it is answered."""
    merchant = house.accounts.get(MERCHANT).merchant
    claim = claim_of("commits", sent.key, request=bound_to(MERCHANT, str(sent.minor).encode()))
    command = Authorize(amount=usd(sent.minor), card=VISA)
    for _ in range(50):
        circumstances = Circumstances(claims=(claim,), correlation=sent.key)
        try:
            answer = await house.gateway.perform(merchant, command, circumstances, encode)
        except (DatabaseError, OutcomeUnknown) as error:
            sent.told.append(error)
            if isinstance(error, Unavailable):
                assert open_of(house, sent.key) == [], "nothing was done, it was said; and something was"
            continue
        sent.told.append(answer)  # or that it is in progress: then the next process finds it
        return


def open_of(house: House, key: str) -> list[str]:
    """Statuses of what a request has begun, other than those that say that nothing came of it."""
    query = "SELECT status FROM transactions WHERE correlation = ? AND status <> 'failed'"
    with closing(sqlite3.connect(f"file:{house.folder / 'kessai.db'}?mode=ro", uri=True)) as reader:
        return [status for (status,) in reader.execute(query, (key,))]


async def play(folder: Path, monkeypatch: pytest.MonkeyPatch, *, payments: int = 100, seed: int = 1) -> list[Sent]:
    """Payments over a disk that fails one commit in five; AssertionError where a client was told what is not so."""
    fate, reopen = random.Random(seed), Sqlite._open
    everything = [Sent(f"k-{number}", 100 + number) for number in range(payments)]

    def opening(self: Sqlite) -> None:
        reopen(self)
        self._writer = Faulty(self._writer, fate)  # type: ignore[assignment]

    async with opened(folder, works=False) as house:
        assert isinstance(house.database, Sqlite)
        monkeypatch.setattr(Sqlite, "_open", opening)
        house.database._writer = Faulty(house.database._writer, fate)  # type: ignore[assignment]
        for start in range(0, payments, 4):
            await asyncio.gather(*(send(house, sent) for sent in everything[start : start + 4]))
        monkeypatch.setattr(Sqlite, "_open", reopen)
        house.database._drop_writer()
    for sent in everything:
        for told in sent.told:
            assert PAN not in str(told), "a card number is in the text of an error"
    async with opened(folder) as house:  # the next process
        await until(lambda: _is_quiet(house))
        assert (await books.check(house.database)).findings == ()
        for sent in everything:
            answers = [told for told in sent.told if isinstance(told, Answer)]
            assert len({answer.body for answer in answers}) <= 1
            approved = open_of(house, sent.key).count("approved")
            assert approved == bool(answers and b"approved" in answers[0].body), f"{sent.key} is not what was told"
    assert any(isinstance(told, CommitUnknown) for sent in everything for told in sent.told)
    return everything


async def _is_quiet(house: House) -> bool:
    return not await house.database.read("jobs_of", {"merchant_id": MERCHANT})
