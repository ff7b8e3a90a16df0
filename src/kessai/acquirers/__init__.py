"""Links to acquirers: whom we speak to. The contract; I/O lives in the links of each folder, `link.py` and beside it.

`send` returns an outcome and never raises for what a link can suffer: a refused connection is `Failed`, a cut one or a
missing answer `Unknown`. The gateway bounds the wait; a link may bound it further.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Final, Protocol

from msgspec import Struct

from kessai.payment.agreement import Agreement
from kessai.payment.bank import BankAccount
from kessai.payment.card import Card
from kessai.payment.lifecycle import Operation, Outcome
from kessai.payment.merchant import Terms
from kessai.payment.money import Money
from kessai.payment.options import PaymentOption
from kessai.payment.proof import Proof

FACTS: Final[Mapping[str, str]] = {
    "approval_code": "the code by which the issuer approved (ISO 8583 DE 38)",
    "response_code": "the acquirer's response code (DE 39, or the processor's own)",
    "response_category": "three-digit category of a Japanese acquirer",
    "response_details": "the processor's remark on the response code",
    "acquirer_name": "the acquirer that the message was forwarded to",
    "network_transaction_id": "the card network's id of the transaction",
    "stan": "systems trace audit number (DE 11)",
    "rrn": "retrieval reference number (DE 37)",
    "avs_code": "address verification result",
    "avs_raw": "the same in the processor's own code",
    "cvn_code": "security code verification result",
    "cvn_raw": "the same in the processor's own code",
    "cavv_code": "result of the cardholder authentication value",
    "cavv_raw": "the same in the processor's own code",
    "advice_code": "merchant advice",
    "advice_raw": "the same in the processor's own code",
    "auth_indicator": "kind of authorization, as the network confirms it",
    "sales_slip_number": "sales slip number of a Japanese acquirer",
    "merchant_number": "the merchant's number at the acquirer",
    "terminal_id": "terminal that the acquirer booked it on",
    "balance": "what is left on a prepaid card, as decimal text",
    "insight_category": "two-digit retry category of a decline",
    "reconciliation_id": "the id that the acquirer's reports carry",
    "risk_score": "score of the risk rules",
    "risk_profile": "risk profile that spoke",
}
"""Everything an answer may say, by its neutral name. Values are text."""


class Exchange(Struct, frozen=True, kw_only=True):
    """One message to an acquirer. The card lives for this exchange only."""

    merchant_id: str
    personality: str
    """How the account at the acquirer behaves: a name of `personalities`."""
    transaction_id: int
    operation: Operation
    amount: Money
    stan: str
    rrn: str
    sent_at: datetime
    card: Card | None = None
    account: BankAccount | None = None
    """The bank account of an eCheck, in the card's place; like a card, for this exchange only."""
    option: PaymentOption | None = None
    flags: frozenset[str] = frozenset()
    agreement: Agreement | None = None
    """What the payment says of a kept card, and of a charge without the cardholder; None on ordinary ones. In the terms
    of ISO 8583: `payment.agreement.facts`."""
    original: Mapping[str, str] | None = None
    """STAN, RRN, approval code and slip number of the exchange that this one follows."""
    original_id: int | None = None
    is_repeat: bool = False
    """A marked repeat: the acquirer may have done this already and must not do it twice."""
    proof: Proof | None = None
    """What proves that the cardholder was authenticated; it lives for this exchange only."""
    scenario: str | None = None
    """An outcome asked for by name; only a simulator looks at it, only test merchants' requests carry one."""


class Acquirer(Protocol):
    """A link to one acquirer."""

    def send(self, exchange: Exchange) -> Coroutine[Any, Any, Outcome]:
        """Exchange one message; never raises for a fault of the link. Cancelled when the gateway's deadline passes."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether the acquirer cannot be reached at the moment."""
        ...

    def trace(self, now: datetime) -> tuple[str, str]:
        """The next STAN (six digits) and RRN (twelve) of this link."""
        ...

    def on_late_answer(self, handler: Callable[[Exchange, Outcome], None]) -> None:
        """Whom to tell of an answer that came after its exchange was given up."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What leads to an acquirer, and how a link there looks after itself."""

    address: str = ""
    """`host:port` of an acquirer that runs apart; empty: one inside this process."""
    book: str = ""
    """File of the book of one inside this process; empty: in memory."""
    connect_s: float = 1.0
    """How long connecting and signing on may take."""
    echo_s: float = 30.0
    """How often a link that is idle is tried."""
    probe_s: float = 5.0
    """How often a link that is down is tried."""
    window: int = 64
    """Messages that may wait for their answer at once; over it, an exchange is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """How one kind of account at an acquirer behaves: its name, its link and the terms it begins with."""

    name: str
    title: str
    link: str
    """Folder of the link that serves it."""
    simulated: bool
    terms: Terms


def personalities() -> Mapping[str, Personality]:
    """Every personality that an installed link offers, by name."""
    found: dict[str, Personality] = {}
    for folder in ("simulator",):
        found.update(import_module(f"kessai.acquirers.{folder}.personalities").PERSONALITIES)
    return found


def load(folder: str, way: Way | None = None) -> Acquirer:
    """Connect the link of a folder: its `link.py` offers `connect(way)`. OSError for a book that cannot be opened,
    ValueError for an address that is none."""
    link: Acquirer = import_module(f"kessai.acquirers.{folder}.link").connect(way)
    return link
