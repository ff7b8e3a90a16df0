"""How a sandbox's notifications go wrong on demand: once, on the first delivery. Pure.

They are asked for as scenarios of a payment are, and travel with its notice: `webhook-twice` and so on. Merchants'
handlers break on these, and seldom on anything else.
"""

from datetime import datetime, timedelta
from typing import Final

PREFIX: Final = "webhook-"
TWICE: Final = "twice"
LATE: Final = "late"
OUT_OF_ORDER: Final = "out-of-order"
WRONG_SIGNATURE: Final = "wrong-signature"
BY: Final = timedelta(seconds=10)
"""How late; what happens to the payment meanwhile comes behind a late one, and before one that is out of order."""


def first_try(trick: str, now: datetime) -> datetime:
    return now + BY if trick in (LATE, OUT_OF_ORDER) else now


def kept(trick: str) -> str:
    """What is kept of it with a delivery, until its first try."""
    return trick if trick in (TWICE, WRONG_SIGNATURE) else ""
