"""The model of plans and subscriptions (T-8): which period is due when, and what becomes of it. No code of ours.

Amounts are minor units of one currency. Each due date is counted from the start, and charged once.
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

RUNNING: Final = ("PENDING", "ACTIVE", "DELINQUENT")
ENDED: Final = ("FAILED", "COMPLETED", "CANCELLED")
RETRIES: Final = 1
RETRY_DAYS: Final = 1


def moved(instant: datetime, unit: str, count: int) -> datetime:
    """So many days, weeks or months later; what a month does not have becomes its last day."""
    if unit != "M":
        return instant + timedelta(days=count * {"D": 1, "W": 7}[unit])
    months = instant.month - 1 + count
    year, month = instant.year + months // 12, months % 12 + 1
    return instant.replace(year=year, month=month, day=min(instant.day, monthrange(year, month)[1]))


@dataclass(eq=False)
class Plan:
    id: str
    state: str
    minor: int
    unit: str
    cycles: int | None
    subscribed: bool = False
    alive: bool = True

    def turn(self, to: str) -> bool:
        """Activate or deactivate; False: it may not."""
        if self.state == to or (to == "INACTIVE" and self.state == "DRAFT"):
            return False
        self.state = to
        return True

    def delete(self) -> bool:
        if self.state != "DRAFT" and self.subscribed:
            return False
        self.alive = False
        return True


@dataclass(eq=False)
class Subscription:
    id: str
    customer: str
    starts: datetime
    minor: int
    unit: str
    cycles: int | None
    state: str = "PENDING"
    period: int = 1
    due: datetime | None = None
    retries: int = 0
    charges: list[tuple[int, str]] = field(default_factory=list)
    """Period and status, in order."""

    @property
    def paid(self) -> list[int]:
        return [period for period, status in self.charges if status == "PAID"]

    def due_of(self, period: int) -> datetime:
        return moved(self.starts, self.unit, period - 1)

    # ---- charging

    def work_off(self, now: datetime, has_card: Callable[[], bool], exhausted: str) -> int:
        """Everything that is due by now: how much of it is paid, in minor units."""
        taken = 0
        while self.state in RUNNING and self.due is not None and self.due <= now:
            taken += self.charge(now, exhausted, is_paid=has_card())
        return taken

    def charge(self, now: datetime, exhausted: str, *, is_paid: bool) -> int:
        self.charges.append((self.period, "PAID" if is_paid else "FAILED"))
        if is_paid:
            self._go_on()
            return self.minor
        if self.retries < RETRIES:
            self.state, self.retries, self.due = "DELINQUENT", self.retries + 1, now + timedelta(days=RETRY_DAYS)
        elif exhausted == "continue":
            self._go_on()
        else:
            self.state, self.due, self.retries = {"suspend": "SUSPENDED", "cancel": "CANCELLED"}[exhausted], None, 0
        return 0

    def _go_on(self) -> None:
        self.period, self.retries = self.period + 1, 0
        if self.cycles is not None and self.period > self.cycles:
            self.state, self.due = "COMPLETED", None
        else:
            self.state, self.due = "ACTIVE", self.due_of(self.period)

    # ---- what a merchant does with it; False: it may not

    def suspend(self) -> bool:
        if self.state not in RUNNING:
            return False
        self.state, self.due = "SUSPENDED", None
        return True

    def cancel(self) -> bool:
        if self.state in ENDED:
            return False
        self.state, self.due = "CANCELLED", None
        return True

    def activate(self, now: datetime, *, charge_missed: bool) -> bool:
        if self.state != "SUSPENDED":
            return False
        while not charge_missed and self.due_of(self.period) <= now:
            self.period += 1
            if self.cycles is not None and self.period > self.cycles:
                self.state, self.due = "COMPLETED", None
                return True
        self.state = "PENDING" if not self.paid and self.starts > now else "ACTIVE"
        self.due, self.retries = self.due_of(self.period), 0
        return True


class Club:
    """Everything of one merchant."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.subscriptions: list[Subscription] = []
