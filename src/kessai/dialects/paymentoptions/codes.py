"""Codes of this wire as tables: what is said of an outcome, a refusal, a broken rule, and in which number. Pure.

`INFO` and `ERR3001` to `ERR3020` are the documents'. The other `ERR` codes are ours, since no document has any: the
acquirer's number in four digits where an acquirer or issuer spoke, and from `ERR4001` on where the gateway refuses.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from kessai.dialects.paymentoptions.acquirer_codes import ACQUIRER
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation, Reason, Refusal
from kessai.payment.risk import Rule


class Said(NamedTuple):
    """`gateway_response`, the number of `payment_details.response_code`, and the HTTP status."""

    code: str
    response_code: int
    message: str
    status: int = 201

    @property
    def type(self) -> str:
        return "INFO" if self.code[0] == "I" else "VALIDATION" if self.code[0] == "V" else "ERROR"


# ---- what went well

PAID: Final = Said("INFO0000", 0, "Payment Successful.")
CAPTURED: Final = Said("INFO0001", 0, "Amount successfully captured.")
REFUNDED: Final = Said("INFO0002", 0, "Amount successfully refunded.")
CANCELLED: Final = Said("INFO0003", 0, "Authorization Successfully Cancelled.")
SUBSCRIPTION_UPDATED: Final = Said("INFO3000", 0, "Subscription Updated.", 200)
SUCCESSES: Final[Mapping[Operation, Said]] = {
    Operation.AUTHORIZE: PAID,
    Operation.SALE: PAID,
    Operation.INCREMENT: PAID,
    Operation.CREDIT: REFUNDED,
    Operation.CAPTURE: CAPTURED,
    Operation.REFUND: REFUNDED,
    Operation.VOID: CANCELLED,
    Operation.REVERSAL: CANCELLED,
    Operation.EXPIRE: CANCELLED,
}
TYPES: Final[Mapping[Operation, str]] = {
    Operation.AUTHORIZE: "PRE_AUTH",
    Operation.SALE: "CAPTURE",
    Operation.INCREMENT: "PRE_AUTH",
    Operation.CREDIT: "REFUND",
    Operation.CAPTURE: "CAPTURE",
    Operation.REFUND: "REFUND",
    Operation.VOID: "VOID",
    Operation.REVERSAL: "VOID",
    Operation.EXPIRE: "VOID",
}
"""Operation to `transaction_type`."""
DESCRIPTION: Final = "The transaction was completed successfully."
"""`responseDescription` of a transaction that went well."""

# ---- what an acquirer or issuer said

REASONS: Final[Mapping[Reason, int]] = {
    Reason.AVS_FAILED: 5,
    Reason.CVN_FAILED: 82,
    Reason.ISSUER_REFERRAL: 1,
    Reason.EXPIRED_CARD: 54,
    Reason.GENERAL_DECLINE: 5,
    Reason.PROCESSOR_REFUSED: 12,
    Reason.INSUFFICIENT_FUNDS: 51,
    Reason.STOLEN_OR_LOST: 41,
    Reason.ISSUER_UNAVAILABLE: 91,
    Reason.CARD_NOT_PERMITTED: 57,
    Reason.CVN_MISMATCH: 82,
    Reason.OVER_LIMIT: 61,
    Reason.INVALID_CVN: 835,
    Reason.ON_NEGATIVE_LIST: 62,
    Reason.CHECK_DECLINED: 5,
    Reason.ACCOUNT_NOT_VERIFIED: 14,
    Reason.ACCOUNT_FROZEN: 62,
    Reason.BLOCKED_BY_CARDHOLDER: 972,
    Reason.PAYMENT_REFUSED: 5,
    Reason.INVALID_ACCOUNT: 14,
    Reason.PROCESSOR_ERROR: 6,
    Reason.PIN_TRIES_EXCEEDED: 75,
    Reason.AUTHENTICATION_REQUIRED: 65,
    Reason.AUTHENTICATION_FAILED: 937,
    Reason.DECLINED_CAPTURE_POSSIBLE: 1,
    Reason.RISK_REVIEW: 5,
    Reason.RISK_REJECT: 5,
    Reason.RISK_SCORE: 5,
    Reason.WATCHLIST_MATCH: 62,
    Reason.SYSTEM_ERROR: 96,
    Reason.TIMEOUT: 68,
    Reason.UNREACHABLE: 92,
}
"""Why it went wrong, to the acquirer code."""


def of_acquirer(response_code: int, status: int = 201) -> Said:
    """What is said of an acquirer code that is no success."""
    return Said(f"ERR{response_code:04d}", response_code, ACQUIRER[response_code], status)


# ---- risk rules

_RESTRICTED: Final = "Transaction is restricted"
_RANGE: Final = "Amount is outside the allowed range"
_DECLINE: Final = "Risk rule decline"
_BALANCE: Final = "Insufficient refund balance"
RISK: Final[Mapping[Rule, Said]] = {
    Rule.BILLING_COUNTRY: Said("ERR3001", -8000, _RESTRICTED, 412),
    Rule.IP: Said("ERR3002", -8001, _RESTRICTED, 412),
    Rule.BIN: Said("ERR3003", -8002, _RESTRICTED, 412),
    Rule.PAN: Said("ERR3004", -8003, _RESTRICTED, 412),
    Rule.ISSUING_COUNTRY: Said("ERR3005", -8004, _RESTRICTED, 412),
    Rule.AMOUNT: Said("ERR3006", -8005, _RANGE, 412),
    Rule.SUBSCRIPTION_IP: Said("ERR3007", -8007, _RESTRICTED, 412),
    Rule.CARD_MINUTES: Said("ERR3008", -8008, _RESTRICTED, 412),
    Rule.CARD_HOURS: Said("ERR3009", -8009, _DECLINE, 412),
    Rule.CARD_DAYS: Said("ERR3010", -8010, _DECLINE, 412),
    Rule.CARD_MONTHS: Said("ERR3011", -8011, _DECLINE, 412),
    Rule.IP_MINUTES: Said("ERR3012", -8012, _DECLINE, 412),
    Rule.IP_HOURS: Said("ERR3013", -8013, _DECLINE, 412),
    Rule.IP_DAYS: Said("ERR3014", -8014, _DECLINE, 412),
    Rule.IP_MONTHS: Said("ERR3015", -8015, _DECLINE, 412),
    Rule.SUBSCRIPTION_AMOUNT: Said("ERR3016", -8006, _RANGE, 412),
    Rule.SUBSCRIPTION_BIN: Said("ERR3018", -8018, _RESTRICTED, 412),
    Rule.REFUND_BALANCE: Said("ERR3019", -8019, _BALANCE, 412),
    Rule.REFUND_VOLUME: Said("ERR3020", -8020, _BALANCE, 412),
}
"""Which rule is which of the documents' numbers. The documents name levels (entity, product) and no conditions: the
conditions are ours, and `ERR3017` is given by none of them."""

# ---- what the gateway refuses

NOT_FOUND: Final = Said("ERR4001", 25, "Transaction not found.", 404)
NO_TOKEN: Final = Said("ERR4002", 25, "Stored payment method not found.", 404)
NO_SUBSCRIPTION: Final = Said("ERR4003", 25, "Subscription not found.", 404)
NO_ROUTE: Final = Said("ERR4004", 25, "Resource not found.", 404)
UNAUTHORIZED: Final = Said("ERR4010", -1, "Unauthorized.", 401)
WRONG_STATE: Final = Said("ERR4121", 12, "The operation does not apply to this transaction.", 412)
NOT_CAPTURED: Final = Said("ERR4122", 12, "Nothing was captured that could be refunded.", 412)
ALREADY_CAPTURED: Final = Said("ERR4123", 12, "The authorization has already been captured.", 412)
ALREADY_CANCELLED: Final = Said("ERR4124", 79, "The authorization has already been cancelled.", 412)
EXPIRED: Final = Said("ERR4125", 12, "The authorization has expired.", 412)
OVER_AUTHORIZATION: Final = Said("ERR4126", 836, "The amount exceeds the authorized amount.", 412)
STILL_OPEN: Final = Said("ERR4127", 68, "The outcome of the transaction is not known yet.", 412)
NOT_APPROVED: Final = Said("ERR4128", 12, "The transaction was not approved.", 412)
NOT_SUPPORTED: Final = Said("ERR4129", 58, "The acquirer does not offer this.", 412)
TOO_LATE: Final = Said("ERR4130", 12, "The transaction is too old for this operation.", 412)
REPEATED: Final = Said("ERR4131", 12, "The reference was used before.", 412)
KEY_REUSED: Final = Said("ERR4133", -1, "The idempotency key was used for another request.", 412)
IN_PROGRESS: Final = Said("ERR4134", -1, "The first request with this idempotency key has not ended yet.", 412)
SUBSCRIPTION_STATE: Final = Said("ERR4132", 12, "The subscription cannot be changed in its present state.", 412)
BUSY: Final = Said("ERR5001", -1, "Nothing was done; try again.", 503)
INTERNAL: Final = Said("ERR5000", -1, "Internal error.", 500)
OUTCOME_UNKNOWN: Final = Said("ERR0068", 68, ACQUIRER[68], 504)

REFUSALS: Final[Mapping[Refusal, Said]] = {
    **dict.fromkeys(Refusal, WRONG_STATE),
    Refusal.NOT_FOUND: NOT_FOUND,
    Refusal.NOT_SUPPORTED: NOT_SUPPORTED,
    Refusal.BRAND_NOT_ACCEPTED: NOT_SUPPORTED,
    Refusal.NOT_APPROVED: NOT_APPROVED,
    Refusal.STILL_OPEN: STILL_OPEN,
    Refusal.ALREADY_REVERSED: ALREADY_CANCELLED,
    Refusal.ALREADY_CAPTURED: ALREADY_CAPTURED,
    Refusal.ALREADY_SETTLED: ALREADY_CAPTURED,
    Refusal.ALREADY_VOIDED: ALREADY_CAPTURED,
    Refusal.NOT_CAPTURED: NOT_CAPTURED,
    Refusal.CAPTURE_VOIDED: NOT_CAPTURED,
    Refusal.EXPIRED: EXPIRED,
    Refusal.TOO_LATE: TOO_LATE,
    Refusal.EXCEEDS_AUTHORIZATION: OVER_AUTHORIZATION,
    Refusal.EXCEEDS_HOLD: OVER_AUTHORIZATION,
    Refusal.EXCEEDS_CAPTURE: RISK[Rule.REFUND_BALANCE],
    Refusal.KEY_REUSED: KEY_REUSED,
    Refusal.IN_PROGRESS: IN_PROGRESS,
    Refusal.OUTCOME_UNKNOWN: OUTCOME_UNKNOWN,
    Refusal.DUPLICATE_REFERENCE: REPEATED,
    Refusal.DUPLICATE_TRANSACTION_ID: REPEATED,
}
"""Why an operation is not started."""

# ---- what is wrong with a request

MALFORMED: Final = "VAL0001"
MISSING: Final = "VAL0002"
TOO_LONG: Final = "VAL0003"
INVALID: Final = "VAL0004"
INVALID_CARD: Final = "VAL0005"
VALIDATIONS: Final[Mapping[str, tuple[int, str]]] = {
    MALFORMED: (400, "The body is not one JSON object in UTF-8."),
    MISSING: (400, "`{}` is required."),
    TOO_LONG: (400, "`{}` is too long."),
    INVALID: (400, "`{}` is not valid."),
    INVALID_CARD: (406, "`{}` is not a valid card's."),
}
"""Code to HTTP status and message; `{}` is the member by its path."""

OPTION_FIELDS: Final[Mapping[str, int]] = {
    "amount": 591,
    "bonuses": 593,
    "bonus_month": 594,
    "bonus_amount": 595,
    "first_month": 596,
    "installments": 597,
    "method": 601,
    "preapproval_type": 600,
    "terminal_id": 629,
    "names": 600,
    "currency": 591,
    "card": 577,
}
"""What is wrong with a Japanese payment option, by its neutral name, to the acquirer code that knows it."""

# ---- card brands

SCHEMES: Final[Mapping[Brand, tuple[str, str]]] = {
    Brand.VISA: ("VISA", "VISA-SSL"),
    Brand.MASTERCARD: ("MASTERCARD", "ECMC-SSL"),
    Brand.AMEX: ("AMEX", "AMEX-SSL"),
    Brand.JCB: ("JCB", "JCB-SSL"),
    Brand.DINERS: ("DINERS", "DINERS-SSL"),
    Brand.DISCOVER: ("DISCOVER", "DISCOVER-SSL"),
    Brand.MAESTRO: ("MAESTRO", "MAESTRO-SSL"),
    Brand.UNIONPAY: ("UNIONPAY", "CHINAUNIONPAY-SSL"),
}
"""Brand to `scheme` and `payment_method`."""
UNKNOWN_SCHEME: Final = ("CARD", "CARD-SSL")
TEST_PREFIXES: Final[Mapping[str, Brand]] = {"3337": Brand.JCB, "3338": Brand.JCB}
"""Prefixes of the networks' 3-D Secure test cards that lie outside of their brand's ranges."""
