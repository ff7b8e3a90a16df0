"""Billing addresses: what a card's payment needs of them. Pure."""

from typing import Final

from kessai.dialects.cybersource.findings import Findings
from kessai.dialects.document import text_of

ADDRESS: Final = ("firstName", "lastName", "address1", "locality", "country", "email")
ADDRESS_NORTH_AMERICA: Final = ("administrativeArea", "postalCode")
NO_ADDRESS: Final = (None,) * len(ADDRESS + ADDRESS_NORTH_AMERICA)
_NORTH_AMERICA: Final = frozenset({"US", "CA", "USA", "CAN"})


def address_in(found: object) -> tuple[object, ...]:
    """The members of a billing address that may be needed; None for what says nothing."""
    if not isinstance(found, dict):
        return NO_ADDRESS
    return tuple([found.get(name) or None for name in (*ADDRESS, *ADDRESS_NORTH_AMERICA)])


def check_bill_to(address: tuple[object, ...], findings: Findings) -> None:
    """Everything that an address must have."""
    country = text_of(address[4]) or ""
    needed = (*ADDRESS, *ADDRESS_NORTH_AMERICA) if country.upper() in _NORTH_AMERICA else ADDRESS
    if None in address[: len(needed)]:
        for name, value in zip(needed, address, strict=False):
            if value is None:
                findings.missing(f"orderInformation.billTo.{name}")
