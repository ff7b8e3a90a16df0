"""Fields: what requests of this wire are read for, in the order of the public reference. Tables, codecs. Pure."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from kessai.dialects.document import has_bad_characters
from kessai.dialects.table import Codec, Field, Table, find, row, table
from kessai.payment.bank import AccountType
from kessai.payment.card import AccountNumber, Brand, Pan, SecurityCode
from kessai.payment.money import Currency

CARD_TYPES: Final[Mapping[str, Brand | None]] = {
    "001": Brand.VISA,
    "002": Brand.MASTERCARD,
    "003": Brand.AMEX,
    "004": Brand.DISCOVER,
    "005": Brand.DINERS,
    "006": None,
    "007": Brand.JCB,
    "014": None,
    "021": None,
    "024": Brand.MAESTRO_UK,
    "031": Brand.VISA,
    "033": Brand.VISA,
    "034": Brand.DANKORT,
    "036": Brand.CARTES_BANCAIRES,
    "037": None,
    "040": Brand.UATP,
    "042": Brand.MAESTRO,
    "043": None,
    "050": Brand.HIPERCARD,
    "054": Brand.ELO,
    "058": Brand.MASTERCARD,
    "060": Brand.MADA,
    "061": Brand.RUPAY,
    "062": Brand.UNIONPAY,
    "067": Brand.MEEZA,
    "070": Brand.EFTPOS,
}
"""Card type codes; None where a type has no brand of ours and any number goes with it."""
TYPE_OF_BRAND: Final[Mapping[Brand, str]] = {
    brand: code for code, brand in reversed(tuple(CARD_TYPES.items())) if brand is not None
}
CO_BADGED: Final = frozenset({Brand.CARTES_BANCAIRES, Brand.MADA, Brand.DANKORT, Brand.EFTPOS, Brand.ELO, Brand.MEEZA})
"""Brands that share their numbers with another: a type that names one of them fits any number."""


# ---- codecs: text to value, ValueError for a text that is none


def text(most: int) -> Codec:
    def codec(text: str) -> str:
        if len(text) > most or has_bad_characters(text):
            raise ValueError
        return text

    return codec


def _matching(pattern: str) -> Codec:
    compiled = re.compile(pattern, re.ASCII)

    def codec(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError
        return text

    return codec


def _flag(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1", "y", "yes"):
        return True
    if lowered in ("false", "0", "n", "no"):
        return False
    raise ValueError


def _count(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) is None:
        raise ValueError
    return int(text)


_MONTHS: Final = {text: number for number in range(1, 13) for text in (str(number), f"{number:02d}")}
_YEARS: Final = {str(year): year for year in range(2000, 2100)}


def _month(text: str) -> int:
    month = _MONTHS.get(text)
    if month is None:
        raise ValueError
    return month


def _year(text: str) -> int:
    year = _YEARS.get(text)
    if year is None:
        raise ValueError
    return year


def _card_type(text: str) -> str:
    if text not in CARD_TYPES:
        raise ValueError
    return text


ACCOUNT_TYPES: Final[Mapping[str, AccountType]] = {
    "C": AccountType.CHECKING,
    "S": AccountType.SAVINGS,
    "X": AccountType.CORPORATE,
    "G": AccountType.GENERAL_LEDGER,
}
"""Kinds of bank accounts by their codes."""
CODE_OF_ACCOUNT: Final[Mapping[AccountType, str]] = {kind: code for code, kind in ACCOUNT_TYPES.items()}


def _account_type(text: str) -> AccountType:
    kind = ACCOUNT_TYPES.get(text.upper())
    if kind is None:
        raise ValueError
    return kind


def _effective_date(text: str) -> date:
    if re.fullmatch(r"[0-9]{8}", text, re.ASCII) is None:
        raise ValueError
    return date(int(text[4:]), int(text[:2]), int(text[2:4]))


def _security_code(text: str) -> SecurityCode:
    if re.fullmatch(r"[0-9]{3,4}", text, re.ASCII) is None:
        raise ValueError
    return SecurityCode(text)


_AMOUNT: Final = _matching(r"[0-9]{1,12}(\.[0-9]{0,6})?")

# ---- tables, in the order of the public reference

_REFERENCE: Final[Table] = table(
    row("reference", text(59), "clientReferenceInformation.code"),
    row("merchant_transaction_id", text(30), "clientReferenceInformation.transactionId"),
)
_AMOUNTS: Final[Table] = table(
    row("amount", _AMOUNT, "orderInformation.amountDetails.totalAmount"),
    row("currency", Currency.of, "orderInformation.amountDetails.currency"),
)
_CARD: Final[Table] = table(
    row("pan", Pan, "paymentInformation.card.number", "paymentInformation.tokenizedCard.number"),
    row("month", _month, "paymentInformation.card.expirationMonth", "paymentInformation.tokenizedCard.expirationMonth"),
    row("year", _year, "paymentInformation.card.expirationYear", "paymentInformation.tokenizedCard.expirationYear"),
    row(
        "security_code",
        _security_code,
        "paymentInformation.card.securityCode",
        "paymentInformation.tokenizedCard.securityCode",
    ),
    row(
        "type",
        _card_type,
        "paymentInformation.card.type",
        "paymentInformation.card.cardType",
        "paymentInformation.tokenizedCard.type",
        "paymentInformation.tokenizedCard.cardType",
    ),
)
_PROCESSING: Final[Table] = table(
    row("capture", _flag, "processingInformation.capture"),
    row("commerce_indicator", text(20), "processingInformation.commerceIndicator"),
    row("industry", text(20), "processingInformation.industryDataType"),
    row("auth_type", text(15), "processingInformation.authorizationOptions.authType"),
    row("voice_code", text(7), "processingInformation.authorizationOptions.verbalAuthCode"),
    row("auth_indicator", _matching("[01]"), "processingInformation.authorizationOptions.authIndicator"),
    row("partial", _flag, "processingInformation.authorizationOptions.partialAuthIndicator"),
    row("ignore_avs", _flag, "processingInformation.authorizationOptions.ignoreAvsResult"),
    row("ignore_cvn", _flag, "processingInformation.authorizationOptions.ignoreCvResult"),
    row("initiator", text(20), "processingInformation.authorizationOptions.initiator.type"),
    row("entry_mode", text(11), "pointOfSaleInformation.entryMode"),
)
AUTHORIZATION: Final[Table] = table(*_REFERENCE, *_AMOUNTS, *_CARD, *_PROCESSING)
CREDIT: Final[Table] = table(
    *_REFERENCE,
    *_AMOUNTS,
    *_CARD,
    row("entry_mode", text(11), "pointOfSaleInformation.entryMode"),
)
CAPTURE: Final[Table] = table(
    *_REFERENCE,
    *_AMOUNTS,
    row("sequence", _count, "processingInformation.captureOptions.captureSequenceNumber"),
    row("count", _count, "processingInformation.captureOptions.totalCaptureCount"),
)
REFUND: Final[Table] = table(
    *_REFERENCE,
    *_AMOUNTS,
    row("pan", Pan, "paymentInformation.card.number"),
)
REVERSAL: Final[Table] = table(
    *_REFERENCE,
    row("amount", _AMOUNT, "reversalInformation.amountDetails.totalAmount"),
    row(
        "currency",
        Currency.of,
        "reversalInformation.amountDetails.currency",
        "orderInformation.amountDetails.currency",
    ),
    row("reason", text(30), "reversalInformation.reason"),
)
VOID: Final[Table] = _REFERENCE
INCREMENT: Final[Table] = table(
    *_REFERENCE,
    row(
        "amount",
        _AMOUNT,
        "orderInformation.amountDetails.additionalAmount",
        "orderInformation.amountDetails.totalAmount",
    ),
    row("currency", Currency.of, "orderInformation.amountDetails.currency"),
)
_TRANSFER: Final = "processingInformation.bankTransferOptions"
ECHECK: Final[Table] = table(
    *_REFERENCE,
    *_AMOUNTS,
    row("account", AccountNumber, "paymentInformation.bank.account.number"),
    row("account_type", _account_type, "paymentInformation.bank.account.type"),
    row("routing_number", _matching("[0-9]{8,9}"), "paymentInformation.bank.routingNumber"),
    row("sec_code", _matching("ARC|CCD|POP|PPD|TEL|WEB"), f"{_TRANSFER}.secCode", f"{_TRANSFER}.SECCode"),
    row("effective_date", _effective_date, f"{_TRANSFER}.effectiveDate"),
    row("payment_category", _matching("[012]"), f"{_TRANSFER}.paymentCategoryCode"),
    row("settlement_method", _matching("[ABF]"), f"{_TRANSFER}.settlementMethod"),
    row("screening_level", _matching("[12]"), f"{_TRANSFER}.fraudScreeningLevel"),
    row("customer_present", _matching("[1-4]"), f"{_TRANSFER}.customerPresent"),
)
"""An eCheck: a payment or credit that a bank account pays or gets."""
TABLES: Final[Mapping[str, Table]] = {
    "payment": AUTHORIZATION,
    "increment": INCREMENT,
    "capture": CAPTURE,
    "reversal": REVERSAL,
    "refund": REFUND,
    "credit": CREDIT,
    "echeck": ECHECK,
    "void": VOID,
}
"""Every request that is read, by its kind, for the reference page."""


def place_of(kind: str, name: str, document: Mapping[str, object]) -> str:
    """The path under which a document has a field of its kind; its public path where the document does not have it.

    `kind` is one of `TABLES`; any other is a payment. `name` is the neutral name of one of its rows.
    """
    field = next(field for field in TABLES.get(kind, AUTHORIZATION) if field.name == name)
    return ".".join(next((path for path in field.paths if find(document, path) is not None), field.paths[0]))


def rows() -> list[tuple[str, Field]]:
    """Every field that is read, with the kind of its request, for the reference page."""
    return [(kind, each) for kind, table in TABLES.items() for each in table]
