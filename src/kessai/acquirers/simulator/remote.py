"""The link to an acquirer that runs apart: one connection, many messages at once, answers matched by what they say.

What the link can suffer ends in a value: nothing was sent, `Failed`; anything after the first byte, `Unknown`. Answers
find their exchange by message type, STAN, RRN, amount and transaction, in whatever order; what matches nothing is
counted and logged, never believed. A connection that says garbage, or floods, is closed, and only its own exchanges
become unknown.

A breaker opens after five failures in a row. While it is open nothing is sent and every exchange fails at once; one
probe in a while tries to sign on again. Repeats and reversals then go before the rest, and always find room. I/O.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import datetime
from typing import Final, NamedTuple, TypeVar, cast

from msgspec.structs import replace

from kessai.acquirers import Exchange, Way
from kessai.acquirers.simulator import wire
from kessai.acquirers.simulator.desk import Traces
from kessai.log import Level, log
from kessai.payment.lifecycle import Failed, Operation, Outcome, Reason, Unknown

FAILURES_TO_OPEN: Final = 5
FIRST_BACK_OFF_S: Final = 0.05
MOST_UNSOLICITED_A_SECOND: Final = 1_000
"""Over it, the connection is closed (F14)."""
MOST_LOGGED_A_SECOND: Final = 10
REMEMBERED: Final = 1_024
"""Exchanges given up, and exchanges answered, that are still known by their key."""
RESERVED: Final = 8
"""Places of the window that only repeats and reversals may have."""

CLOSED_BY_US: Final = "closed by us"

T = TypeVar("T")

_NOT_SENT: Final = Failed(reason=Reason.UNREACHABLE)


class _Waiting(NamedTuple):
    """An exchange that waits for its answer."""

    answered: "asyncio.Future[Outcome]"
    exchange: Exchange
    connection: "_Connection"


class _Connection(asyncio.Protocol):
    """One connection to the acquirer: bytes in, messages to the link."""

    def __init__(self, link: "Remote") -> None:
        self._link = link
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self._second = 0
        self._unsolicited = 0
        self.asked: tuple[wire.Key, asyncio.Future[wire.Answer]] | None = None
        """The sign-on or echo that waits for its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for text in self._frames.feed(data):
                if self._transport is None:
                    return
                self._link.heard(self, wire.read_answer(text))
        except ValueError:
            self.drop("garbage")

    def connection_lost(self, _error: Exception | None) -> None:
        self.drop("closed by the acquirer")

    def write(self, message: bytes) -> None:
        """ConnectionError where it has ended meanwhile."""
        if self._transport is None:
            raise ConnectionError("closed by the acquirer")
        self._transport.write(message)

    @property
    def is_up(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def say(self, request: wire.Request) -> wire.Answer:
        """Sign on, or ask for an echo."""
        key = wire.Key(wire.SIGN_ON_ANSWER, request.stan, request.rrn, 0, "", 0)
        future: asyncio.Future[wire.Answer] = asyncio.get_running_loop().create_future()
        self.asked = key, future
        try:
            self.write(wire.frame(request))
            return await future
        finally:
            self.asked = None

    def unsolicited(self) -> int:
        """Count a message that nobody waited for: how many there were in this second."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._unsolicited = second, 0
        self._unsolicited += 1
        if self._unsolicited > MOST_UNSOLICITED_A_SECOND:
            self.drop("a flood of messages that nobody asked for")
        return self._unsolicited

    def drop(self, why: str) -> None:
        """End it, once."""
        if self._transport is None:
            return
        self._transport.abort()
        self._transport = None
        if self.asked is not None and not self.asked[1].done():
            self.asked[1].set_exception(ConnectionError(why))
        self._link.lost(self, why)


class Remote:
    """A link over a socket; fulfils `acquirers.Acquirer`."""

    def __init__(self, way: Way, seed: int) -> None:
        """ValueError for an address that is none."""
        host, _, port = way.address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"an acquirer's address is host:port, not {way.address}")
        self._host, self._port = host.strip("[]"), int(port)
        self._way = way
        self._traces = Traces(seed)
        self._handler: Callable[[Exchange, Outcome], None] | None = None
        self._pending: dict[wire.Key, _Waiting] = {}
        self._given_up: OrderedDict[wire.Key, Exchange] = OrderedDict()
        self._answered: OrderedDict[wire.Key, None] = OrderedDict()
        self._connection: _Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._attempt: asyncio.Future[None] | None = None
        """Done when the attempt to connect that is under way has ended; None where none is."""
        self._queued = 0
        self._stir = asyncio.Event()
        self.failures = 0
        """Failures in a row."""
        self.counts: Counter[str] = Counter()
        """Messages that came twice (`double`), too late (`late`), for nobody (`unmatched`); `connections` signed on."""

    @property
    def is_away(self) -> bool:
        """Whether the link is down and the breaker keeps messages from it."""
        return self.failures >= FAILURES_TO_OPEN and self._connection is None

    async def send(self, exchange: Exchange) -> Outcome:
        """One exchange; cancelled when the caller stops waiting, its answer is then told as a late one."""
        goes_first = exchange.is_repeat or exchange.operation is Operation.REVERSAL
        room = self._way.window - (0 if goes_first else min(RESERVED, self._way.window // 2))
        if len(self._pending) + self._queued >= room:
            return _NOT_SENT
        try:
            message = wire.frame(wire.request_of(exchange))
        except ValueError:
            return Failed(reason=Reason.SYSTEM_ERROR)
        connection = self._connection
        if connection is None or not connection.is_up:
            connection = await self._reach(goes_first=goes_first)
            if connection is None:
                return _NOT_SENT
        key = self.key_of(exchange)
        if key in self._pending:
            return Unknown("the same message is under way")
        kept = replace(exchange, card=None, account=None)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[key] = _Waiting(future, kept, connection)
        self._given_up.pop(key, None)
        connection.write(message)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(key, kept, future)
            raise

    def trace(self, now: datetime) -> tuple[str, str]:
        """The next STAN and RRN; `now` is aware UTC."""
        return self._traces.next(now)

    def on_late_answer(self, handler: Callable[[Exchange, Outcome], None]) -> None:
        """Whom to tell of late answers; one that comes while nobody listens is lost."""
        self._handler = handler

    async def close(self) -> None:
        """Hang up; what waits for an answer is unknown."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(None)
        if self._connection is not None:
            self._connection.drop(CLOSED_BY_US)

    # ---- what comes in

    def key_of(self, exchange: Exchange) -> wire.Key:
        """By what the answer to an exchange is matched."""
        return wire.key_of(exchange)

    def key_in(self, answer: wire.Answer) -> wire.Key:
        """By what an answer is matched."""
        return wire.key_in(answer)

    def heard(self, connection: _Connection, answer: wire.Answer) -> None:
        """Give an answer to whom it belongs."""
        if connection.asked is not None and wire.key_in(answer) == connection.asked[0]:
            if not connection.asked[1].done():
                connection.asked[1].set_result(answer)
            return
        key = self.key_in(answer)
        waiting = self._pending.get(key)
        if waiting is not None and waiting.connection is connection:
            del self._pending[key]
            _remember(self._answered, key, None)
            self.failures = 0
            if not waiting.answered.done():
                waiting.answered.set_result(wire.outcome_of(waiting.exchange, answer))
            return
        count = connection.unsolicited()
        if key in self._given_up:
            exchange = self._given_up.pop(key)
            _remember(self._answered, key, None)
            self.failures = 0
            self._tell_late(exchange, wire.outcome_of(exchange, answer))
        elif key in self._answered:
            self.counts["double"] += 1
        else:
            self.counts["unmatched"] += 1
            if count <= MOST_LOGGED_A_SECOND:
                log("link.unmatched", level="warning", mti=answer.mti, stan=answer.stan, code=answer.code)

    def lost(self, connection: _Connection, why: str) -> None:
        """A connection has ended: its exchanges, and no others, are unknown."""
        cut = [key for key, waiting in self._pending.items() if waiting.connection is connection]
        for key in cut:
            waiting = self._pending.pop(key)
            if not waiting.answered.done():
                waiting.answered.set_result(Unknown("the connection was cut before the answer"))
        if self._connection is connection:
            self._connection = None
            self.failures += bool(cut)
            level: Level = "info" if why == CLOSED_BY_US else "warning"
            log("link.down", level=level, why=why, unknown=len(cut), failures=self.failures)
            self._stir.set()

    def _give_up(self, key: wire.Key, exchange: Exchange, future: "asyncio.Future[Outcome]") -> None:
        """Nobody waits for this answer any more."""
        if self._pending.pop(key, None) is not None:
            _remember(self._given_up, key, exchange)
            self._stir.set()  # the silence may be the link's: ask for an echo
        elif future.done() and not future.cancelled():
            self._tell_late(exchange, future.result())  # it came in the very moment

    def _tell_late(self, exchange: Exchange, outcome: Outcome) -> None:
        self.counts["late"] += 1
        if self._handler is not None and not isinstance(outcome, Unknown):
            self._handler(exchange, outcome)

    # ---- keeping it up

    async def _reach(self, *, goes_first: bool) -> _Connection | None:
        """The connection that the attempt under way, or one begun now, leads to. None: not now."""
        if self.is_away and not (goes_first and self._attempt is not None):
            return None
        if self._keeper is None or self._keeper.done():
            # It outlives the request that begins it, whose correlation it must not log.
            self._keeper = asyncio.get_running_loop().create_task(self._keep_up(), context=Context())
        if self._attempt is None:
            self._attempt = asyncio.get_running_loop().create_future()
            self._stir.set()
        self._queued += 1
        try:
            await asyncio.shield(self._attempt)
            if not goes_first:
                await asyncio.sleep(0)
        finally:
            self._queued -= 1
        connection = self._connection
        return connection if connection is not None and connection.is_up else None

    async def _keep_up(self) -> None:
        """Connect, ask for echoes, connect again: as long as the link lives."""
        while True:
            if self._attempt is None:
                self._attempt = asyncio.get_running_loop().create_future()
            await self._connect()
            self._attempt.set_result(None)
            self._attempt = None
            while self._connection is not None:
                await self._pause(self._way.echo_s)
                await self._check()
            self._stir.clear()
            if self._attempt is not None:
                continue
            if self.is_away:
                await asyncio.sleep(self._way.probe_s)
            else:
                await self._pause(min(FIRST_BACK_OFF_S * 2**self.failures, self._way.probe_s))

    async def _pause(self, seconds: float) -> None:
        """Wait, or be stirred."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()
        self._stir.clear()

    async def _connect(self) -> None:
        connection = _Connection(self)
        try:
            async with asyncio.timeout(self._way.connect_s):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, self._host, self._port)
                answer = await connection.say(self._network_message())
            if answer.code != wire.APPROVED:
                raise ConnectionError(f"the acquirer answered the sign-on with {answer.code}")
        except (OSError, TimeoutError) as error:
            connection.drop("no sign-on")
            self.failures += 1
            log("link.down", level="warning", why=type(error).__name__, unknown=0, failures=self.failures)
            return
        # That it signs on does not say that it works: the next failure opens the breaker again.
        self.failures = min(self.failures, FAILURES_TO_OPEN - 1)
        self.counts["connections"] += 1
        self._connection = connection
        log("link.up", connections=self.counts["connections"])

    async def _check(self) -> None:
        """Ask for an echo where the link was idle, or silent; a connection without one is dropped."""
        connection = self._connection
        if connection is None or not connection.is_up:
            return
        try:
            async with asyncio.timeout(self._way.connect_s):
                await connection.say(self._network_message())
        except TimeoutError:
            failures = self.failures
            connection.drop("no echo")
            self.failures = failures + 1
        except OSError:
            return  # it has been dropped already

    def _network_message(self) -> wire.Request:
        stan = self._traces.next_stan()
        return wire.sign_on(stan, stan.zfill(12))


def _remember(room: "OrderedDict[wire.Key, T]", key: wire.Key, value: T) -> None:
    room[key] = value
    if len(room) > REMEMBERED:
        room.popitem(last=False)
