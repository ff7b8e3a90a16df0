"""What a notifier knows of deliveries that are under way. No I/O."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from kessai.storage.webhooks import Delivery, Tried


@dataclass(slots=True)
class Place:
    """One place to deliver to, as this process knows it."""

    flying: set[int] = field(default_factory=set)
    """Deliveries that were sent, until what became of them is written."""
    under_way: int = 0
    ready: deque[Delivery] = field(default_factory=deque)
    failures: int = 0
    not_before_s: float = 0.0


@dataclass(slots=True)
class Box:
    """The deliveries of one merchant, while this process is at them."""

    places: dict[str, Place] = field(default_factory=dict)
    tried: list[tuple[Place, Tried]] = field(default_factory=list)
    held_until_s: float = 0.0
    telling: asyncio.Task[None] | None = None
    """Makes deliveries of notices, beside what is under way: it reads much, and leaves payments most of the time."""

    @property
    def flying(self) -> int:
        return sum(len(place.flying) for place in self.places.values())

    @property
    def under_way(self) -> int:
        return sum(place.under_way for place in self.places.values())
