"""Serving: from a data folder to an open port, and back again, in the order that loses nothing.

The sockets come first, so that a port in use is told before the database is touched. Then the house is opened, what a
killed process left open is given up, the private socket listens, the worker starts, and requests are taken. The way
back is the same in reverse (R-16); nothing of the house runs when its database closes.
"""

import asyncio
import contextlib
import gc
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kessai import admin, demo, health, server, team, tls
from kessai.accounts import Refused
from kessai.app import SANDBOX, CannotOpen, House, open_house
from kessai.log import log
from kessai.storage.database import DatabaseError

TLS_FOLDER: Final = "tls"
AUTHORITY: Final = "ca.pem"
REFRESH_S: Final = 0.5
"""How often another process's changes of merchants and keys are looked for."""
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 # told, not bound

Ready = dict[str, object]


def authority(folder: Path) -> Path:
    """The certificate authority that `with_development_certificate` makes, whether it is there or not."""
    return folder / TLS_FOLDER / AUTHORITY


def with_development_certificate(folder: Path, settings: server.Settings) -> server.Settings:
    """Settings that serve TLS with a certificate of this folder's own authority. CannotOpen."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate, key, _ = tls.development_certificate(folder / TLS_FOLDER, datetime.now(UTC))
    except OSError as error:
        raise CannotOpen(f"the folder {folder} cannot be used: {error.strerror or error}") from None
    return replace(settings, certificate=certificate, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is served besides the payments, and for whom."""

    database: str | None = None
    """URL of a PostgreSQL database; None: what the settings say."""
    operations_port: int | None = None
    """Port of health and metrics on this machine; 0 lets the system choose, None: there is none."""
    worker: int | None = None
    """Which one of a team this process is: the first takes the orders, all of them stop when their input ends."""


async def serve(
    folder: Path, settings: server.Settings, announce: Callable[[Ready], None], place: Place | None = None
) -> None:
    """Serve a data folder until SIGINT or SIGTERM. `announce` is told once, when requests are taken.

    Raises server.CannotServe, tls.CertificateUnusable and app.CannotOpen before any request is taken.
    """
    place = place or Place()
    with contextlib.ExitStack() as stack:
        listeners = _listen(stack, settings)
        port = place.operations_port
        operators = _listen(stack, server.Settings(port=port)) if port is not None else ()
        if settings.certificate is not None and settings.key is not None:
            tls.server_context(settings.certificate, settings.key)
        house = await open_house(folder, database=place.database)
        try:
            await house.worker.recover()
            ready = await _ready(house, settings)
            ready["operations"] = [url(server.Settings(), each.getsockname()[1]) for each in operators[:1]]
            _settle_memory()
            beats: list[asyncio.Task[None]] = []  # to the very end: whoever finishes its work is not hung

            def started(port: int) -> None:
                house.url = url(settings, port)
                log("gateway.started", url=house.url)
                try:
                    announce(ready | {"url": house.url})
                    if place.worker is not None:
                        beats.append(asyncio.get_running_loop().create_task(team.beat()))
                except BrokenPipeError:  # whoever read the banner has gone; the gateway stays
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

            payments = health.beside_payments(house.health, house.edge())
            beside = (health.for_operators(house.health, house.metrics), operators) if operators else None
            stop = _stop_of(place)
            async with _at_work(house, place):
                await server.serve(payments, settings, started, stop, sockets=listeners, beside=beside)
            log("gateway.stopped", url=house.url)
        finally:
            await house.close()


async def until_told(work: Coroutine[Any, Any, None]) -> None:
    """Do something without an end until SIGINT or SIGTERM."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _stop_of(place: Place) -> asyncio.Event:
    """Set when whoever started this worker is gone."""
    stop = asyncio.Event()
    if place.worker is not None:
        loop, end = asyncio.get_running_loop(), sys.stdin.fileno()

        def ended() -> None:
            loop.remove_reader(end)
            stop.set()

        loop.add_reader(end, ended)
    return stop


def _listen(stack: contextlib.ExitStack, settings: server.Settings) -> tuple[socket.socket, ...]:
    listeners = server.listen(settings)
    for listener in listeners:
        stack.callback(listener.close)
    return listeners


def _settle_memory() -> None:
    """What is loaded by now stays for good, and requests leave no cycles: look for garbage seldom, and not in it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


@contextlib.asynccontextmanager
async def _at_work(house: House, place: Place) -> AsyncIterator[None]:
    """The private socket, the worker, and what looks around every second, while they are needed."""
    orders = await admin.listen(house) if not place.worker else None
    await house.health.sample()
    lookouts = [asyncio.create_task(house.health.run()), asyncio.create_task(_keep_accounts(house))]
    worker = asyncio.create_task(house.worker.run())
    try:
        yield
    finally:
        house.health.stopping()
        if orders is not None:
            orders.close()
            admin.unlink(house.folder)
        house.worker.stop()
        for task in lookouts:
            task.cancel()
        await asyncio.gather(worker, *lookouts, return_exceptions=True)


async def _keep_accounts(house: House) -> None:
    """Merchants and keys that another process changed hold here within a second."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await house.keep_up()
        except DatabaseError:
            continue  # health tells it
        except Exception as error:
            log("accounts.fault", level="error", error=type(error).__name__)


async def _ready(house: House, settings: server.Settings) -> Ready:
    """What a client needs to know. Secrets are told of the sandbox's test merchants only."""
    merchants: list[dict[str, str]] = []
    for merchant_id in SANDBOX:
        account = house.accounts.find(merchant_id)
        if account is None or not account.merchant.is_test:
            continue
        with contextlib.suppress(Refused):  # its secret was revoked
            key_id, secret = await house.accounts.shared_secret(merchant_id)
            merchants.append(
                {
                    "id": merchant_id,
                    "personality": account.merchant.personality,
                    "key_id": key_id,
                    "shared_secret": secret,
                }
            )
    is_ours = settings.certificate is not None and settings.certificate.parent == house.folder / TLS_FOLDER
    return {
        "url": "",
        "data": str(house.folder),
        "ca": str(authority(house.folder)) if is_ours else None,
        "merchants": merchants,
        "more_merchants": len(list(house.accounts)) > len(merchants),
    }


def url(settings: server.Settings, port: int) -> str:
    """Where a client on this machine finds what is served."""
    host = _EVERY_ADDRESS.get(settings.host) or (f"[{settings.host}]" if ":" in settings.host else settings.host)
    return f"{'http' if settings.certificate is None else 'https'}://{host}:{port}"


# ---- how to begin


def command() -> str:
    """How to call this program again from where it was called."""
    name = sys.argv[0]
    found = shutil.which("kessai")
    if found is not None and os.path.exists(name) and os.path.samefile(found, name):
        return "kessai"
    if os.path.basename(name) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m kessai"
    return shlex.quote(name)


def example(folder: Path, default: Path) -> str:
    """A request to paste, complete, and what to do next; not a line of it may be wrapped."""
    kessai, data = command(), "" if folder == default else f" --data {shlex.quote(str(folder))}"
    docs = Path(__file__).parents[2] / "docs"
    manual = f"Documentation: {os.path.relpath(docs)}\n" if docs.is_dir() else ""
    return f"""
Try a payment in 12 installments, in another terminal:

{kessai} call POST /pts/v2/payments{data} --merchant kessai_smcc --body - <<'EOF'
{demo.EXAMPLE}
EOF

What became of it:       {kessai} payment show ID{data}
More, with their books:  {kessai} demo{data}
{manual}Stop with Ctrl-C."""
