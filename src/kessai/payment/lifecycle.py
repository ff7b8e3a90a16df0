"""The life of a payment: its transactions, what they add up to, what may follow what. Pure.

A payment is the list of its transactions; every total is computed from that list, so nothing can disagree with it.
A transaction that is open (sent, no answer yet) or unknown counts against whatever may follow as if it had succeeded:
two open operations can never both win. Partial is an amount, not a state, which keeps `TABLE` small enough to print.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from kessai.payment.agreement import Agreement
from kessai.payment.card import Brand
from kessai.payment.money import Currency, Money
from kessai.payment.options import PaymentOption
from kessai.payment.word import Word


class Operation(Word):
    AUTHORIZE = "authorize"
    SALE = "sale"
    INCREMENT = "increment"
    CAPTURE = "capture"
    REVERSAL = "reversal"
    VOID = "void"
    REFUND = "refund"
    CREDIT = "credit"
    EXPIRE = "expire"
    """The hold lapses by itself: no message, no caller."""


SETTLED_BY_BATCH: Final = frozenset({Operation.SALE, Operation.CAPTURE, Operation.REFUND, Operation.CREDIT})
"""Operations that a settlement collects: they move money between merchant and acquirer."""


class Status(Word):
    PENDING = "pending"
    """The intent is durable; whether the acquirer has seen it, only time tells."""
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    """No answer that could be trusted. Neither approved nor declined until a clean-up settles it."""
    FAILED = "failed"
    """Certain that nothing happened: never sent, or the acquirer said so."""


OPEN: Final = (Status.PENDING, Status.UNKNOWN)
EFFECTIVE: Final = (Status.APPROVED, Status.PENDING, Status.UNKNOWN)
"""What counts against later operations. A tuple: looking into three is cheaper than hashing a member."""


class Reason(Word):
    """Why an outcome is not a plain approval. Neutral names; each dialect has its own words for them."""

    AVS_FAILED = "avs-failed"
    CVN_FAILED = "cvn-failed"
    ISSUER_REFERRAL = "issuer-referral"
    EXPIRED_CARD = "expired-card"
    GENERAL_DECLINE = "general-decline"
    PROCESSOR_REFUSED = "processor-refused"
    INSUFFICIENT_FUNDS = "insufficient-funds"
    STOLEN_OR_LOST = "stolen-or-lost"
    ISSUER_UNAVAILABLE = "issuer-unavailable"
    CARD_NOT_PERMITTED = "card-not-permitted"
    CVN_MISMATCH = "cvn-mismatch"
    OVER_LIMIT = "over-limit"
    INVALID_CVN = "invalid-cvn"
    ON_NEGATIVE_LIST = "on-negative-list"
    CHECK_DECLINED = "check-declined"
    ACCOUNT_NOT_VERIFIED = "account-not-verified"
    ACCOUNT_FROZEN = "account-frozen"
    BLOCKED_BY_CARDHOLDER = "blocked-by-cardholder"
    PAYMENT_REFUSED = "payment-refused"
    INVALID_ACCOUNT = "invalid-account"
    PROCESSOR_ERROR = "processor-error"
    PIN_TRIES_EXCEEDED = "pin-tries-exceeded"
    AUTHENTICATION_REQUIRED = "authentication-required"
    AUTHENTICATION_FAILED = "authentication-failed"
    DECLINED_CAPTURE_POSSIBLE = "declined-capture-possible"
    RISK_REVIEW = "risk-review"
    RISK_REJECT = "risk-reject"
    RISK_SCORE = "risk-score"
    WATCHLIST_MATCH = "watchlist-match"
    SYSTEM_ERROR = "system-error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


class Refusal(Word):
    """Why an operation is not started, in order of precedence; each dialect has its own words for them."""

    NOT_FOUND = "there is no such transaction of this merchant"
    WRONG_KIND = "the operation does not apply to this kind of transaction"
    NOT_SUPPORTED = "the merchant's acquirer does not offer this operation"
    HOLDS_NOTHING = "the debit of a bank account holds nothing that could be captured or released"
    BRAND_NOT_ACCEPTED = "the merchant's acquirer does not take this card brand"
    CURRENCY_MISMATCH = "the currency is not the payment's"
    OTHER_CARD = "a refund goes to the card that paid, and to no other"
    AMOUNT_NOT_POSITIVE = "the amount must be greater than zero"
    NOT_APPROVED = "the transaction was not approved"
    STILL_OPEN = "the outcome of the transaction is not known yet"
    ALREADY_REVERSED = "the authorization has already been reversed"
    ALREADY_VOIDED = "the capture was voided: the authorization takes no other"
    CAPTURE_VOIDED = "the capture was voided: there is nothing to return"
    ALREADY_SETTLED = "the transaction has already been settled"
    ALREADY_CAPTURED = "nothing of the authorization is left: it is captured"
    REVERSED_OR_SETTLED = "nothing of the hold is left to release"
    NOT_CAPTURED = "nothing was captured that could be returned"
    EXPIRED = "the authorization has expired"
    TOO_LATE = "the record is too old for this operation"
    NOT_VOIDABLE = "the transaction cannot be voided, or not any more"
    EXCEEDS_AUTHORIZATION = "the amount exceeds what is left of the authorization"
    EXCEEDS_HOLD = "the amount exceeds what is left of the hold"
    EXCEEDS_CAPTURE = "the amount exceeds what was captured and not yet returned"
    AMOUNT_MUST_MATCH = "the amount must be exactly the authorized amount"
    TOO_MANY_INCREMENTS = "an authorization takes at most 100 increments"
    DUPLICATE_TRANSACTION_ID = "the merchant's transaction id was used before"
    DUPLICATE_REFERENCE = "the merchant's reference was used a short time ago"
    IN_PROGRESS = "the first request with this key has not ended yet"
    OUTCOME_UNKNOWN = "the outcome of the first request with this key is not known"
    KEY_REUSED = "the key was used before for another request"
    REPEATED = "this signed request was sent before"
    TRANSIENT_SPENT = "the transient token was used before"
    AUTHENTICATION_SPENT = "the authentication was used before"
    AUTHENTICATION_UNKNOWN = "there is no such authentication of this merchant, or not any more"
    AUTHENTICATION_OTHER = "the authentication was of another card, or does not cover the amount"
    TRANSIENT_UNKNOWN = "there is no such transient token of this merchant, or its time has passed"


class Approved(Struct, frozen=True, kw_only=True):
    """The acquirer said yes, explicitly. `amount` is what it approved, which may be less than was asked."""

    amount: Money
    facts: Mapping[str, str] = field(default_factory=dict)
    review: Reason | None = None
    """Approved, and somebody should look: address or CVN check failed, a risk rule spoke."""


class Declined(Struct, frozen=True, kw_only=True):
    """The issuer, the acquirer or the gateway's own rules said no, explicitly."""

    reason: Reason
    facts: Mapping[str, str] = field(default_factory=dict)


class Failed(Struct, frozen=True, kw_only=True):
    """Certain that nothing was done: the link refused the connection, or the acquirer reported an error of its own."""

    reason: Reason
    facts: Mapping[str, str] = field(default_factory=dict)


class Unknown(Struct, frozen=True):
    """No answer in time, an answer cut off, or one that does not match. Never a decline, never an approval."""

    why: str


Outcome = Approved | Declined | Failed | Unknown


class Transaction(Struct, frozen=True, kw_only=True):
    """One operation on a payment: what was asked, and how it ended. Times are aware UTC."""

    id: int
    payment_id: int
    operation: Operation
    requested: Money
    requested_at: datetime
    status: Status = Status.PENDING
    approved: int = 0
    """Minor units that were approved; 0 until then."""
    hold: int = 0
    """Minor units of the payment's hold that it releases when it is approved: fixed when it begins."""
    target: int | None = None
    """The transaction that this one captures, reverses, voids or refunds."""
    reference: str = ""
    """The merchant's own reference, as sent; empty when none was."""
    merchant_transaction_id: str | None = None
    reason: Reason | None = None
    stan: str = ""
    rrn: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the acquirer answered, by the neutral names of `acquirers.FACTS`."""
    flags: frozenset[str] = frozenset()
    """What the rules must remember of the request; see `FLAGS`."""
    option: PaymentOption | None = None
    warnings: tuple[str, ...] = ()
    particulars: bytes = b""
    """Members of the request that are shown back and decide nothing: JSON of the dialect's own making."""
    concluded_at: datetime | None = None
    settlement: int | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def effective(self) -> int:
        """Minor units to count against later operations."""
        if self.status is Status.APPROVED:
            return self.approved
        return self.requested.minor if self.status in OPEN else 0


FLAGS: Final[Mapping[str, str]] = {
    "pre": "a pre-authorization: increments may follow",
    "partial": "the merchant takes a partial approval",
    "no-partial": "the merchant refuses a partial approval",
    "ignore-avs": "an address mismatch is no reason for review",
    "ignore-cvn": "a security code mismatch is no reason for review",
    "avs-sent": "an address was sent for verification",
    "cvn-sent": "a security code was sent for verification",
    "retail": "the card was present",
    "transit": "a transit operator's tap",
    "network-token": "the number is a network token's",
    "bank-account": "a bank account pays or is paid: an eCheck, not a card",
    "verbal": "approved by voice; the code came with the request",
    "merchant-initiated": "the cardholder took no part",
    "authenticated": "the issuer, or the network, vouches for the cardholder",
    "authentication-failed": "the cardholder was not authenticated",
    "authentication-missing": "the merchant is bound to 3-D Secure, and the cardholder was not asked",
    "capture-skipped": "the capture of a sale was not run",
    "by-gateway": "the gateway's own clean-up, not a merchant's request",
    "repeat": "sent again with the mark of a repeat",
    "original-failed": "the original had failed: there was nothing to undo",
}
"""Every flag a transaction can carry, with its meaning; the storage keeps them as words."""


class Prepared(Struct, frozen=True, kw_only=True):
    """A transaction that may begin. With a verdict nothing is sent: the rules themselves already know the outcome."""

    transaction: Transaction
    verdict: Outcome | None = None
    agreement: Agreement | None = None
    """What the acquirer is to be told of a kept card, and of a charge without the cardholder."""


class Command(Struct, frozen=True, kw_only=True):
    """What every command says beside its own members."""

    target: int | None = None
    """The transaction that it acts upon."""
    expects: frozenset[Operation] = frozenset()
    """What the target may be; anything else is not found. Empty: anything."""
    reference: str = ""
    merchant_transaction_id: str | None = None
    flags: frozenset[str] = frozenset()
    particulars: bytes = b""
    warnings: tuple[str, ...] = ()


FEW: Final = 8
"""Transactions that are looked through rather than indexed: most payments have two or three."""


class Payment(Struct, frozen=True, kw_only=True, dict=True):
    """A payment as it stands: its transactions, oldest first, and what they add up to."""

    merchant_id: str
    id: int
    version: int = 0
    transactions: tuple[Transaction, ...] = ()
    brand: Brand | None = None
    pan_prefix: str = ""
    pan_suffix: str = ""
    expiry: str = ""
    """`YYYY-MM`, empty when none was given."""
    expires_at: datetime | None = None

    @cached_property
    def root(self) -> Transaction:
        return self.transactions[0]

    @property
    def currency(self) -> Currency:
        return self.root.requested.currency

    def find(self, transaction_id: int) -> Transaction | None:
        if len(self.transactions) > FEW:
            return self._by_id.get(transaction_id)
        for tx in self.transactions:
            if tx.id == transaction_id:
                return tx
        return None

    def followers(self, operation: Operation, target: int | None = None) -> Sequence[Transaction]:
        """Transactions of one operation that count, optionally only those that act on one target."""
        if len(self.transactions) > FEW:
            return self._followers.get((operation, target), ())
        return [
            tx
            for tx in self.transactions
            if tx.operation is operation and (target is None or tx.target == target) and tx.status in EFFECTIVE
        ]

    @cached_property
    def _by_id(self) -> Mapping[int, Transaction]:
        return {tx.id: tx for tx in self.transactions}

    @cached_property
    def _followers(self) -> Mapping[tuple[Operation, int | None], Sequence[Transaction]]:
        """What `followers` says, for every question: made once, so that a rule may ask about each transaction."""
        found: dict[tuple[Operation, int | None], list[Transaction]] = {}
        for tx in self.transactions:
            if tx.status in EFFECTIVE:
                for target in {None, tx.target}:
                    found.setdefault((tx.operation, target), []).append(tx)
        return found

    def is_voided(self, transaction: Transaction) -> bool:
        """Whether a void of it was approved."""
        return any(tx.status is Status.APPROVED for tx in self.followers(Operation.VOID, transaction.id))

    def is_being_voided(self, transaction: Transaction) -> bool:
        """Whether a void of it was approved, or is under way."""
        return bool(self.followers(Operation.VOID, transaction.id))

    @cached_property
    def authorized(self) -> int:
        """Minor units approved by the root and its increments."""
        increments = (tx for tx in self.transactions if tx.operation is Operation.INCREMENT)
        return self.root.approved + sum(tx.approved for tx in increments)

    @cached_property
    def captured(self) -> int:
        """Minor units captured or being captured; a capture stays in until its void is approved."""
        if self.root.operation is Operation.SALE:
            return 0 if self.is_voided(self.root) else self.root.effective
        return sum(tx.effective for tx in self.followers(Operation.CAPTURE) if not self.is_voided(tx))

    @cached_property
    def released(self) -> int:
        """Minor units of the hold reversed, voided, expired, or being so."""
        by_reversal = sum(tx.effective for tx in self.followers(Operation.REVERSAL))
        by_void = sum(tx.effective for tx in self.followers(Operation.VOID, self.root.id))
        by_expiry = sum(tx.effective for tx in self.followers(Operation.EXPIRE))
        return by_reversal + by_expiry + (by_void if self.root.operation is Operation.AUTHORIZE else 0)

    @cached_property
    def held(self) -> int:
        """Minor units still held at the issuer and free to capture or release; never below zero.

        What each follower releases was fixed when it began; a void of a capture gives its part back.
        """
        if self.root.operation is not Operation.AUTHORIZE:
            return 0
        gone = sum(
            tx.hold
            for tx in self.transactions
            if tx.hold and tx.status in EFFECTIVE and not (tx.operation is Operation.CAPTURE and self.is_voided(tx))
        )
        return max(self.authorized - gone, 0)

    @cached_property
    def was_captured(self) -> bool:
        """Whether a capture ever counted, voided or not."""
        return bool(self.followers(Operation.CAPTURE))

    @cached_property
    def has_settled(self) -> bool:
        return any(tx.settlement is not None for tx in self.followers(Operation.CAPTURE))

    def refunded(self, target: int) -> int:
        """Minor units returned, or being returned, of one capture or sale."""
        return sum(tx.effective for tx in self.followers(Operation.REFUND, target) if not self.is_voided(tx))

    def with_transaction(self, transaction: Transaction) -> "Payment":
        """The payment with one transaction added, or replaced by its newer state."""
        others = tuple(tx for tx in self.transactions if tx.id != transaction.id)
        if len(others) == len(self.transactions):
            return replace(self, transactions=(*self.transactions, transaction))
        return replace(
            self, transactions=tuple(transaction if tx.id == transaction.id else tx for tx in self.transactions)
        )


def conclude(transaction: Transaction, outcome: Outcome, now: datetime, review_avs: frozenset[str]) -> Transaction:
    """What a transaction becomes by an outcome. `review_avs` are the address results that the merchant wants reviewed.

    A failed address or security-code check is the gateway's own soft decline: the issuer approved and the hold stands.
    A sale that is approved only in part, or softly declined, keeps its authorization and skips its capture.
    """
    match outcome:
        case Approved():
            review = outcome.review or _review(transaction, outcome.facts, review_avs)
            done = replace(
                transaction,
                status=Status.APPROVED,
                approved=outcome.amount.minor,
                reason=review,
                facts=outcome.facts,
                concluded_at=now,
            )
            if (
                transaction.operation is Operation.SALE
                and (review is not None or outcome.amount.minor < transaction.requested.minor)
                and "bank-account" not in transaction.flags  # it has no authorization that could be kept
            ):
                return replace(done, operation=Operation.AUTHORIZE, flags=done.flags | {"capture-skipped"})
            return done
        case Declined():
            return replace(
                transaction, status=Status.DECLINED, reason=outcome.reason, facts=outcome.facts, concluded_at=now
            )
        case Failed():
            return replace(
                transaction, status=Status.FAILED, reason=outcome.reason, facts=outcome.facts, concluded_at=now
            )
        case Unknown():
            return replace(transaction, status=Status.UNKNOWN, reason=Reason.TIMEOUT, concluded_at=now)


def _review(transaction: Transaction, facts: Mapping[str, str], review_avs: frozenset[str]) -> Reason | None:
    if transaction.operation not in (Operation.AUTHORIZE, Operation.SALE):
        return None
    if "ignore-avs" not in transaction.flags and facts.get("avs_code") in review_avs:
        return Reason.AVS_FAILED
    if "ignore-cvn" not in transaction.flags and facts.get("cvn_code") in ("N", "D"):
        return Reason.CVN_FAILED
    return None


def cleans_up(transaction: Transaction) -> Operation | None:
    """What settles an unknown transaction: a reversal for what holds money, itself again for the rest."""
    if transaction.status is not Status.UNKNOWN:
        return None
    if transaction.operation in (Operation.AUTHORIZE, Operation.SALE, Operation.INCREMENT):
        return Operation.REVERSAL
    return transaction.operation
