"""A gateway in a process of its own that can be killed, and the next one, which has loaded its code already.

Loading the code takes most of a start. So the next process is begun early and waits before it opens anything: what is
measured as reopening is what a start does with a data folder, and a hundred kills fit into minutes.
"""

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kessai.dialects.cybersource.auth import SharedSecret
from tests.commands import ENVIRONMENT

ROOT: Final = Path(__file__).parents[2]
MERCHANT: Final = "kessai_vpc"
_WAITS: Final = """
import sys
import kessai.cli, kessai.serving, kessai.edge, kessai.admin
{plant}
if sys.stdin.readline():
    kessai.cli.main()
"""


@dataclass(slots=True)
class Served:
    """`kessai serve` on a folder, again and again. `plant` is a line of Python that each process runs first."""

    folder: Path
    database: str = ""
    plant: str = ""
    port: int = 0
    key: SharedSecret = field(init=False)
    reopened_s: list[float] = field(default_factory=list)
    _now: asyncio.subprocess.Process | None = None
    _next: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """What every process has written to its standard error."""
        return self.folder.parent / f"{self.folder.name}.log"

    async def prepare(self) -> None:
        """Begin the next process, which waits."""
        environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        if self.database:
            environment["KESSAI_DATABASE"] = self.database
        with self.log.open("ab") as log:
            self._next = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WAITS.format(plant=self.plant)),
                *("serve", "--json", "--port", "0", "--data", str(self.folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=ROOT,
                limit=1 << 20,
            )

    async def start(self) -> None:
        """Let the next process open the folder, and wait until it takes requests."""
        if self._next is None:
            await self.prepare()
        self._now, self._next = self._next, None
        assert self._now is not None
        assert self._now.stdin is not None
        assert self._now.stdout is not None
        begun = time.monotonic()
        self._now.stdin.write(b"go\n")
        async with asyncio.timeout(30):
            said = await self._now.stdout.readline()
        self.reopened_s.append(time.monotonic() - begun)
        if not said.endswith(b"}\n"):
            raise RuntimeError(f"it does not start: {self.log.read_text()[-2_000:]}")
        ready: dict[str, Any] = json.loads(said)
        self.port = int(ready["url"].rpartition(":")[2])
        (told,) = (each for each in ready["merchants"] if each["id"] == MERCHANT)
        self.key = SharedSecret.of(told["key_id"], told["shared_secret"], MERCHANT)

    def kill_soon(self, after_s: float, when: Callable[[], bool]) -> "asyncio.Future[bool]":
        """kill -9 after a while, in the first moment in which `when` is so; False: it never was.

        From a thread, so that it falls between any two steps of the driver.
        """
        assert self._now is not None
        loop, process = asyncio.get_running_loop(), self._now
        done: asyncio.Future[bool] = loop.create_future()

        def strike() -> None:
            time.sleep(after_s)
            until = time.monotonic() + 2
            while not (is_so := when()) and time.monotonic() < until:
                time.sleep(random.random() / 5_000)
            with suppress(RuntimeError, ProcessLookupError):  # a test that has failed waits for nobody
                if process.returncode is None:
                    os.kill(process.pid, signal.SIGKILL)
                loop.call_soon_threadsafe(done.set_result, is_so)

        threading.Thread(target=strike).start()
        return done

    async def gone(self) -> None:
        """Wait until the process has ended."""
        assert self._now is not None
        await self._now.wait()
        self._now = None

    async def stop(self) -> None:
        """End the process, and the one that waits; nothing is worth an orderly end here."""
        for process in (self._now, self._next):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        self._now = self._next = None
