"""What the token family knows of its documents: members with their lengths, types of cards and accounts. Tables. Pure.

A document keeps what stands here and nothing else: no number, no security code has a row. Numbers are read apart.
"""

from collections.abc import Mapping
from typing import Final

from kessai.dialects.cybersource.members import Member, Place, compiled


def _rows(prefix: str, text: str) -> tuple[Member, ...]:
    """`name length` pairs below an object; `-` for a length that is not stated."""
    words = text.split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(Member(prefix + name, "text", None if most == "-" else int(most), "kept") for name, most in pairs)


_ADDRESS: Final = """
firstName 60 lastName 60 company 60 address1 60 address2 60 locality 50 administrativeArea 20 postalCode 10 country 2
email 255 phoneNumber 15
"""

CUSTOMER: Final = _rows(
    "",
    """
    objectInformation.title 60 objectInformation.comment 150
    buyerInformation.merchantCustomerID 100 buyerInformation.email 255
    clientReferenceInformation.code 50
    merchantDefinedInformation[].name 5 merchantDefinedInformation[].value 100
    """,
)
SHIPPING_ADDRESS: Final = _rows("shipTo.", _ADDRESS)
PAYMENT_INSTRUMENT: Final = (
    *_rows(
        "",
        """
        bankAccount.type 18
        card.expirationMonth 2 card.expirationYear 4 card.type 30 card.issueNumber 2 card.startMonth 2 card.startYear 4
        card.useAs 20 card.tokenizedInformation.requestorID 11 card.tokenizedInformation.transactionType 1
        buyerInformation.companyTaxID 9 buyerInformation.currency 3
        """,
    ),
    *_rows("billTo.", _ADDRESS),
    Member("processingInformation.billPaymentProgramEnabled", "boolean", None, "kept"),
    *_rows(
        "",
        """
        processingInformation.bankTransferOptions.SECCode 3
        merchantInformation.merchantDescriptor.alternateName 13
        """,
    ),
)
PREVIOUS_TRANSACTION: Final = (
    "processingInformation.authorizationOptions.initiator.merchantInitiatedTransaction.previousTransactionId"
)
INSTRUMENT_IDENTIFIER: Final = (
    *_rows("", "card.number 19 bankAccount.number 17 bankAccount.routingNumber 9"),
    *_rows("", f"{PREVIOUS_TRANSACTION} 15"),
)
"""Its numbers are kept masked: they are put into the document behind the reader's back."""

NETWORK_TOKEN: Final = _rows(
    "", "source 8 consumerId 36 accountReferenceId 36 card.expirationMonth 2 card.expirationYear 4 card.type 30"
)

MEMBERS: Final[Mapping[str, tuple[Member, ...]]] = {
    "customer": CUSTOMER,
    "payment instrument": PAYMENT_INSTRUMENT,
    "shipping address": SHIPPING_ADDRESS,
    "instrument identifier": INSTRUMENT_IDENTIFIER,
    "network token": NETWORK_TOKEN,
}
"""Every document that is kept, by its kind, for the reference page."""

PLACES: Final[Mapping[str, Place]] = {kind: compiled(rows) for kind, rows in MEMBERS.items()}

SPELLINGS: Final[Mapping[tuple[str, str], str]] = {
    ("buyerInformation", "merchantCustomerId"): "merchantCustomerID",
    ("buyerInformation", "companyTaxId"): "companyTaxID",
    ("bankTransferOptions", "secCode"): "SECCode",
    ("bankTransferOptions", "seccode"): "SECCode",
}
"""Object and member as some clients send it, to how it is called."""

CARD_WORDS: Final[Mapping[str, str]] = {
    "001": "visa",
    "002": "mastercard",
    "003": "american express",
    "004": "discover",
    "005": "diners club",
    "006": "carte blanche",
    "007": "jcb",
    "014": "enroute",
    "021": "jal",
    "024": "maestro uk domestic",
    "031": "delta",
    "033": "visa electron",
    "034": "dankort",
    "036": "carte bleue",
    "037": "carta si",
    "039": "encoded account",
    "040": "uatp",
    "042": "maestro international",
    "050": "hipercard",
    "051": "aura",
    "054": "elo",
    "060": "mada",
    "061": "rupay",
    "062": "china union pay",
    "067": "meeza",
    "070": "eftpos",
    "081": "jaywan",
}
"""Card type codes, as v2 has them, to the words of v1. Either is taken on both."""
CARD_CODES: Final[Mapping[str, str]] = {word: code for code, word in CARD_WORDS.items()}

ACCOUNT_TYPES: Final = frozenset({"checking", "savings", "corporate checking", "general ledger"})

PRESENTED_DATA: Final = frozenset({"data1", "data2", "data3", "data4"})
"""Names that merchant-defined data may have."""
