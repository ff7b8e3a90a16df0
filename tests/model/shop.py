"""The model (T-8): what a merchant's payments are and what may follow, in as few words as possible. No code of ours.

Amounts are minor units of one currency; `H`, `C` and `D` are what the books must say is held, captured and due. An
outcome that is unknown counts against what may follow as if it had succeeded, and is not in the books.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

APPROVED, DECLINED, UNKNOWN, FAILED = "approved", "declined", "unknown", "failed"
COUNTS: Final = (APPROVED, UNKNOWN)
HOLD_DAYS: Final = 1


@dataclass
class Move:
    """A sale, capture, refund, credit, void, reversal or hold: one transaction."""

    id: int
    kind: str
    minor: int
    status: str
    target: "Move | None" = None
    void: str = ""
    """The status of the void that acts upon it; empty where none does."""
    settled: bool = False
    by_gateway: bool = False

    @property
    def counts(self) -> bool:
        return self.status in COUNTS and self.void != APPROVED


@dataclass
class Paid:
    """A payment: its root, what followed, and what is left of its hold."""

    root: Move
    expires_at: datetime
    held: int = 0
    expired: bool = False
    moves: list[Move] = field(default_factory=list)

    @property
    def all(self) -> list[Move]:
        return [self.root, *self.moves]

    def of(self, kind: str, target: Move | None = None) -> list[Move]:
        return [m for m in self.moves if m.kind == kind and m.status in COUNTS and target in (None, m.target)]

    @property
    def captured(self) -> int:
        if self.root.kind == "sale":
            return self.root.minor if self.root.counts else 0
        return sum(m.minor for m in self.of("capture") if m.counts)

    def refunded(self, target: Move) -> int:
        return sum(m.minor for m in self.of("refund", target) if m.counts)

    @property
    def undoing(self) -> list[Move]:
        return [*self.of("reversal"), *self.of("void", self.root)]

    def standing(self, now: datetime) -> str:
        """What an authorization or sale looks like to whatever would follow it."""
        if self.root.status == UNKNOWN:
            if not self.undoing:
                return "unknown"
            return "undone by us" if all(m.by_gateway for m in self.undoing) else "reversed"
        if self.root.status != APPROVED:
            return "declined"
        if self.root.kind == "sale":
            return "voided" if self.root.void else "settled" if self.root.settled else "sale"
        if not self.held and self.captured:
            return "settled" if any(m.settled for m in self.of("capture")) else "captured"
        if not self.held:
            return "expired" if self.expired else "reversed"
        if now >= self.expires_at:
            return "expired"
        return "partly captured" if self.captured else "capture voided" if self.of("capture") else "authorized"


class Shop:
    """Everything of one merchant."""

    def __init__(self) -> None:
        self.payments: list[Paid] = []
        self.H = self.C = self.D = 0

    # ---- what is refused, by the name of the refusal; an empty text is none

    def refuse_capture(self, paid: Paid, minor: int, now: datetime) -> str:
        told = {
            "declined": "NOT_APPROVED",
            "unknown": "STILL_OPEN",
            "undone by us": "ALREADY_REVERSED",
            "reversed": "ALREADY_REVERSED",
            "settled": "ALREADY_SETTLED",
            "captured": "ALREADY_CAPTURED",
            "sale": "ALREADY_CAPTURED",
            "voided": "ALREADY_VOIDED",
            "capture voided": "ALREADY_VOIDED",
            "expired": "EXPIRED",
        }.get(paid.standing(now), "")
        return told or ("EXCEEDS_AUTHORIZATION" if minor > paid.held else "")

    def refuse_reversal(self, paid: Paid, minor: int, now: datetime) -> str:
        standing = paid.standing(now)
        told = {
            "declined": "NOT_APPROVED",
            "reversed": "ALREADY_REVERSED",
            "settled": "ALREADY_SETTLED",
            "captured": "REVERSED_OR_SETTLED",
            "sale": "REVERSED_OR_SETTLED",
            "voided": "REVERSED_OR_SETTLED",
            "expired": "REVERSED_OR_SETTLED",
        }.get(standing, "")
        is_whole = standing in ("unknown", "undone by us")
        return told or ("EXCEEDS_HOLD" if minor > paid.held and not is_whole else "")

    def refuse_refund(self, paid: Paid, target: Move, minor: int, now: datetime) -> str:
        if target is paid.root and (target.kind == "authorize" or target.status == UNKNOWN):
            return {
                "declined": "NOT_APPROVED",
                "unknown": "STILL_OPEN",
                "captured": "WRONG_KIND",
                "settled": "WRONG_KIND",
                "partly captured": "WRONG_KIND",
                "capture voided": "CAPTURE_VOIDED",
            }.get(paid.standing(now), "NOT_CAPTURED")
        if target.status == UNKNOWN and not target.void:
            return "STILL_OPEN"
        if target.status in (DECLINED, FAILED):
            return "NOT_APPROVED"
        if target.void:
            return "CAPTURE_VOIDED"
        return "EXCEEDS_CAPTURE" if minor > target.minor - paid.refunded(target) else ""

    def refuse_void(self, paid: Paid, target: Move, now: datetime) -> str:
        if target.kind == "authorize" or (target.kind == "sale" and target.status == UNKNOWN):
            may = paid.standing(now) in ("authorized", "unknown", "undone by us")
        else:
            may = target.status in COUNTS and not target.void and not target.settled
        return "" if may and not paid.refunded(target) else "NOT_VOIDABLE"

    # ---- what happens

    def begin(self, move: Move, now: datetime) -> None:
        paid = Paid(move, now + timedelta(days=HOLD_DAYS))
        self.payments.append(paid)
        if move.status == APPROVED:
            self._book(paid, move)
            paid.held = move.minor if move.kind == "authorize" else 0

    def follow(self, paid: Paid, move: Move) -> None:
        paid.moves.append(move)
        if move.status not in COUNTS:
            return
        on_a_hold = paid.root.kind == "authorize" and paid.root.status == APPROVED
        if on_a_hold and (move.kind in ("capture", "reversal") or (move.kind == "void" and move.target is paid.root)):
            paid.held -= move.minor
        if move.kind == "void" and move.target is not None:
            move.target.void = move.status
        if move.status == APPROVED:
            self._book(paid, move)
            self._give_back(paid, move)

    def _give_back(self, paid: Paid, void: Move) -> None:
        """The hold outlives a voided capture."""
        if void.kind == "void" and void.target is not None and void.target.kind == "capture":
            paid.held += void.target.minor

    def _book(self, paid: Paid, move: Move, sign: int = 1) -> None:
        on_a_hold = paid.root.kind == "authorize" and paid.root.status == APPROVED
        match move.kind:
            case "authorize":
                self.H += move.minor
            case "sale":
                self.C += sign * move.minor
            case "capture":
                self.C += sign * move.minor
                self.H -= sign * move.minor
            case "refund" | "credit":
                self.C -= sign * move.minor
            case "reversal" if on_a_hold:
                self.H -= move.minor
            case "void" if move.target is paid.root and on_a_hold:
                self.H -= move.minor
            case "void" if move.target is not None and move.target.status == APPROVED:
                self._book(paid, move.target, -1)

    def clean_up(self, paid: Paid) -> None:
        """What was unknown is settled: undone, where it was to hold money or its void succeeded; else it is done."""
        for move in paid.moves:
            if move.status == UNKNOWN and move.kind in ("void", "reversal"):
                move.status = APPROVED
                if move.kind == "void" and move.target is not None:
                    move.target.void = APPROVED
                self._book(paid, move)
                self._give_back(paid, move)
        for move in paid.all:
            if move.status == UNKNOWN and move.kind in ("capture", "refund", "credit"):
                move.status = FAILED if move.void else APPROVED
                if move.status == APPROVED:
                    self._book(paid, move)

    def expire(self, now: datetime) -> int:
        """How many holds lapse."""
        lapsing = [
            paid
            for paid in self.payments
            if paid.held and now >= paid.expires_at and not any(m.status == UNKNOWN for m in paid.all)
        ]
        for paid in lapsing:
            self.H -= paid.held
            paid.held, paid.expired = 0, True
        return len(lapsing)

    def settle(self) -> tuple[int, int, int]:
        """Captured, returned, and how many: what a cut collects."""
        due = [
            (paid, move)
            for paid in self.payments
            for move in paid.all
            if move.kind in ("sale", "capture", "refund", "credit")
            and (move.status, move.void, move.settled) == (APPROVED, "", False)
        ]
        for _, move in due:
            move.settled = True
        captured = sum(move.minor for _, move in due if move.kind in ("sale", "capture"))
        returned = sum(move.minor for _, move in due if move.kind in ("refund", "credit"))
        self.C -= captured - returned
        self.D += captured - returned
        return captured, returned, len(due)
