"""Reasons: the words of this wire for what went wrong, with HTTP status, `status`, numeric code and message. Tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kessai.payment.lifecycle import Operation, Reason, Refusal


@dataclass(frozen=True, slots=True)
class Word:
    """One reason of the wire. `numeric` is the legacy code that the transaction details show."""

    http: int
    status: str
    reason: str
    numeric: int
    message: str


INVALID_DATA: Final = Word(
    400,
    "INVALID_REQUEST",
    "INVALID_DATA",
    102,
    "Declined - One or more fields in the request contains invalid data",
)
MISSING_FIELD: Final = Word(
    400, "INVALID_REQUEST", "MISSING_FIELD", 101, "Declined - The request is missing one or more fields"
)
SYSTEM_ERROR: Final = Word(502, "SERVER_ERROR", "SYSTEM_ERROR", 150, "Error - General system failure.")
SERVER_TIMEOUT: Final = Word(
    502,
    "SERVER_ERROR",
    "SERVER_TIMEOUT",
    250,
    "Error - The request was received, but there was a timeout at the payment processor.",
)
_AVS: Final = (
    "Soft Decline - The authorization request was approved by the issuing bank but declined by CyberSource because it "
    "did not pass the Address Verification Service (AVS) check."
)
_CVN: Final = (
    "Soft Decline - The authorization request was approved by the issuing bank but declined by CyberSource because it "
    "did not pass the card verification number (CVN) check."
)
_CALL: Final = (
    "Decline - The issuing bank has questions about the request. You do not receive an authorization code "
    "programmatically, but you might receive one verbally by calling the processor."
)
_EXPIRED: Final = (
    "Decline - Expired card. You might also receive this if the expiration date you provided does not match the date "
    "the issuing bank has on file."
)
_GENERAL: Final = "Decline - General decline of the card. No other information provided by the issuing bank."
_INACTIVE: Final = "Decline - Inactive card or card not authorized for card-not-present transactions."
_NEGATIVE: Final = "Decline - The customer matched an entry on the processor's negative file."

_NOT_AUTHENTICATED: Final = "Encountered a Payer Authentication problem. Payer could not be authenticated."


def _declined(reason: str, numeric: int, message: str) -> Word:
    return Word(201, "DECLINED", reason, numeric, message)


AUTHENTICATION_PENDING: Final = Word(
    201,
    "PENDING_AUTHENTICATION",
    "CONSUMER_AUTHENTICATION_REQUIRED",
    475,
    "The cardholder is enrolled in Payer Authentication. Please authenticate the cardholder before continuing with the "
    "transaction.",
)

DECLINES: Final[Mapping[Reason, Word]] = {
    Reason.ISSUER_REFERRAL: _declined("CONTACT_PROCESSOR", 201, _CALL),
    Reason.EXPIRED_CARD: _declined("EXPIRED_CARD", 202, _EXPIRED),
    Reason.GENERAL_DECLINE: _declined("PROCESSOR_DECLINED", 203, _GENERAL),
    Reason.INSUFFICIENT_FUNDS: _declined("INSUFFICIENT_FUND", 204, "Decline - Insufficient funds in the account."),
    Reason.STOLEN_OR_LOST: _declined("STOLEN_LOST_CARD", 205, "Decline - Stolen or lost card."),
    Reason.ISSUER_UNAVAILABLE: _declined("ISSUER_UNAVAILABLE", 207, "Decline - Issuing bank unavailable."),
    Reason.CARD_NOT_PERMITTED: _declined("UNAUTHORIZED_CARD", 208, _INACTIVE),
    Reason.CVN_MISMATCH: _declined("CVN_NOT_MATCH", 209, "Decline - card verification number (CVN) did not match."),
    Reason.OVER_LIMIT: _declined("EXCEEDS_CREDIT_LIMIT", 210, "Decline - The card has reached the credit limit."),
    Reason.INVALID_CVN: _declined("INVALID_CVN", 211, "Decline - Invalid Card Verification Number (CVN)."),
    Reason.ON_NEGATIVE_LIST: _declined("BLACKLISTED_CUSTOMER", 221, _NEGATIVE),
    Reason.CHECK_DECLINED: _declined("DECLINED_CHECK", 220, "Decline - Generic Decline."),
    Reason.ACCOUNT_NOT_VERIFIED: _declined(
        "ACH_VERIFICATION_FAILED", 231, "Decline - The bank account could not be verified."
    ),
    Reason.ACCOUNT_FROZEN: _declined("SUSPENDED_ACCOUNT", 222, "Decline - customer's account is frozen"),
    Reason.BLOCKED_BY_CARDHOLDER: _declined(
        "BLOCKED_BY_CARDHOLDER", 203, "Decline - The cardholder has stopped payments to the merchant."
    ),
    Reason.PAYMENT_REFUSED: _declined("PAYMENT_REFUSED", 203, "Decline - The payment was refused."),
    Reason.INVALID_ACCOUNT: _declined("INVALID_ACCOUNT", 231, "Decline - Invalid account number"),
    Reason.PROCESSOR_REFUSED: _declined("GENERAL_DECLINE", 233, "Decline - General decline by the processor."),
    Reason.PROCESSOR_ERROR: _declined("PROCESSOR_ERROR", 236, "Decline - Processor failure."),
    Reason.PIN_TRIES_EXCEEDED: _declined(
        "ALLOWABLE_PIN_RETRIES_EXCEEDED", 203, "Decline - The allowable number of PIN tries was exceeded."
    ),
    Reason.AUTHENTICATION_REQUIRED: _declined(
        "CUSTOMER_AUTHENTICATION_REQUIRED", 478, "Decline - The issuing bank asks for cardholder authentication."
    ),
    Reason.AUTHENTICATION_FAILED: _declined("CONSUMER_AUTHENTICATION_FAILED", 476, _NOT_AUTHENTICATED),
    Reason.DECLINED_CAPTURE_POSSIBLE: _declined(
        "AUTH_DECLINE_CAPTURE_POSSIBLE",
        203,
        "Authorization Declined. Follow-on Capture can be processed.",
    ),
    Reason.RISK_REJECT: _declined("DECISION_PROFILE_REJECT", 481, "The order has been rejected by Decision Manager"),
    Reason.RISK_SCORE: _declined("SCORE_EXCEEDS_THRESHOLD", 400, "Decline - Fraud score exceeds threshold."),
    Reason.WATCHLIST_MATCH: _declined(
        "CUSTOMER_WATCHLIST_MATCH", 700, "Decline - The customer matched an entry on an export watch list."
    ),
    Reason.AVS_FAILED: _declined("AVS_FAILED", 200, _AVS),
    Reason.CVN_FAILED: _declined("CV_FAILED", 230, _CVN),
    Reason.RISK_REVIEW: _declined("DECISION_PROFILE_REVIEW", 480, "The order is marked for review by Decision Manager"),
    Reason.SYSTEM_ERROR: SYSTEM_ERROR,
    Reason.UNREACHABLE: SYSTEM_ERROR,
    Reason.TIMEOUT: SERVER_TIMEOUT,
}
"""Reason of a declined operation to the word for it."""

REVIEWS: Final[Mapping[Reason, str]] = {
    Reason.AVS_FAILED: "AUTHORIZED_PENDING_REVIEW",
    Reason.CVN_FAILED: "AUTHORIZED_PENDING_REVIEW",
    Reason.ISSUER_REFERRAL: "AUTHORIZED_PENDING_REVIEW",
    Reason.RISK_REVIEW: "AUTHORIZED_PENDING_REVIEW",
    Reason.RISK_REJECT: "AUTHORIZED_RISK_DECLINED",
    Reason.RISK_SCORE: "AUTHORIZED_RISK_DECLINED",
}
"""Reason of an approval that somebody should look at to its `status`."""

FAILURES: Final[Mapping[Reason, Word]] = {
    Reason.SYSTEM_ERROR: SYSTEM_ERROR,
    Reason.UNREACHABLE: SYSTEM_ERROR,
    Reason.TIMEOUT: SERVER_TIMEOUT,
    Reason.PROCESSOR_ERROR: Word(400, "INVALID_REQUEST", "PROCESSOR_UNAVAILABLE", 236, "Decline - Processor failure."),
}
"""Reason of an operation that certainly did nothing to the word for it."""
_KNOW_NO_FAILURE: Final = frozenset({Operation.CAPTURE, Operation.VOID, Operation.REFUND, Operation.CREDIT})
"""Operations whose public list of 400 reasons has none for a processor's failure."""


def _refused(reason: str, numeric: int, message: str) -> Word:
    return Word(400, "INVALID_REQUEST", reason, numeric, message)


_NOT_VOIDABLE: Final = (
    "Decline - The capture or credit is not voidable because the capture or credit information has already been "
    "submitted to your processor. Or, you requested a void for a type of transaction that cannot be voided."
)
_EXCEEDS: Final = (
    "Decline - The requested amount exceeds the originally authorized amount. Occurs, for example, if you try to "
    "capture an amount larger than the original authorization amount."
)
_MISSING_AUTH: Final = _refused("MISSING_AUTH", 242, "Decline - The request ID is invalid.")
_AMOUNT: Final = _refused(
    "INVALID_AMOUNT", 239, "Decline - The requested transaction amount must match the previous transaction amount."
)
_SETTLED: Final = _refused("TRANSACTION_ALREADY_SETTLED", 238, "Decline - The transaction has already been settled.")
NOT_SUPPORTED: Final = _refused(
    "NOT_SUPPORTED", 102, "Declined - The requested service is not supported for this transaction."
)

REFUSALS: Final[Mapping[Refusal, Word]] = {
    Refusal.NOT_FOUND: INVALID_DATA,
    Refusal.WRONG_KIND: INVALID_DATA,
    Refusal.NOT_SUPPORTED: NOT_SUPPORTED,
    Refusal.HOLDS_NOTHING: _MISSING_AUTH,
    Refusal.BRAND_NOT_ACCEPTED: _refused(
        "CARD_TYPE_NOT_ACCEPTED", 232, "Decline - The card type is not accepted by the payment processor."
    ),
    Refusal.CURRENCY_MISMATCH: INVALID_DATA,
    Refusal.OTHER_CARD: INVALID_DATA,
    Refusal.AMOUNT_NOT_POSITIVE: INVALID_DATA,
    Refusal.NOT_APPROVED: _MISSING_AUTH,
    Refusal.STILL_OPEN: _MISSING_AUTH,
    Refusal.ALREADY_REVERSED: _refused(
        "AUTH_ALREADY_REVERSED", 237, "Decline - The authorization has already been reversed."
    ),
    Refusal.ALREADY_VOIDED: _MISSING_AUTH,
    Refusal.CAPTURE_VOIDED: _refused(
        "CAPTURE_ALREADY_VOIDED", 247, "Decline - You requested a credit for a capture that was previously voided."
    ),
    Refusal.ALREADY_SETTLED: _SETTLED,
    Refusal.ALREADY_CAPTURED: _refused("EXCEEDS_AUTH_AMOUNT", 235, _EXCEEDS),
    Refusal.REVERSED_OR_SETTLED: _refused(
        "TRANSACTION_ALREADY_REVERSED_OR_SETTLED",
        243,
        "Decline - The transaction has already been settled or reversed.",
    ),
    Refusal.NOT_CAPTURED: INVALID_DATA,
    Refusal.EXPIRED: _MISSING_AUTH,
    Refusal.TOO_LATE: INVALID_DATA,
    Refusal.NOT_VOIDABLE: _refused("NOT_VOIDABLE", 246, _NOT_VOIDABLE),
    Refusal.EXCEEDS_AUTHORIZATION: _refused("EXCEEDS_AUTH_AMOUNT", 235, _EXCEEDS),
    Refusal.EXCEEDS_HOLD: _AMOUNT,
    Refusal.EXCEEDS_CAPTURE: _AMOUNT,
    Refusal.AMOUNT_MUST_MATCH: _AMOUNT,
    Refusal.TOO_MANY_INCREMENTS: INVALID_DATA,
    Refusal.DUPLICATE_TRANSACTION_ID: _refused(
        "DUPLICATE_REQUEST",
        105,
        "Declined - Merchant transaction identifier (MTI) sent with this request has already been used in the past "
        "60 days.",
    ),
    Refusal.DUPLICATE_REFERENCE: _refused(
        "DUPLICATE_REQUEST",
        104,
        "Declined - The merchantReferenceCode sent with this authorization request matches the merchantReferenceCode "
        "of another authorization request that you sent in the last 15 minutes.",
    ),
    Refusal.IN_PROGRESS: Word(
        409,
        "INVALID_REQUEST",
        "DUPLICATE_REQUEST",
        104,
        "Declined - The first request with this idempotency key has not ended yet.",
    ),
    Refusal.OUTCOME_UNKNOWN: SERVER_TIMEOUT,
    Refusal.REPEATED: Word(
        401,
        "UNAUTHORIZED",
        "DUPLICATE_REQUEST",
        104,
        "Declined - This signed request was sent before.",
    ),
    Refusal.TRANSIENT_SPENT: INVALID_DATA,
    Refusal.TRANSIENT_UNKNOWN: INVALID_DATA,
    Refusal.AUTHENTICATION_SPENT: INVALID_DATA,
    Refusal.AUTHENTICATION_UNKNOWN: INVALID_DATA,
    Refusal.AUTHENTICATION_OTHER: INVALID_DATA,
    Refusal.KEY_REUSED: Word(
        400,
        "INVALID_REQUEST",
        "DUPLICATE_REQUEST",
        104,
        "Declined - The idempotency key was used before for another request.",
    ),
}
"""Refusal to the word for it."""

_NO_PAYMENT: Final = _refused(
    "INVALID_PAYMENT_ID", 241, "Decline - The referenced request id is invalid for all follow-on transactions."
)
REFUSALS_OF: Final[Mapping[tuple[Operation, Refusal], Word]] = {
    (Operation.REFUND, Refusal.NOT_APPROVED): INVALID_DATA,
    (Operation.REFUND, Refusal.STILL_OPEN): INVALID_DATA,
    (Operation.INCREMENT, Refusal.NOT_APPROVED): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.STILL_OPEN): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.ALREADY_REVERSED): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.ALREADY_VOIDED): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.ALREADY_SETTLED): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.ALREADY_CAPTURED): _NO_PAYMENT,
    (Operation.INCREMENT, Refusal.EXPIRED): _NO_PAYMENT,
}
"""Where one operation has another word than the rest: each lists its own in the public reference."""

INVALID_CARD_TYPE: Final = _refused(
    "INVALID_CARD_TYPE",
    240,
    "Decline - The card type sent is invalid or does not correlate with the credit card number.",
)


def of_refusal(operation: Operation, refusal: Refusal) -> Word:
    """The word for a refusal of an operation."""
    return REFUSALS_OF.get((operation, refusal)) or REFUSALS[refusal]


def of_failure(operation: Operation, reason: Reason | None) -> Word:
    """The word for an operation that certainly did nothing."""
    word = FAILURES.get(reason or Reason.SYSTEM_ERROR, SYSTEM_ERROR)
    return SYSTEM_ERROR if word.http == 400 and operation in _KNOW_NO_FAILURE else word
