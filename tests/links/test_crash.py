"""The acquirer dies in the middle of a load, or its line is cut: its book is there, and everything is settled."""

import asyncio
import signal
import sys
from pathlib import Path

from kessai import books
from kessai.acquirers.simulator import journal
from kessai.payment.authorize import Authorize
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Status, Transaction
from tests.houses import VISA, Till, opened, until, usd
from tests.links.cell import SETTINGS, disagreements, is_quiet, staged
from tests.links.faults import Fault, Line, Message, lasting_port

_PROGRAM = """
import asyncio, sys
from kessai.acquirers.simulator.process import serve
asyncio.run(serve("127.0.0.1", int(sys.argv[1]), sys.argv[2], lambda host, port: print(port, flush=True)))
"""


async def _started(port: int, book: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _PROGRAM, str(port), str(book)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert int(await process.stdout.readline()) == port
    return process


def test_an_acquirer_that_is_killed_under_load_loses_nothing_and_all_is_settled(tmp_path: Path) -> None:
    """P3: three times kill -9 while payments are authorized and captured; the book outlives its process."""

    async def main() -> None:
        book = tmp_path / "apart.book"
        (tmp_path / "data").mkdir()
        port = lasting_port()
        process = await _started(port, book)
        async with opened(tmp_path / "data", settings=SETTINGS.format(port=port, connect_s=2.0)) as house:
            till, done, stopping = Till(house), [], asyncio.Event()

            async def load() -> None:
                while not stopping.is_set():
                    root = await till.authorize()
                    done.append(root)
                    if root.status is Status.APPROVED:
                        capture = await till.do(Capture(target=root.id, amount=usd(10_000)))
                        assert isinstance(capture, Transaction)
                        done.append(capture)
                    await asyncio.sleep(0.005)

            loads = [asyncio.create_task(load()) for _ in range(10)]
            for _ in range(3):
                before = len(done)
                await until(lambda before=before: _has_grown(done, before + 60))  # type: ignore[misc]
                flying = asyncio.create_task(till.authorize(scenario="late-answer"))  # held, and not answered yet
                await asyncio.sleep(0.05)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                done.append(await flying)
                await until(lambda: _is_told(done, Status.UNKNOWN, Status.FAILED))
                process = await _started(port, book)
            stopping.set()
            await asyncio.gather(*loads)
            try:
                await until(lambda: is_quiet(house), 30)
                assert {tx.status for tx in done} >= {Status.APPROVED, Status.UNKNOWN, Status.FAILED}
                assert Status.DECLINED not in {tx.status for tx in done}
                assert await disagreements(house, journal.read(str(book))) == []
                assert (await books.check(house.database)).findings == ()
            finally:
                process.kill()
                await process.wait()

    asyncio.run(main())


async def _has_grown(done: list[Transaction], length: int) -> bool:
    return len([tx for tx in done if tx.status is Status.APPROVED]) >= length


async def _is_told(done: list[Transaction], *statuses: Status) -> bool:
    return all(any(tx.status is status for tx in done) for status in statuses)


class CutAtTheTenth(Fault):
    """The line is cut when the tenth answer comes back."""

    answers = 0

    async def answer(self, line: Line, message: Message, request: Message) -> None:
        self.answers += 1
        if self.answers == 10:
            line.hang_up()
        else:
            line.to_gateway(message)


def test_a_line_that_is_cut_under_twenty_authorizations_leaves_no_hold_behind(tmp_path: Path) -> None:
    """R-3, P3: those that were answered stand, the others are unknown and undone; none is declined."""

    async def main() -> None:
        async with staged(tmp_path) as scene:
            scene.proxy.fault = CutAtTheTenth(frozenset({"authorize"}))
            commands = [Authorize(amount=usd(10_000 + number), card=VISA) for number in range(20)]
            done = await asyncio.gather(*map(scene.till.do, commands))
            statuses = [tx.status for tx in done if isinstance(tx, Transaction)]
            assert len(statuses) == 20
            assert set(statuses) == {Status.APPROVED, Status.UNKNOWN}
            await scene.proxy.heal()
            await until(lambda: is_quiet(scene.house))
            standing = {tx.id for tx in done if isinstance(tx, Transaction) and tx.status is Status.APPROVED}
            assert standing <= scene.acquirer.book.held.keys()
            assert len(scene.acquirer.book.held) == len(standing) + 1
            assert await disagreements(scene.house, scene.acquirer.book) == []
            assert (await books.check(scene.house.database)).findings == ()

    asyncio.run(main())
