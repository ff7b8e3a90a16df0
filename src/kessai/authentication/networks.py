"""What each card network calls an authentication: indicators by brand and result, as a table. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from kessai.authentication.issuer import Status
from kessai.payment.card import Brand


class Said(NamedTuple):
    """Electronic commerce indicator, and the word that payments carry for it."""

    eci: str
    indicator: str


class Network(NamedTuple):
    """What a network says of an authenticated, an attempted and an unproven payment."""

    authenticated: Said
    attempted: Said
    unproven: Said


NETWORKS: Final[Mapping[Brand, Network]] = {
    Brand.VISA: Network(Said("05", "vbv"), Said("06", "vbv_attempted"), Said("07", "vbv_failure")),
    Brand.MASTERCARD: Network(Said("02", "spa"), Said("01", "spa"), Said("00", "spa_failure")),
    Brand.AMEX: Network(Said("05", "aesk"), Said("06", "aesk_attempted"), Said("07", "internet")),
    Brand.JCB: Network(Said("05", "js"), Said("06", "js_attempted"), Said("07", "js_failure")),
    Brand.DINERS: Network(Said("05", "pb"), Said("06", "pb_attempted"), Said("07", "internet")),
    Brand.DISCOVER: Network(Said("05", "dipb"), Said("06", "dipb_attempted"), Said("07", "internet")),
    Brand.UNIONPAY: Network(Said("05", "up3ds"), Said("06", "up3ds_attempted"), Said("07", "up3ds_failure")),
}
"""Brands that have a programme of their own."""
_OTHERS: Final = Network(Said("05", "internet"), Said("06", "internet"), Said("07", "internet"))


def said_by(brand: Brand | None, status: Status) -> Said:
    """What a payment with a card of a brand carries after an authentication."""
    network = NETWORKS.get(brand, _OTHERS) if brand is not None else _OTHERS
    match status:
        case Status.AUTHENTICATED:
            return network.authenticated
        case Status.ATTEMPTED:
            return network.attempted
        case _:
            return network.unproven
