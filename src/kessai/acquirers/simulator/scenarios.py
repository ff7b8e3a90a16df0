"""Scenarios: the outcomes that can be asked of the simulated acquirer by name. Pure.

A scenario says how the acquirer ends the exchange and how its answer travels; the personality says what it looks like.
Triggers (`triggers.py`) lead to scenarios too, so that a magic amount and a name given outright cannot differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kessai.acquirers import Exchange
from kessai.acquirers.simulator.personalities import APPROVAL_OF, CODES, Message, facts, proven
from kessai.payment.lifecycle import Approved, Declined, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import Money
from kessai.payment.word import Word


class Ending(Word):
    """What the acquirer does."""

    APPROVED = "approves"
    APPROVED_IN_PART = "approves a part"
    DECLINED = "declines"
    FAILED = "reports an error of its own: nothing was done"
    GAVE_UP = "does nothing and cannot say so"


class Delivery(Word):
    """What becomes of its answer."""

    AT_ONCE = "arrives"
    CUT = "is lost with the connection"
    LATE = "arrives after the gateway has stopped waiting"
    NEVER = "never comes"


_O, _R, _E, _D = Operation, Reason, Ending, Delivery

EVERY: Final = frozenset(APPROVAL_OF)
"""Every operation that is a message."""
HOLDS: Final = frozenset({_O.AUTHORIZE, _O.SALE})
ISSUER: Final = HOLDS | {_O.INCREMENT, _O.CREDIT, _O.REFUND}
"""Operations that an issuer decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One outcome that can be asked for."""

    name: str
    meaning: str
    operations: frozenset[Operation]
    ending: Ending
    delivery: Delivery = Delivery.AT_ONCE
    reason: Reason | None = None
    """Why it declines or fails; of an approval, why somebody should look."""
    reached: bool = True
    """Whether a processor was asked, so that the answer carries its facts."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Facts said beside, or instead of, the fingerprint's."""


def _decline(reason: Reason, meaning: str, operations: frozenset[Operation] = ISSUER) -> Scenario:
    return Scenario(name=reason.value, meaning=meaning, operations=operations, ending=_E.DECLINED, reason=reason)


def _approved(name: str, meaning: str) -> Scenario:
    """What goes wrong comes behind the exchange."""
    return Scenario(name=name, meaning=meaning, operations=EVERY, ending=_E.APPROVED)


_RISK: Final = {"risk_score": "85", "risk_profile": "default"}

SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="approve", meaning="The acquirer approves.", operations=EVERY, ending=_E.APPROVED),
        Scenario(
            name="partial-approval",
            meaning="The issuer approves about half of the amount.",
            operations=HOLDS,
            ending=_E.APPROVED_IN_PART,
        ),
        Scenario(
            name="avs-failed",
            meaning="The issuer approves, and nothing of the address matches.",
            operations=HOLDS,
            ending=_E.APPROVED,
            facts={"avs_code": "N", "avs_raw": "N"},
        ),
        Scenario(
            name="cvn-failed",
            meaning="The issuer approves, and the security code does not match.",
            operations=HOLDS,
            ending=_E.APPROVED,
            facts={"cvn_code": "N", "cvn_raw": "N"},
        ),
        _decline(_R.ISSUER_REFERRAL, "The issuer wants to be called.", HOLDS | {_O.INCREMENT}),
        _decline(_R.EXPIRED_CARD, "The issuer has another expiration date, or the card has expired."),
        _decline(_R.GENERAL_DECLINE, "The issuer declines without saying why.", EVERY),
        _decline(_R.PROCESSOR_REFUSED, "The processor declines the message itself.", EVERY),
        _decline(_R.INSUFFICIENT_FUNDS, "The account has not enough funds."),
        _decline(_R.STOLEN_OR_LOST, "The card is reported stolen or lost."),
        _decline(_R.ISSUER_UNAVAILABLE, "The issuer cannot be reached.", EVERY),
        _decline(_R.CARD_NOT_PERMITTED, "The card is inactive or not permitted for this kind of payment."),
        _decline(_R.CVN_MISMATCH, "The issuer declines because the security code does not match.", HOLDS),
        _decline(_R.OVER_LIMIT, "The card has reached its limit."),
        _decline(_R.INVALID_CVN, "The issuer declines because the security code is not valid.", HOLDS),
        _decline(_R.ON_NEGATIVE_LIST, "The card is on the processor's negative list."),
        _decline(_R.ACCOUNT_FROZEN, "The account is frozen."),
        _decline(_R.BLOCKED_BY_CARDHOLDER, "The cardholder has stopped payments to this merchant."),
        _decline(_R.PAYMENT_REFUSED, "The issuer refuses this payment."),
        _decline(_R.INVALID_ACCOUNT, "The issuer does not know the card number."),
        _decline(_R.PIN_TRIES_EXCEEDED, "The PIN was entered wrongly too often.", HOLDS),
        _decline(_R.AUTHENTICATION_REQUIRED, "The issuer wants the cardholder to be authenticated first.", HOLDS),
        _decline(_R.DECLINED_CAPTURE_POSSIBLE, "The issuer declines, and the amount may be captured later.", HOLDS),
        Scenario(
            name="watchlist-match",
            meaning="The cardholder is on a watch list; no processor is asked.",
            operations=HOLDS | {_O.CREDIT},
            ending=_E.DECLINED,
            reason=_R.WATCHLIST_MATCH,
            reached=False,
        ),
        Scenario(
            name="risk-review",
            meaning="The issuer approves, and the risk rules want somebody to look.",
            operations=HOLDS,
            ending=_E.APPROVED,
            reason=_R.RISK_REVIEW,
            facts=_RISK,
        ),
        Scenario(
            name="risk-reject",
            meaning="The issuer approves, then the risk rules reject.",
            operations=HOLDS,
            ending=_E.APPROVED,
            reason=_R.RISK_REJECT,
            facts=_RISK,
        ),
        Scenario(
            name="risk-score",
            meaning="The issuer approves, then the risk score is found too high.",
            operations=HOLDS,
            ending=_E.APPROVED,
            reason=_R.RISK_SCORE,
            facts=_RISK,
        ),
        Scenario(
            name="risk-reject-before",
            meaning="The risk rules reject before any processor is asked.",
            operations=HOLDS,
            ending=_E.DECLINED,
            reason=_R.RISK_REJECT,
            reached=False,
            facts=_RISK,
        ),
        Scenario(
            name="time-out",
            meaning="The acquirer reports at once that its processor did not answer; nothing was done.",
            operations=EVERY,
            ending=_E.GAVE_UP,
        ),
        Scenario(
            name="no-answer",
            meaning="The message is lost: silence, and nothing was done.",
            operations=EVERY,
            ending=_E.GAVE_UP,
            delivery=_D.NEVER,
        ),
        Scenario(
            name="late-answer",
            meaning="The acquirer approves, and its answer comes after the gateway has stopped waiting.",
            operations=EVERY,
            ending=_E.APPROVED,
            delivery=_D.LATE,
        ),
        Scenario(
            name="answer-lost",
            meaning="The acquirer approves, and the connection is cut before its answer.",
            operations=EVERY,
            ending=_E.APPROVED,
            delivery=_D.CUT,
        ),
        Scenario(
            name="unreachable",
            meaning="The connection is refused: nothing was sent.",
            operations=EVERY,
            ending=_E.FAILED,
            reason=_R.UNREACHABLE,
            reached=False,
        ),
        Scenario(
            name="processor-error",
            meaning="The processor reports an error; nothing was done.",
            operations=EVERY,
            ending=_E.FAILED,
            reason=_R.PROCESSOR_ERROR,
        ),
        Scenario(
            name="system-error",
            meaning="The acquirer reports a failure of its own system; nothing was done.",
            operations=EVERY,
            ending=_E.FAILED,
            reason=_R.SYSTEM_ERROR,
        ),
        _approved("webhook-twice", "The acquirer approves; its notification arrives, and then once more."),
        _approved("webhook-late", "The acquirer approves; its notification comes ten seconds later."),
        _approved("webhook-out-of-order", "The acquirer approves; later notifications of the payment come before it."),
        _approved("webhook-wrong-signature", "The acquirer approves; its notification is signed wrongly at first."),
    )
}
"""Every scenario by name; the order is that of the printed table."""

OF_CARDS: Final = frozenset(
    {
        "partial-approval",
        "avs-failed",
        "cvn-failed",
        "issuer-referral",
        "expired-card",
        "stolen-or-lost",
        "card-not-permitted",
        "cvn-mismatch",
        "over-limit",
        "invalid-cvn",
        "blocked-by-cardholder",
        "pin-tries-exceeded",
        "authentication-required",
        "declined-capture-possible",
        "risk-review",
        "risk-reject",
        "risk-score",
        "risk-reject-before",
    }
)
"""Scenarios in which no eCheck ends."""

OF_ACCOUNTS: Final[Mapping[Reason, Reason]] = {
    _R.GENERAL_DECLINE: _R.CHECK_DECLINED,
    _R.INVALID_ACCOUNT: _R.ACCOUNT_NOT_VERIFIED,
}
"""What a reason is called where a bank account pays."""


def may_end(exchange: Exchange, scenario: Scenario) -> bool:
    """Whether an exchange can end in a scenario."""
    return exchange.operation in scenario.operations and (exchange.account is None or scenario.name not in OF_CARDS)


def outcome(
    exchange: Exchange,
    scenario: Scenario,
    next_slip: Callable[[], str],
    *,
    approved: Money | None = None,
    overrides: Mapping[str, str] | None = None,
    original_seen: bool = True,
) -> Outcome:
    """What the acquirer concludes of an exchange; whether and when that arrives is the link's to play.

    `approved` is the amount of a partial approval, about half without it. `overrides` replace facts of the answer, an
    empty text removes one. `original_seen` is whether what a reversal undoes ever arrived.
    """
    match scenario.ending:
        case Ending.GAVE_UP:
            return Unknown("the acquirer reported a time-out")
        case Ending.APPROVED | Ending.APPROVED_IN_PART:
            message = APPROVAL_OF[exchange.operation]
            if exchange.account is not None and message in _TAKEN_ON:
                message = Message.ECHECK
            if message is Message.REVERSAL and not original_seen:
                message = Message.REVERSAL_OF_NOTHING
            said = facts(exchange, message, next_slip)
            amount = exchange.amount
            if scenario.ending is Ending.APPROVED_IN_PART:
                amount = approved or amount.of((amount.minor + 1) // 2)
                said["balance"] = str(amount.of(0))
            if exchange.proof is not None:
                said.update(proven(exchange))
            _override(said, scenario.facts, overrides)
            return Approved(amount=amount, facts=said, review=scenario.reason)
        case Ending.DECLINED:
            reason = scenario.reason
            assert reason is not None
            declined = Message.DECLINED
            if exchange.account is not None:
                reason = OF_ACCOUNTS.get(reason, reason)
            elif APPROVAL_OF[exchange.operation] is Message.AUTHORIZATION:
                declined = Message.AUTHORIZATION_DECLINED
            return Declined(reason=reason, facts=_refusal(exchange, scenario, declined, next_slip, overrides))
        case Ending.FAILED:
            assert scenario.reason is not None
            return Failed(
                reason=scenario.reason, facts=_refusal(exchange, scenario, Message.FAILED, next_slip, overrides)
            )


_TAKEN_ON: Final = frozenset({Message.AUTHORIZATION, Message.REFUND, Message.CREDIT})
"""Approvals that an eCheck has no authorization for."""


def _refusal(
    exchange: Exchange,
    scenario: Scenario,
    message: Message,
    next_slip: Callable[[], str],
    overrides: Mapping[str, str] | None,
) -> dict[str, str]:
    said: dict[str, str] = {}
    if scenario.reached:
        assert scenario.reason is not None
        said = facts(exchange, message, next_slip)
        said.update(CODES[exchange.personality][scenario.reason])
    _override(said, scenario.facts, overrides)
    return said


def _override(said: dict[str, str], *layers: Mapping[str, str] | None) -> None:
    for layer in layers:
        for name, value in (layer or {}).items():
            if value:
                said[name] = value
            else:
                said.pop(name, None)
