"""The link to an acquirer that runs apart, against a scripted one and the real one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from msgspec.structs import replace

from kessai.acquirers import Exchange, Way
from kessai.acquirers.simulator import process, remote, wire
from kessai.acquirers.simulator.book import Done, decode
from kessai.acquirers.simulator.link import Simulator, connect
from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.acquirers.simulator.remote import FAILURES_TO_OPEN, RESERVED, Remote
from kessai.acquirers.simulator.scenarios import SCENARIOS, Delivery, Scenario
from kessai.payment.agreement import Agreement, Initiator, Occasion
from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Approved, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import CURRENCIES, Money

T = TypeVar("T")

PAN, CODE = "4111111111111111", "9172"
FACTORIES = (asyncio.new_event_loop, uvloop.new_event_loop)
LOOPS = len(FACTORIES)


def message(transaction_id: int = 1, operation: Operation = Operation.AUTHORIZE, **said: Any) -> Exchange:
    members: dict[str, Any] = {
        "merchant_id": "shop",
        "personality": "sandbox",
        "transaction_id": transaction_id,
        "operation": operation,
        "amount": Money(10_000 + transaction_id, CURRENCIES["USD"]),
        "stan": f"{transaction_id:06d}",
        "rrn": f"{transaction_id:012d}",
        "sent_at": datetime(2026, 11, 20, 5, tzinfo=UTC),
        "card": Card(pan=Pan(PAN), expiry=Expiry(2031, 12), brand=Brand.VISA, security_code=SecurityCode(CODE)),
    }
    return Exchange(**members | said)


class Scripted:
    """An acquirer that signs everybody on and leaves the rest to the test."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[wire.Request] = asyncio.Queue()
        self.connections = 0
        self.echoes = 0
        self.signs_on = True
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                text = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                request = wire.read_request(text)
                if request.mti != wire.SIGN_ON:
                    self.requests.put_nowait(request)
                    continue
                self.echoes += 1
                if self.signs_on:
                    writer.write(wire.frame(wire.answer_of(request, None)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def approve(self, request: wire.Request, **said: Any) -> None:
        amount = Money(request.amount, CURRENCIES[request.currency])
        self.writers[-1].write(wire.frame(replace(wire.answer_of(request, Approved(amount=amount)), **said)))


@asynccontextmanager
async def scripted(made: type[Remote] = Remote, **way: Any) -> AsyncIterator[tuple[Remote, Scripted]]:
    acquirer = Scripted()
    server = await asyncio.start_server(acquirer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = made(Way(address=f"127.0.0.1:{port}", **{"connect_s": 5.0, "probe_s": 0.1} | way), 0)
    try:
        yield link, acquirer
    finally:
        await link.close()
        server.close()
        for writer in acquirer.writers:
            writer.close()
        await asyncio.sleep(0.01)


def run(play: Callable[[], Awaitable[None]]) -> None:
    """Play on the event loop that gateways run on, too."""

    async def main() -> None:
        async with asyncio.timeout(60):
            await play()

    for factory in FACTORIES:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())


async def give_up(link: Remote, exchange: Exchange, arrived: Awaitable[T]) -> T:
    """Send, wait until it has arrived, and stop waiting for the answer."""
    sent = asyncio.create_task(link.send(exchange))
    told = await arrived
    sent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent
    return told


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


# ---- the window


def test_over_the_window_an_exchange_is_refused_at_once_and_repeats_find_room() -> None:
    """R-12: nothing is queued without a bound."""

    async def play() -> None:
        async with scripted(window=2 * RESERVED) as (link, acquirer):
            tasks = [asyncio.create_task(link.send(message(number))) for number in range(1, RESERVED + 1)]
            await until(lambda: acquirer.requests.qsize() == RESERVED)
            assert await link.send(message(99)) == Failed(reason=Reason.UNREACHABLE)
            repeat = asyncio.create_task(link.send(message(98, Operation.CAPTURE, is_repeat=True, card=None)))
            await until(lambda: acquirer.requests.qsize() == RESERVED + 1)
            while not acquirer.requests.empty():
                acquirer.approve(acquirer.requests.get_nowait())
            answers = await asyncio.gather(repeat, *tasks)
            assert all(isinstance(answer, Approved) for answer in answers)
            assert isinstance(await asyncio.gather(link.send(message(100)), _approve_next(acquirer)), list)

    run(play)


async def _approve_next(acquirer: Scripted) -> None:
    acquirer.approve(await acquirer.requests.get())


# ---- matching


class ByStanOnly(Remote):
    """A planted bug: answers are matched by their STAN alone."""

    def key_of(self, exchange: Exchange) -> wire.Key:
        return wire.Key("", exchange.stan, "", 0, "", 0)

    def key_in(self, answer: wire.Answer) -> wire.Key:
        return wire.Key("", answer.stan, "", 0, "", 0)


async def _meets_its_stan_again(made: type[Remote]) -> bool:
    """Whether an answer that comes after its STAN came round again is told as the late one that it is."""
    late: list[tuple[int, Card | None]] = []
    async with scripted(made) as (link, acquirer):
        link.on_late_answer(lambda exchange, _: late.append((exchange.transaction_id, exchange.card)))
        first = await give_up(link, message(1, stan="000007"), acquirer.requests.get())
        second = asyncio.create_task(link.send(message(2, stan="000007")))
        await acquirer.requests.get()
        acquirer.approve(first)
        await asyncio.sleep(0.1)
        return late == [(1, None)] and not second.done()


def test_an_answer_is_never_given_to_another_exchange_of_the_same_stan() -> None:
    """F7: STANs come round again after 999 999. A late answer's exchange has no card any more."""
    assert asyncio.run(_meets_its_stan_again(Remote))


def test_matching_by_stan_alone_is_found() -> None:
    """Section 12 of the rules: the bug of a STAN that is used again after a wrap makes the test above fail."""
    assert not asyncio.run(_meets_its_stan_again(ByStanOnly))


def test_a_double_answer_is_counted_and_one_for_nobody_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """F6, F7: neither is believed."""

    async def play() -> None:
        async with scripted() as (link, acquirer):
            sent = asyncio.create_task(link.send(message()))
            request = await acquirer.requests.get()
            acquirer.approve(request, stan="000002")
            acquirer.approve(request, amount=1)
            acquirer.approve(request)
            acquirer.approve(request)
            assert isinstance(await sent, Approved)
            await until(lambda: link.counts["double"] == 1)
            assert link.counts["unmatched"] == 2
            assert link.counts["late"] == 0

    run(play)
    logged = capsys.readouterr().err
    assert logged.count('"link.unmatched"') == 2 * LOOPS
    assert PAN not in logged


def test_a_cut_connection_makes_its_exchanges_unknown_at_once_and_the_next_one_works() -> None:
    async def play() -> None:
        async with scripted() as (link, acquirer):
            sent = [asyncio.create_task(link.send(message(number))) for number in (1, 2)]
            await until(lambda: acquirer.requests.qsize() == 2)
            acquirer.writers[-1].transport.abort()
            assert [type(answer) for answer in await asyncio.gather(*sent)] == [Unknown, Unknown]
            again = asyncio.create_task(link.send(message(3)))
            await until(lambda: acquirer.requests.qsize() == 3)
            assert acquirer.connections == 2
            again.cancel()

    run(play)


def test_a_flood_ends_its_connection_only() -> None:
    """F14."""

    async def play() -> None:
        async with scripted() as (link, acquirer):
            sent = asyncio.create_task(link.send(message()))
            request = await acquirer.requests.get()
            for number in range(remote.MOST_UNSOLICITED_A_SECOND * 4):
                acquirer.approve(request, rrn=f"{number:012d}", amount=0)
            assert isinstance(await sent, Unknown)
            again = asyncio.create_task(link.send(message(2)))
            await _approve_next(acquirer)
            assert isinstance(await again, Approved)

    run(play)


# ---- keeping it up


def test_an_idle_link_is_tried_and_one_without_an_echo_is_dropped() -> None:
    """F13: the echo is lost; the exchange under way is unknown before its deadline."""

    async def play() -> None:
        async with scripted(echo_s=0.05, connect_s=0.3) as (link, acquirer):
            sent = asyncio.create_task(link.send(message()))
            await acquirer.requests.get()
            await until(lambda: acquirer.echoes >= 3)
            assert acquirer.connections == 1
            acquirer.signs_on = False
            assert isinstance(await sent, Unknown)
            acquirer.signs_on = True
            await until(lambda: acquirer.connections >= 2)
            assert link.failures >= 1

    run(play)


def test_a_silence_is_asked_about() -> None:
    async def play() -> None:
        async with scripted(echo_s=1_000) as (link, acquirer):
            await give_up(link, message(), acquirer.requests.get())
            await until(lambda: acquirer.echoes == 2)
            assert acquirer.connections == 1

    run(play)


def test_the_breaker_opens_after_five_failures_probes_once_in_a_while_and_closes() -> None:
    """F13: sign-ons are lost; everything fails at once, and is known not to have been sent."""

    async def play() -> None:
        async with scripted(connect_s=0.02, probe_s=0.2) as (link, acquirer):
            acquirer.signs_on = False
            while not link.is_away:
                assert await link.send(message()) == Failed(reason=Reason.UNREACHABLE)
            assert link.failures == FAILURES_TO_OPEN
            tried = acquirer.connections
            answers = [await link.send(message(number)) for number in range(2, 200)]
            assert all(isinstance(answer, Failed) for answer in answers)
            assert acquirer.connections <= tried + 1
            await until(lambda: acquirer.connections >= tried + 2)
            assert acquirer.requests.empty()
            acquirer.signs_on = True
            await until(lambda: not link.is_away)
            sent = asyncio.create_task(link.send(message(300)))
            await _approve_next(acquirer)
            assert isinstance(await sent, Approved)
            assert link.failures == 0

    run(play)


def test_what_waits_for_a_probe_is_a_repeat_and_goes_first() -> None:
    """F13: reversals are drained first."""

    async def play() -> None:
        async with scripted() as (link, acquirer):
            acquirer.signs_on = False
            waiting = [
                asyncio.create_task(link.send(each))
                for each in (message(1), message(2), message(3, Operation.CAPTURE, is_repeat=True, card=None))
            ]
            await until(lambda: acquirer.echoes == 1)
            acquirer.writers[-1].write(wire.frame(wire.answer_of(wire.sign_on("000001", "000000000001"), None)))
            order = [(await acquirer.requests.get()).transaction for _ in range(3)]
            assert order[0] == 3
            for task in waiting:
                task.cancel()

    run(play)


@pytest.mark.parametrize("address", ["nowhere", ":7001", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a:１"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        connect(Way(address=address))


# ---- the real one


@asynccontextmanager
async def served(**said: Any) -> AsyncIterator[tuple[Remote, process.Acquirer, int]]:
    acquirer = process.Acquirer(**said)
    server = await acquirer.listen("127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Remote(Way(address=f"127.0.0.1:{port}"), 0)
    try:
        yield link, acquirer, port
    finally:
        await link.close()
        server.close()
        acquirer.close()
        await asyncio.sleep(0.01)


PLAYABLE = [scenario for scenario in SCENARIOS.values() if scenario.delivery is Delivery.AT_ONCE]


@pytest.mark.parametrize("scenario", PLAYABLE, ids=lambda scenario: scenario.name)
def test_an_acquirer_apart_answers_what_one_inside_answers(scenario: Scenario) -> None:
    async def play() -> None:
        async with served() as (link, _acquirer, _port):
            inside = Simulator(0)
            numbers = iter(range(1, 1_000))
            for personality in PERSONALITIES:
                for operation in sorted(scenario.operations, key=lambda each: each.value):
                    asked = message(next(numbers), operation, scenario=scenario.name, personality=personality)
                    here, there = await inside.send(asked), await link.send(asked)
                    assert type(here) is type(there)
                    if isinstance(here, Unknown) or isinstance(there, Unknown):
                        continue
                    assert _without_slip(here) == _without_slip(there)

    run(play)


def _without_slip(outcome: Outcome) -> tuple[Any, ...]:
    assert not isinstance(outcome, Unknown)
    facts = {name: value for name, value in outcome.facts.items() if name != "sales_slip_number"}
    more = (outcome.amount, outcome.review) if isinstance(outcome, Approved) else (outcome.reason,)
    return facts, *more


def test_answers_that_are_lost_late_or_never_come_are_played_over_the_socket() -> None:
    async def play() -> None:
        async with served(late_after_s=0.1) as (link, acquirer, _port):
            late: list[Outcome] = []
            link.on_late_answer(lambda _exchange, outcome: late.append(outcome))
            assert isinstance(await link.send(message(1, scenario="answer-lost")), Unknown)
            await give_up(link, message(2, scenario="late-answer"), until(lambda: 2 in acquirer.book.held))
            await give_up(link, message(3, scenario="no-answer"), asyncio.sleep(0.05))
            await until(lambda: len(late) == 1)
            assert isinstance(late[0], Approved)
            assert acquirer.book.held == {1: 10_001, 2: 10_002}

    run(play)


def test_an_acquirer_apart_writes_down_what_it_is_told_of_an_agreement(tmp_path: Path) -> None:
    async def play() -> None:
        async with served(book_path=str(tmp_path / "book")) as (link, _acquirer, _port):
            assert isinstance(await link.send(message(1)), Approved)
            assert isinstance(await link.send(message(2, agreement=CHARGE)), Approved)

    run(play)
    lines = [decode(line) for line in (tmp_path / "book").read_bytes().splitlines() if line]
    assert [line.agreement for line in lines if isinstance(line, Done)] == [None, CHARGE] * LOOPS


CHARGE = Agreement(
    initiator=Initiator.MERCHANT,
    uses_kept_card=True,
    occasion=Occasion.UNSCHEDULED,
    network_transaction_id="016153570198200",
    terms={"unscheduled_type": "1"},
)


async def _ends(port: int, *said: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(said))
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_garbage_ends_a_connection_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """F8 from the other side: before the sign-on, and after it."""
    sign_on = wire.frame(wire.sign_on("000001", "000000000001"))
    request = json.loads(wire.frame(wire.request_of(message()))[2:])

    def framed(**said: Any) -> bytes:
        text = json.dumps(request | said).encode()
        return len(text).to_bytes(2, "big") + text

    async def play() -> None:
        async with served() as (link, acquirer, port):
            assert isinstance(await link.send(message(5)), Approved)
            for said in (b"\0\0", b"\xff\xff", b"\0\1{", framed(), framed(stan="x"), framed(personality="none")):
                assert await _ends(port, said) == b""
            for said in (b"\0\0", framed(personality="none"), framed(mti="0400"), framed(more=PAN)):
                await _ends(port, sign_on, said)
            assert isinstance(await link.send(message(6)), Approved)
            assert link.counts["connections"] == 1
            assert acquirer.book.held.keys() == {5, 6}

    run(play)
    logged = capsys.readouterr().err
    assert '"link.garbage"' in logged
    assert PAN not in logged
    assert CODE not in logged


def test_it_listens_on_this_machine_only_unless_told_otherwise() -> None:
    """Card numbers travel in the clear."""

    async def play() -> None:
        with pytest.raises(ValueError, match="in the clear"):
            await process.serve("0.0.0.0", 0, "", lambda _host, _port: None)
        for host, anywhere in (("127.0.0.1", False), ("localhost", False), ("127.0.0.1", True)):
            told: asyncio.Queue[int] = asyncio.Queue()
            task = asyncio.create_task(_announced(told, host, anywhere=anywhere))
            assert await told.get() > 0
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(play)


async def _announced(told: "asyncio.Queue[int]", host: str, *, anywhere: bool) -> None:
    await process.serve(host, 0, "", lambda _host, port: told.put_nowait(port), anywhere=anywhere)
