"""Node numbers: leased rows. A process has one while it lives, marks its ids with it and its intents with the lease.

A lease lasts 20 s by the database's clock and is renewed every 5 s. A number that lapsed is nobody's for five minutes;
one that was given back is free at once. Whoever could not renew in time takes another number before it writes again:
its open exchanges belong to whoever finds them (R-4, R-32).
"""

import asyncio
import math
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kessai.storage.database import Database, DatabaseError, Run, Unavailable

LEASE_S: Final = 20.0
RENEW_S: Final = 5.0
RETRY_S: Final = 0.25
MARGIN_S: Final = 2.0
"""How much earlier than the database a process believes that its lease has ended."""
_TRIES: Final = 300


@dataclass(frozen=True, slots=True)
class TakeNode:
    """The number; None: somebody was faster."""

    lease: int
    host: str
    loaded: int = 0

    def values(self) -> dict[str, object]:
        return {"lease": self.lease, "host": self.host, "loaded": self.loaded}

    def apply(self, run: Run) -> int | None:
        run("forget_nodes", {})
        return int(run("take_node", self.values())[0][0])


@dataclass(frozen=True, slots=True)
class RenewNode:
    """False: the lease has ended. `loaded`: which version of merchants and keys this process works with, at least."""

    node: int
    lease: int
    loaded: int = 0

    def values(self) -> dict[str, object]:
        return {"node": self.node, "lease": self.lease, "loaded": self.loaded}

    def apply(self, run: Run) -> bool:
        return bool(run("renew_node", self.values()))


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    node: int
    lease: int

    def values(self) -> dict[str, object]:
        return {"node": self.node, "lease": self.lease}

    def apply(self, run: Run) -> None:
        run("release_node", self.values())


class Seat:
    """The node number of this process, and its lease."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.node = 0
        self.lease = 0
        self.loaded = 0
        self._until = 0.0
        self._renewing = asyncio.Lock()
        self.on_move: Callable[[], None] = lambda: None
        """Called when the number and the lease have changed."""
        self._task: asyncio.Task[None] | None = None

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._until

    async def take(self) -> None:
        """Take a free number. Unavailable where there is none."""
        for _ in range(_TRIES):
            lease, begun = secrets.randbits(62), time.monotonic()
            node = await self._database.write(TakeNode(lease, socket.gethostname(), self.loaded))
            if node is not None:
                self.node, self.lease = node, lease
                self._until = self._end_of(begun)
                return
            await asyncio.sleep(0.01)
        raise Unavailable("every node number is taken")

    def _end_of(self, begun: float) -> float:
        return begun + LEASE_S - MARGIN_S if self._database.kind == "postgres" else math.inf

    def keep(self) -> None:
        """Renew the lease in the background from now on. The embedded database's only process has it for good."""
        if self._database.kind == "postgres":
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S if self._until - time.monotonic() > LEASE_S - MARGIN_S - RENEW_S else RETRY_S)
            with suppress(DatabaseError):
                await self.renew()

    async def renew(self) -> None:
        """Renew the lease; another number where it has ended."""
        async with self._renewing:  # whoever finds the lease ended takes one number, not two
            begun = time.monotonic()
            if await self._database.write(RenewNode(self.node, self.lease, self.loaded)):
                self._until = self._end_of(begun)
                return
            await self.take()
            self.on_move()

    async def report(self, loaded: int) -> None:
        """Tell every other process that this one works with a version of merchants and keys, and with none before."""
        self.loaded = loaded
        await self.renew()

    async def release(self) -> None:
        """Give the number back; nothing may be written under it any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(DatabaseError):
            await self._database.write(ReleaseNode(self.node, self.lease))
