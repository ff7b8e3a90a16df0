"""Seeds: the tokens that the public samples name, for merchants of the sandbox, so that those run as they are printed.

Planted once, when a merchant is new: what its owner deletes stays deleted. Every number is a published test number.
"""

from contextlib import suppress
from typing import Any, Final, NamedTuple

from kessai.dialects.cybersource import token_requests as read
from kessai.payment.merchant import Merchant
from kessai.storage.database import Database, DatabaseError
from kessai.storage.tokens import WriteTokens, commit
from kessai.tokenizer import Tokenizer
from kessai.tokens import rules
from kessai.tokens.objects import Customer, InstrumentIdentifier, Missing, PaymentInstrument, ShippingAddress
from kessai.tokens.rules import Changes

PERSONALITY: Final = "sandbox"
CARD: Final = "7010000000016241111"
ACCOUNT: Final = "A7A91A2CA872B272E05340588D0A0699"
FIRST_CUSTOMER: Final = "AB695DA801DD1BB6E05341588E0A3BDC"
FIRST_INSTRUMENT: Final = "AB6A54B982A6FCB6E05341588E0A3935"
FIRST_ADDRESS: Final = "AB6A54B97C00FCB6E05341588E0A3935"
OTHER_CUSTOMERS: Final = (
    "7500BB199B4270EFE05340588D0AFCAD",
    "C24F5921EB870D99E053AF598E0A4105",
    "E5426CFDE77F7390E053A2598D0A925D",
)
LONE: Final = ("888454C31FB6150CE05340588D0AA9BE", "E5427539180789D0E053A2598D0AF053")
LEGACY: Final = "AB7C01E66529EA42E05341588E0A22AD"
"""What samples pay with as a token of an older interface; here it is a lone payment instrument."""

DOCUMENTED: Final = {
    "customer": "F45FB3E443AC3C57E053A2598D0A9CFF",
    "instrument": "F45FC6785E3C31A2E053A2598D0A5346",
    "address": "F45FB3E443AF3C57E053A2598D0A9CFF",
    "number": "7030000000014911515",
}
"""What the documented credit to a customer's token names, and what its answer shows. Its card's number is published
nowhere: this one has the last four digits of its token, and is nobody's."""

_NUMBERS: Final[dict[str, dict[str, object]]] = {
    CARD: {"card": {"number": "4111111111111111"}},
    DOCUMENTED["number"]: {"card": {"number": "4111111100081515"}},
    ACCOUNT: {"bankAccount": {"number": "4100", "routingNumber": "071923284"}},
}
_PERSON: Final = {
    "firstName": "John",
    "lastName": "Doe",
    "company": "Kessai",
    "address1": "1 Market St",
    "locality": "San Francisco",
    "administrativeArea": "CA",
    "postalCode": "94105",
    "country": "US",
    "email": "test@example.com",
    "phoneNumber": "4158880000",
}
_CUSTOMER: Final[dict[str, Any]] = {
    "buyerInformation": {"merchantCustomerID": "Your customer identifier", "email": "test@example.com"},
    "clientReferenceInformation": {"code": "TC50171_3"},
}
_INSTRUMENT: Final[dict[str, Any]] = {
    "card": {"expirationMonth": "12", "expirationYear": "2031", "type": "001"},
    "billTo": _PERSON,
}
_EXPIRY: Final = "2031-12"


class _Known(NamedTuple):
    """What of a customer has a published id; an empty one is given a new id."""

    number: str
    instrument: str = ""
    address: str = ""


_KNOWN: Final = {
    FIRST_CUSTOMER: _Known(CARD, FIRST_INSTRUMENT, FIRST_ADDRESS),
    DOCUMENTED["customer"]: _Known(DOCUMENTED["number"], DOCUMENTED["instrument"], DOCUMENTED["address"]),
}


async def plant(tokenizer: Tokenizer, database: Database, merchant: Merchant) -> None:
    """Give a merchant of the sandbox its tokens, unless it has, or had, them."""
    if merchant.personality != PERSONALITY:
        return
    if await tokenizer.tokens.instrument_identifier(merchant.id, CARD) is not Missing.UNKNOWN:
        return
    # Another process may be planting too, or the merchant may have stored one of the numbers: then this one does not.
    # Nor is a merchant lost, with the secret that is shown once, because its samples could not be written.
    with suppress(DatabaseError):
        changes = await _changes(tokenizer, merchant.id)
        await commit(database, WriteTokens(merchant_id=merchant.id, changes=changes))


async def _changes(tokenizer: Tokenizer, merchant_id: str) -> Changes:
    numbers = tuple([await _number(tokenizer, merchant_id, each) for each in _NUMBERS])
    changes = Changes(numbers)
    for customer_id in (FIRST_CUSTOMER, DOCUMENTED["customer"], *OTHER_CUSTOMERS):
        known = _KNOWN.get(customer_id, _Known(CARD))
        customer = Customer(id=customer_id, made=tokenizer.new_id(), document=_CUSTOMER)
        instrument = PaymentInstrument(
            id=known.instrument or tokenizer.opaque(),
            made=tokenizer.new_id(),
            customer=customer_id,
            instrument=known.number,
            document=_INSTRUMENT,
            expiry=_EXPIRY,
        )
        address = ShippingAddress(
            id=known.address or tokenizer.opaque(),
            made=tokenizer.new_id(),
            customer=customer_id,
            document={"shipTo": _PERSON},
        )
        changes = changes.also(Changes((customer,)))
        changes = changes.also(rules.add(instrument, customer, None)[1]).also(rules.add(address, customer, None)[1])
    for lone_id in (*LONE, LEGACY):
        lone = PaymentInstrument(
            id=lone_id, made=tokenizer.new_id(), instrument=CARD, document=_INSTRUMENT, expiry=_EXPIRY
        )
        changes = changes.also(Changes((lone,)))
    return changes


async def _number(tokenizer: Tokenizer, merchant_id: str, token_id: str) -> InstrumentIdentifier:
    asked = read.identifier(_NUMBERS[token_id], is_test=True)
    assert isinstance(asked, read.Identifier)
    fingerprint = tokenizer.fingerprint(merchant_id, asked.number, asked.routing_number)
    return InstrumentIdentifier(
        id=token_id,
        made=tokenizer.new_id(),
        document=asked.document,
        fingerprint=fingerprint,
        sealed=await tokenizer.seal(merchant_id, token_id, asked.number),
    )
