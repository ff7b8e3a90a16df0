"""Tests of the tests (section 12): each bug that is planted here must make the proof that is named beside it fail.

The proofs are those of T-1, T-6, T-7 and T-8 and their like, played shorter: what finds a bug here finds it there.
"""

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from kessai.app import CannotOpen
from tests.destruction import commits
from tests.destruction.driver import killed
from tests.destruction.retries import retried
from tests.houses import Till, opened
from tests.links import test_planted_bugs as links
from tests.model.cards import Cards
from tests.model.machine import Machine
from tests.model.test_model import staged
from tests.model.wire import Wire
from tests.planted import bugs
from tests.races.race import MERCHANT, RACES, Barrier, houses, run
from tests.races.test_replays import waits_for_its_lock

pytestmark = [
    pytest.mark.timeout(120),
    # A proof that fails leaves its connections as they are.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

Prove = Callable[[Path, pytest.MonkeyPatch], None]
_HOLD, _REFUND = RACES
_SHORT: Final = settings(
    max_examples=800,  # it ends with the first that finds the bug; which one that is differs with what is imported
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def _in_a_process(bug: Callable[[bugs.Patch], None]) -> str:
    """The line that plants a bug in a gateway's own process."""
    return f"from tests.planted import bugs; bugs.{bug.__name__}(setattr)"


def kills(bug: Callable[[bugs.Patch], None], count: int = 3) -> Prove:
    """T-1: kill -9 under load."""

    def prove(folder: Path, _: pytest.MonkeyPatch) -> None:
        asyncio.run(killed(folder / "data", count, seed=1, plant=_in_a_process(bug)))

    return prove


def retries(bug: Callable[[bugs.Patch], None]) -> Prove:
    """T-7: payments sent again and again."""

    def prove(folder: Path, _: pytest.MonkeyPatch) -> None:
        asyncio.run(retried(folder / "data", 60, seed=3, plant=_in_a_process(bug)))

    return prove


def model(bug: Callable[..., None], *, of_database: bool = False) -> Prove:
    """T-8: random days against the model."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with staged(folder) as stage:
            if of_database:
                bug(stage.house.database, monkeypatch.setitem)
            else:
                bug(monkeypatch.setattr)
            run_state_machine_as_test(lambda: Machine(stage), settings=_SHORT)  # type: ignore[arg-type]

    return prove


def cards(bug: Callable[..., None], *, of_database: bool = False) -> Prove:
    """T-8: random days with cards on file, against theirs."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with staged(folder) as stage:
            wire = Wire(stage)
            if of_database:
                bug(stage.house.database, monkeypatch.setitem)
            else:
                bug(monkeypatch.setattr)
            run_state_machine_as_test(lambda: Cards(stage, wire), settings=_SHORT)  # type: ignore[arg-type]

    return prove


def race(which: Any, bug: Callable[..., None], *, of_database: bool = False) -> Prove:
    """T-6: racers behind a barrier."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with houses(folder, 1) as (house,):
                if of_database:
                    bug(house.database, monkeypatch.setitem)
                else:
                    bug(monkeypatch.setattr)
                await run(which, [Till(house, MERCHANT)], Barrier([house]), 25)

        asyncio.run(main())

    return prove


def locks(bug: Callable[..., None]) -> Prove:
    """R-9: a replay waits for whoever has its row."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with opened(folder, works=False) as house:
                bug(house.database, monkeypatch.setitem)
                await waits_for_its_lock(house)

        asyncio.run(main())

    return prove


def failed_commits(bug: Callable[[bugs.Patch], None]) -> Prove:
    """R-7: commits that fail, done or not."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bug(monkeypatch.setattr)
        asyncio.run(commits.play(folder, monkeypatch))

    return prove


def start(bug: Callable[[bugs.Patch], None]) -> Prove:
    """R-20: what cannot keep the promises does not open."""

    def prove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with opened(folder, works=False):
                pass

        bug(monkeypatch.setattr)
        try:
            asyncio.run(main())
        except CannotOpen as refused:
            raise AssertionError(str(refused)) from refused

    return prove


@dataclass(frozen=True, slots=True)
class Row:
    """A bug, the proof that finds it, and the words in which it is found."""

    prove: Prove
    says: str
    engine: str = "sqlite"


_read_then_written: Final = race(_HOLD, bugs.status_read_then_written, of_database=True)
PLANTED: Final[Mapping[str, Row]] = {
    "no reversal after a timeout": Row(
        model(bugs.no_reversal_after_a_timeout), "what is unknown is undone, once|model and gateway disagree"
    ),
    "answer before commit": Row(
        kills(bugs.answer_before_commit), "what was acknowledged (is lost|cannot be gone on with)"
    ),
    "status read then written": Row(_read_then_written, "[23] of 3 won"),
    "status read then written, on a server": Row(_read_then_written, "[23] of 3 won", "postgresql"),
    "idempotency record written last": Row(
        retries(bugs.idempotency_record_written_last), "told two things|done twice|has two transactions"
    ),
    "commit error treated as not done": Row(
        failed_commits(bugs.commit_error_treated_as_not_done), "nothing was done, it was said; and something was"
    ),
    "replay answered without lock": Row(
        locks(bugs.replay_answered_without_lock), "told while its row was being changed", "postgresql"
    ),
    "ledger line outside the transaction": Row(kills(bugs.ledger_line_outside_the_transaction), "missing"),
    "refund sum checked outside the lock": Row(race(_REFUND, bugs.refund_sum_checked_outside_the_lock), "2 of 2 won"),
    "naive date at midnight in Tokyo": Row(model(bugs.naive_date_at_midnight_in_tokyo), "another business day"),
    "amount via float": Row(model(bugs.amount_via_float), r"\d approved, \d+ asked"),
    "merchant missing in one query": Row(
        model(bugs.merchant_missing_in_one_query, of_database=True), "a stranger reads an answer"
    ),
    "deletion that leaves a token payable": Row(
        cards(bugs.deletion_that_leaves_a_token_payable), "pays: 201 answered|another fault than"
    ),
    "tokens of a declined payment": Row(
        cards(bugs.tokens_of_a_declined_payment), "tokens that nobody made|a number (that )?is known"
    ),
    "charge not conditional on its claim": Row(
        cards(bugs.charge_not_conditional_on_its_claim), "the books tell of other payments|more or fewer charges"
    ),
    "default that is not unmarked": Row(cards(bugs.default_that_is_not_unmarked), "default|ETag"),
    "merchant missing in the query of a token": Row(
        cards(bugs.merchant_missing_in_the_query_of_a_token, of_database=True), "a stranger's GET"
    ),
    "CVV kept in the retry row": Row(retries(bugs.cvv_kept_in_the_retry_row), "was answered .*400"),
    "PAN in an exception text": Row(failed_commits(bugs.pan_in_an_exception_text), "in the text of an error"),
    "synchronous normal": Row(start(bugs.synchronous_normal), "full synchronization"),
    "nonce reused": Row(retries(bugs.nonce_reused), "a nonce was used twice"),
}

FOUND_ON_THE_LINK: Final = {
    "no reversal after a timeout": "no_reversal_after_a_timeout",
    "reversal sent once only": "reversal_sent_once_only",
    "late approval wins": "late_approval_wins",
}
"""Bugs that the faults of the acquirer's link find (T-4), by the names that they have there."""

NOT_HERE: Final = {
    "webhook sent before commit": "there are no webhooks",
    "asynchronous standby": "no test has a standby yet; the start refuses a server that does not wait for its own",
    "trace number reused after wrap": "an exchange is matched by its transaction id besides, so nothing can come of it",
    "dictionary-order dependence": "nothing is simulated in virtual time yet",
}
"""Bugs of the rules' list that cannot be planted yet, and why."""


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """What a bug has left open is swept up here, and not in whatever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize(("engine", "name"), [(row.engine, name) for name, row in PLANTED.items()], indirect=["engine"])
def test_a_planted_bug_is_found(name: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 12 of the rules: the proof fails, for the bug's own reason, and within its budget."""
    row = PLANTED[name]
    with pytest.raises(AssertionError, match=row.says):
        row.prove(tmp_path, monkeypatch)


def test_the_link_finds_its_own() -> None:
    planted = {plant.__name__ for plant, _, _ in links.PLANTED}
    assert set(FOUND_ON_THE_LINK.values()) <= planted
