"""A merchant, and the terms on which its acquirer and its account work. Pure.

Everything that differs between merchants and decides about a payment is a field of `Terms`: data, stored per merchant,
changed with `kessai merchant set`. The defaults of a personality stand beside the acquirer (`acquirers`).
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal

from kessai.payment.card import Brand
from kessai.payment.options import Contract
from kessai.payment.risk import Limits


class Mode(Enum):
    TEST = "test"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerToServer:
    """Where clients of the PaymentOptions wire differ, and no document decides. One field is one setting of
    `kessai merchant set ID paymentoptions.name=value`."""

    decline_status: Literal[201, 400, 412] = 201
    """HTTP status of a payment that was declined; the transaction exists in any case."""
    amount_unit: Literal["major", "minor"] = "major"
    """What an amount of a currency with decimals counts: `10.50` (major) or `1050` (minor)."""
    echo_test_cards: bool = False
    """Whether answers to a test merchant show the whole number of a card, as the public documents do."""
    shipping_in_answer: bool = False
    """Whether the answer to a payment shows the shipping address again."""
    phone_in_status: bool = False
    """Whether the status shows phone numbers, and not `N/A` in their place."""
    card_beside_stored: Literal["refuse", "use-stored"] = "refuse"
    """What becomes of a payment that brings a card and a stored payment method."""
    token_in_answer: bool = True
    """Whether the answer to a payment with a stored payment method names it again."""
    transaction_id_in_redirect: bool = False
    """Whether the answer that sends the payer to be authenticated names the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an account may do. One field is one setting of `kessai merchant set ID name=value`."""

    brands: frozenset[Brand] | None = None
    """Card brands that the acquirer takes; none named: every brand."""
    authorization_days: int = 180
    """Days after which a hold lapses and can no longer be captured."""
    return_days: int = 180
    """Days after which a capture or sale can no longer be refunded."""
    over_capture: Literal["refuse", "allow"] = "refuse"
    """Whether one capture may exceed what is left of the authorization."""
    over_refund: Literal["refuse", "allow"] = "refuse"
    """Whether refunds may exceed what was captured."""
    partial_reversal: bool = True
    """Whether a reversal may release a part of the hold."""
    increments: bool = False
    """Whether the acquirer offers incremental authorizations."""
    echecks: bool = False
    """Whether the acquirer offers debits and credits of bank accounts."""
    relaxed_address: bool = False
    """Whether billing address members may be missing."""
    relaxed_expiry: bool = False
    """Whether the card's expiration date may be missing."""
    three_d_secure: Literal["optional", "obligatory"] = "optional"
    """Whether a payment of electronic commerce needs an authentication of its cardholder, as in Japan since 2025.
    Obligatory: one that has none and is not exempt is declined before it is sent."""
    strict_options: bool = False
    """Whether every rule of the Japanese payment options refuses, not only the malformed and contradictory."""
    excess_decimals: Literal["truncate", "refuse"] = "truncate"
    """What becomes of amount decimals that the currency does not have."""
    unique_transaction_id_days: int = 0
    """Days during which a merchant's transaction id may not be used again; 0: not checked."""
    unique_reference_minutes: int = 0
    """Minutes during which a merchant's reference may not be used again; 0: not checked."""
    exact_repeat: Literal["by-mode", "answer", "refuse", "allow"] = "by-mode"
    """What the exact repeat of a signed request gets: the stored answer, a refusal, or another execution. By mode: live
    merchants get the answer, test merchants another execution, since two wanted requests of one second look alike."""
    rate_limit: Literal["by-mode", "on", "off"] = "by-mode"
    """Whether the rate of requests is limited. By mode: that of live merchants is, that of test merchants is not."""
    requests_per_s: int = 100
    """Requests a second of one key, on average; what is over it gets 429. Each of several workers counts for itself."""
    requests_burst: int = 200
    """Requests of one key that may come at once."""
    review_avs: frozenset[str] = frozenset({"N"})
    """Address results that put an approved authorization into review."""
    cutoff: str = "23:00"
    """Local time of day (`HH:MM`) at which a business day is cut into a settlement."""
    time_zone: str = "Asia/Tokyo"
    """IANA zone of the business date and the cut-off."""
    token_profile: str = ""
    """The profile that requests of the token family may name (`profile-id`); every other is unknown."""
    chosen_token_ids: bool = False
    """Whether who makes a customer, payment instrument or shipping address may choose its id."""
    issuer: str = "standard"
    """Issuer profile of the expected cardholder schedules."""
    recurring_retries: int = 3
    """How often a recurring charge that was declined for now is tried again."""
    recurring_retry_days: int = 2
    """Days between two tries of a recurring charge."""
    recurring_exhausted: Literal["suspend", "cancel", "continue"] = "suspend"
    """What becomes of a subscription whose charge is declined for good, or too often: it is suspended, cancelled, or
    goes on with its next period."""
    legal_name: str = ""
    """The merchant's name in law, as answers of the PaymentOptions wire show it; empty: its id."""
    options: Contract = field(default_factory=Contract)
    """What the contract allows of the Japanese payment options."""
    paymentoptions: ServerToServer = field(default_factory=ServerToServer)
    """What the PaymentOptions wire answers where no document decides."""
    risk: Limits = field(default_factory=Limits)
    """What is declined before anybody is asked."""

    def __post_init__(self) -> None:
        if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", self.cutoff, re.ASCII) is None:
            raise ValueError("cutoff is a time of day as HH:MM")
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is from {least} to {most}")


_BOUNDS: Final = {
    "authorization_days": (0, 3_650),
    "return_days": (0, 3_650),
    "unique_transaction_id_days": (0, 3_650),
    "unique_reference_minutes": (0, 525_600),
    "requests_per_s": (1, 1_000_000),
    "requests_burst": (1, 1_000_000),
    "recurring_retries": (0, 30),
    "recurring_retry_days": (0, 365),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """One merchant of this gateway. `personality` names the acquirer behind it."""

    id: str
    personality: str
    mode: Mode = Mode.TEST
    terms: Terms = field(default_factory=Terms)
    ahead: timedelta = timedelta()
    """How far its business time runs ahead of the wall; only the sandbox moves it, and only for test merchants."""

    def at(self, now: datetime) -> datetime:
        """Its business time at a wall time: of holds, due dates, cut-offs, cards; never of signatures or deadlines."""
        return now + self.ahead if self.ahead else now

    @property
    def exact_repeat(self) -> str:
        """`answer`, `refuse` or `allow` (R-52)."""
        by_mode = "allow" if self.mode is Mode.TEST else "answer"
        return by_mode if self.terms.exact_repeat == "by-mode" else self.terms.exact_repeat

    @property
    def is_limited(self) -> bool:
        """Whether the rate of its requests is limited (R-59)."""
        wanted = self.terms.rate_limit
        return wanted == "on" or (wanted == "by-mode" and self.mode is Mode.LIVE)

    @property
    def is_test(self) -> bool:
        return self.mode is Mode.TEST
