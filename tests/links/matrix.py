"""The faults F1 to F14 of the link to an acquirer, and what each must come to: the matrix as data."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kessai.payment.lifecycle import Status
from tests.links.faults import Fault, Line, Message, framed

HELD: Final = frozenset({"authorize", "sale"})
"""Operations that hold money: undone when their outcome is unknown. The others are sent again."""


class Silence(Fault):
    """F2: the message, or its answer, is swallowed, in turns."""

    async def request(self, line: Line, message: Message) -> None:
        if (self.hits + self.phase) % 2:
            line.to_acquirer(message)

    async def answer(self, line: Line, message: Message, request: Message) -> None: ...


class HangsUp(Fault):
    """F3: the message arrives, and the line is cut; every other time the acquirer never saw it."""

    async def request(self, line: Line, message: Message) -> None:
        if (self.hits + self.phase) % 2:
            line.to_acquirer(message)
        else:
            line.hang_up()

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        line.hang_up()


class HalfAnAnswer(Fault):
    """F4."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        line.raw(framed(b'{"mti":"' + b"0" * 100)[:40])
        line.hang_up(gently=True)


class Late(Fault):
    """F5: answers wait until the line is well again."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        async def deliver() -> None:
            await self.healed.wait()
            line.to_gateway(message)

        self.__dict__.setdefault("tasks", []).append(asyncio.create_task(deliver()))


class Twice(Fault):
    """F6."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        line.to_gateway(message)
        line.to_gateway(message)


_OTHERS: Final = (
    {"stan": "999998"},
    {"rrn": "000000999998"},
    {"amount": 1},
    {"mti": "0810"},
)


class AnotherMessage(Fault):
    """F7: an approval of something else: another STAN, RRN, amount, message type."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        self.turn = getattr(self, "turn", self.phase - 1) + 1
        line.to_gateway(message | _OTHERS[self.turn % len(_OTHERS)])


class Garbage(Fault):
    """F8: what is no message of this wire."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        self.turn = getattr(self, "turn", self.phase - 1) + 1
        garbage = (
            framed(b"\xff\xfe garbage \x00\x01\x02\x03"),
            b"\x00\x00",
            b"\xff\xff",
            framed(b'{"mti":"0110","stan":"000001","rrn":'),
            framed(b'{"mti":"0110","stan":"00000x","rrn":"000000000001","code":"00"}'),
        )
        line.raw(garbage[self.turn % len(garbage)])


class Slow(Fault):
    """F9: a byte at a time."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        text = framed(json.dumps(message).encode())
        for place in range(len(text)):
            line.raw(text[place : place + 1])
            await asyncio.sleep(0.01)


class OtherOrder(Fault):
    """F10: two answers change places."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        waiting: list[Message] = self.__dict__.setdefault("waiting", [])
        waiting.append(message)
        if len(waiting) == 2:
            for each in reversed(waiting):
                line.to_gateway(each)
            waiting.clear()


class Trouble(Fault):
    """F11: the acquirer is down, has an error, timed out; in the last case it did what was asked."""

    async def request(self, line: Line, message: Message) -> None:
        self.turn = getattr(self, "turn", -1) + 1
        code = ("91", "96", "68")[self.turn % 3]
        if code == "68":
            line.to_acquirer(message)
            return
        mti = f"{message['mti'][:2]}{int(message['mti'][2]) + 1}0"
        said = {name: message[name] for name in ("stan", "rrn", "amount", "currency", "transaction")}
        line.to_gateway({"mti": mti, "code": code, **said})

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        line.to_gateway(message | {"code": "68", "approved": 0, "facts": {}})


class Overtaken(Fault):
    """F12: the message arrives only after what was to undo, or repeat, it."""

    def aims_at(self, message: Message) -> bool:
        return super().aims_at(message) and not message.get("mti", "").endswith("1") and message["mti"] != "0400"

    async def request(self, line: Line, message: Message) -> None:
        async def deliver() -> None:
            await self.healed.wait()
            line.to_acquirer(message)

        self.__dict__.setdefault("tasks", []).append(asyncio.create_task(deliver()))


class OvertakenUndoing(Overtaken):
    """F12 of reversals and voids, which are themselves messages of type 0400."""

    def aims_at(self, message: Message) -> bool:
        return Fault.aims_at(self, message) and not message["mti"].endswith("1")


class NoSignOn(Fault):
    """F13: nothing is answered any more, not even a sign-on."""

    def aims_at(self, message: Message) -> bool:
        return True

    async def request(self, line: Line, message: Message) -> None: ...


class Flood(Fault):
    """F14: instead of the answer, far too many that nobody asked for."""

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        line.raw(framed(json.dumps(message | {"rrn": "999999999999"}).encode()) * 3_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault: what it is, how many exchanges suffer it at once, and what must come of them."""

    name: str
    fault: Callable[[frozenset[str]], Fault]
    at_once: int = 1
    held: tuple[Status, ...] = (Status.UNKNOWN,)
    """What callers of an authorization or sale are told, in any order; one value stands for all."""
    moved: tuple[Status, ...] = (Status.UNKNOWN,)
    """The same for the other operations."""
    hits: int = 3
    """How often the fault must strike before the line gets well: first tries and what follows them."""
    is_silent: bool = False
    """Whether callers learn it by the deadline, which is short then; of everything else they are told at once."""
    is_in_step: bool = False
    """Whether its exchanges must meet it at the same moment, before anything follows the first of them."""
    counts: tuple[str, ...] = ()
    """What the link must have counted in the end: one of these. A repeat under way takes a late answer for its own."""


_A, _D, _F, _U = Status.APPROVED, Status.DECLINED, Status.FAILED, Status.UNKNOWN

ROWS: Final[Mapping[str, Row]] = {
    row.name.partition(" ")[0]: row
    for row in (
        Row(name="F1 refuses the connection", fault=Fault, held=(_F,), moved=(_F,), hits=0),
        Row(name="F2 never answers", is_silent=True, fault=Silence, at_once=2, hits=4),
        Row(name="F3 closes after the request", fault=HangsUp, at_once=2, hits=4),
        Row(name="F4 closes in the middle of its answer", fault=HalfAnAnswer),
        Row(name="F5 answers after the deadline", is_silent=True, fault=Late, counts=("late", "double")),
        Row(name="F6 answers twice", fault=Twice, held=(_A,), moved=(_A,), hits=1, counts=("double",)),
        Row(
            name="F7 answers another message",
            is_silent=True,
            fault=AnotherMessage,
            at_once=4,
            hits=8,
            counts=("unmatched",),
        ),
        Row(name="F8 says garbage", fault=Garbage, at_once=2, hits=7),
        Row(name="F9 a byte at a time", is_silent=True, fault=Slow, hits=2),
        Row(name="F10 answers in another order", fault=OtherOrder, at_once=2, held=(_A,), moved=(_A,), hits=2),
        Row(name="F11 says that it has trouble", fault=Trouble, at_once=3, held=(_D, _D, _U), hits=4, is_in_step=True),
        Row(name="F12 is asked to undo what has not arrived", is_silent=True, fault=Overtaken, at_once=2, hits=2),
        Row(name="F13 signs nobody on", fault=NoSignOn, held=(_F,), moved=(_F,), hits=0),
        Row(name="F14 floods", fault=Flood),
    )
}

OPERATIONS: Final = ("authorize", "sale", "capture", "reversal", "return", "void")
