"""A team: several processes that serve side by side on one port and one PostgreSQL database.

The parent opens no database. It makes sure of the port, starts the workers, starts another one where one dies or hangs,
passes the order to stop on to all of them, and ends when they have. Each worker listens for itself (SO_REUSEPORT) and
the system shares the connections out; one that is killed takes its own connections with it and nothing else. A worker
whose parent is gone stops in order: its standard input ends.

A worker beats on its standard output as long as its event loop turns. The parent counts silence in turns of its own
loop, so that a machine that slept kills nobody when it wakes.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from kessai import server
from kessai.log import log

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
"""Before a worker that died is replaced; each further wait is twice as long, until one has lived for `SOUND_S`."""
SOUND_S: Final = 10.0
START_S: Final = 60.0
"""How long a worker may take until it says that it takes requests."""
BEAT_S: Final = 0.5
"""How often a worker says that it is well, and how often its parent looks."""
BEYOND_GRACE_S: Final = 10.0
"""How much longer than its grace a worker may take to stop before it is killed."""

T = TypeVar("T")
Ready = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Team:
    """How to start a worker, and those that run."""

    folder: Path
    database: str
    settings: server.Settings
    operations_port: int | None
    silence_s: float = 10.0
    """How long a worker may say nothing before it is killed."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    running: dict[int, Process] = field(default_factory=dict)

    def command(self, index: int) -> list[str]:
        """The arguments of a worker. The database's URL is not among them: others could read its password there."""
        settings, port = self.settings, self.operations_port
        line = [sys.executable, "-m", "kessai", "serve", "--json", "--worker", str(index)]
        line += ["--data", str(self.folder), "--host", settings.host, "--port", str(settings.port)]
        if port is not None:
            line += ["--operations-port", str(port + index if port else 0)]
        if settings.certificate is not None:
            line += ["--certificate", str(settings.certificate), "--key", str(settings.key)]
        return [*line, "--behind-proxy"] if settings.behind_proxy else line

    async def start(self, index: int) -> Ready:
        """Start a worker; what it says when it takes requests, or `{"error": …}` where it never does."""
        process = await asyncio.create_subprocess_exec(
            *self.command(index),
            stdin=PIPE,
            stdout=PIPE,
            env=os.environ | {"KESSAI_DATABASE": self.database},
            start_new_session=True,  # Ctrl-C is for the parent, which passes it on once
        )
        self.running[index] = process
        assert process.stdout is not None
        said = await process.stdout.readline()
        if not said.endswith(b"\n"):
            said = b'{"error": "a worker ended before it took requests"}'
        elif said == b"{\n":  # an error document is written over several lines
            said += await process.stdout.read()
        ready: Ready = json.loads(said)
        return ready

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of some work; None where the order to stop comes first, and the work is given up."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait((task,))
        return None

    async def keep(self, index: int) -> None:
        """Replace a worker whenever it dies, until cancelled."""
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while True:
            begun = loop.time()
            process = self.running[index]
            status = await self.watch(index)
            wait_s = FIRST_WAIT_S if loop.time() - begun > SOUND_S else min(wait_s * 2, LONGEST_WAIT_S)
            log("process.died", level="error", worker=index, process=process.pid, status=status)
            await asyncio.sleep(wait_s)
            try:
                async with asyncio.timeout(START_S):
                    ready = await self.start(index)
            except Exception as error:  # no process to be had, or one that says nothing: it is tried again
                log("process.unfit", level="error", worker=index, error=type(error).__name__)
                with contextlib.suppress(ProcessLookupError):
                    self.running[index].kill()
                continue
            if "error" in ready:
                log("process.unfit", level="error", worker=index, error=ready["error"])
            else:
                log("process.replaced", level="warning", worker=index, process=self.running[index].pid)

    async def watch(self, index: int) -> int:
        """Wait until a worker has ended: its status. One that says nothing for long, as if it hung, is killed."""
        process = self.running[index]
        assert process.stdout is not None
        ended, heard = asyncio.create_task(process.wait()), asyncio.Event()
        listening = asyncio.create_task(_listen(process.stdout, heard))
        silent = 0
        try:
            while not (await asyncio.wait((ended,), timeout=BEAT_S))[0]:
                silent = 0 if heard.is_set() else silent + 1
                heard.clear()
                # Not by the clock: while this process was stopped, the others may have been too.
                if silent * BEAT_S >= self.silence_s and process.returncode is None:
                    log("process.hung", level="error", worker=index, process=process.pid)
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    silent = 0
            return ended.result()
        finally:
            listening.cancel()
            ended.cancel()

    async def end(self) -> None:
        """Tell every worker to stop, wait until all have, kill those that do not."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        waits = [asyncio.create_task(process.wait()) for process in self.running.values()]
        if waits:
            await asyncio.wait(waits, timeout=self.settings.grace_s + BEYOND_GRACE_S)
        self.kill()
        await asyncio.gather(*waits)

    def kill(self) -> None:
        for process in self.running.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def serve(team: Team, workers: int, announce: Callable[[Ready], None]) -> None:
    """Serve with so many workers until SIGINT or SIGTERM; a second signal kills them.

    The first worker brings the database up to date before the others start. `announce` is told once, when all of them
    take requests. Raises server.CannotServe, also with the sentence of a worker that cannot.
    """
    with contextlib.ExitStack() as stack, _signals(team):
        port = _reserve(stack, team.settings)
        team.settings = replace(team.settings, port=port)
        keepers: Sequence[asyncio.Task[None]] = ()
        try:
            told = await team.unless_stopped(_start_all(team, workers))
            if told is None:
                return
            for each in told:
                if "error" in each:
                    raise server.CannotServe(str(each["error"]))
            keepers = [asyncio.create_task(team.keep(index)) for index in range(workers)]
            beside = {
                "operations": [url for each in told for url in each["operations"]],
                "workers": [process.pid for _, process in sorted(team.running.items())],
            }
            announce(told[0] | beside)
            await team.stop.wait()
        finally:
            team.stop.set()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await team.end()


async def _listen(said: asyncio.StreamReader, heard: asyncio.Event) -> None:
    while await said.read(4096):
        heard.set()


async def beat() -> None:
    """Say to whoever started this worker that it is well, for as long as its event loop turns."""
    out = sys.stdout.fileno()
    os.set_blocking(out, False)
    while True:
        with contextlib.suppress(OSError):  # nobody listens: its end is told by its standard input
            os.write(out, b".")
        await asyncio.sleep(BEAT_S)


async def _start_all(team: Team, workers: int) -> list[Ready]:
    first = await team.start(0)
    if "error" in first:
        return [first]
    return [first, *await asyncio.gather(*map(team.start, range(1, workers)))]


@contextlib.contextmanager
def _signals(team: Team) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if team.stop.is_set():
            team.kill()
        team.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _reserve(stack: contextlib.ExitStack, settings: server.Settings) -> int:
    """Make sure of a port without listening on it: somebody else's is told, and nobody else gets it between workers."""
    probes = server.listen(replace(settings, is_shared=False))
    found = [(probe.family, probe.getsockname()) for probe in probes]
    for probe in probes:
        probe.close()
    for family, address in found:
        held = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    port: int = found[0][1][1]
    return port
