"""What a handler of recurring billing is called with, and what it tells. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai.dialects.cybersource.recurring import Trouble
from kessai.payment.merchant import Merchant

MOST_RACES: Final = 32
"""How often a change that lost a race is decided again."""


class Call(Struct, frozen=True):
    """A verified request: who, when in its merchant's business time, the resource in its path, and a new id."""

    merchant: Merchant
    now: datetime
    identifier: int
    query: Mapping[str, str]
    document: Mapping[str, object]
    new_id: int
    is_again: bool = False
    """Whether the same request is under way, or was when its process ended: its resource may be there."""


Told = dict[str, object] | Trouble
