"""The gateway's side of the courier: errands out, reports in. Its process starts when there is something to send."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Final

import msgspec

from kessai.log import log
from kessai.webhooks.courier import LINE_BYTES, Errand, Report

RESTART_S: Final = 0.5
OVERDUE_S: Final = 20.0
"""How long a courier may say nothing of an errand, which takes it ten seconds at most; then it hangs, and is killed."""

Told = Callable[[Report], None]
ENDED: Final = "the courier ended"


class Sender:
    """Hands errands to a courier. Whoever it does not report to is told once all the same: it died with them."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._waiting: dict[int, tuple[Told, float]] = {}
        self._unsent: list[bytes] = []
        self._is_closed = False
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def process(self) -> int | None:
        """The id of the courier's process, while there is one."""
        return self._process.pid if self._process is not None else None

    def send(self, errand: Errand, told: Told) -> None:
        """Send; `told` is called once with what became of it. The errand's id is ours to choose."""
        if self._is_closed:
            return
        self._next += 1
        self._waiting[self._next] = (told, asyncio.get_running_loop().time() + OVERDUE_S)
        line = msgspec.json.encode(msgspec.structs.replace(errand, id=self._next)) + b"\n"
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line)
            return
        self._unsent.append(line)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def ask(self, errand: Errand) -> Report:
        """Send, and wait for what becomes of it."""
        future: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

        def told(report: Report) -> None:
            if not future.done():
                future.set_result(report)

        self.send(errand, told)
        return await future

    async def _start(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kessai.webhooks.courier"),
                stdin=PIPE,
                stdout=PIPE,
                limit=LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the gateway
            )
        except OSError as error:
            log("courier.unfit", level="error", error=type(error).__name__)
            self._starting = None
            self._unsent.clear()
            await self._give_up()
            return
        self._process, self._starting = process, None
        assert process.stdin is not None
        process.stdin.write(b"".join(self._unsent))
        self._unsent.clear()
        task = asyncio.create_task(self._listen(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                async with asyncio.timeout(OVERDUE_S):
                    line = await process.stdout.readline()
            except TimeoutError:
                now = asyncio.get_running_loop().time()
                if any(until < now for _, until in self._waiting.values()):
                    process.kill()
                continue
            if not line.endswith(b"\n"):
                break
            report = msgspec.json.decode(line, type=Report)
            waiting = self._waiting.pop(report.id, None)
            if waiting is not None:
                waiting[0](report)
        status = await process.wait()
        self._process = None
        if not self._is_closed:
            log("courier.died", level="warning", status=status)
            await self._give_up()

    async def _give_up(self) -> None:
        """Tell whoever waits that nobody knows; not at once, so that they do not come again at once."""
        waiting, self._waiting = self._waiting, {}
        await asyncio.sleep(RESTART_S)
        for told, _ in waiting.values():
            told(Report(0, 0, ENDED))

    async def close(self) -> None:
        """End the courier; what is under way is told to nobody."""
        self._is_closed = True
        self._waiting.clear()
        if self._starting is not None:
            await self._starting
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        for task in list(self._tasks):
            await task
