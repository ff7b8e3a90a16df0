"""Serving: from a data folder to an open port, and back again, in the order that loses nothing.

The sockets come first, so that a port in use is told before the database is touched. Then the house is opened, what a
killed process left open is given up, the private socket listens, the worker starts, and requests are taken. The way
back is the same in reverse; nothing of the house runs when its database closes.
"""

import asyncio
import contextlib
import gc
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kessai import admin, demo, server, tls
from kessai.accounts import Refused
from kessai.app import SANDBOX, CannotOpen, House, open_house
from kessai.log import log

TLS_FOLDER: Final = "tls"
AUTHORITY: Final = "ca.pem"
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


async def serve(folder: Path, settings: server.Settings, announce: Callable[[Ready], None]) -> None:
    """Serve a data folder until SIGINT or SIGTERM. `announce` is told once, when requests are taken.

    Raises server.CannotServe, tls.CertificateUnusable and app.CannotOpen before any request is taken.
    """
    listeners = server.listen(settings)
    try:
        if settings.certificate is not None and settings.key is not None:
            tls.server_context(settings.certificate, settings.key)
        house = await open_house(folder)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    try:
        await house.worker.recover()
        ready = await _ready(house, settings)
        _settle_memory()

        def started(port: int) -> None:
            house.url = url(settings, port)
            log("gateway.started", url=house.url)
            try:
                announce(ready | {"url": house.url})
            except BrokenPipeError:  # whoever read the banner has gone; the gateway stays
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        async with _at_work(house):
            await server.serve(house.edge(), settings, started, sockets=listeners)
        log("gateway.stopped", url=house.url)
    finally:
        for listener in listeners:
            listener.close()
        await house.close()


def _settle_memory() -> None:
    """What is loaded by now stays for good, and requests leave no cycles: look for garbage seldom, and not in it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextlib.asynccontextmanager
async def _at_work(house: House) -> AsyncIterator[None]:
    """The private socket and the worker, while they are needed."""
    orders = await admin.listen(house)
    worker = asyncio.create_task(house.worker.run())
    try:
        yield
    finally:
        orders.close()
        with contextlib.suppress(FileNotFoundError):
            (house.folder / admin.SOCKET).unlink()
        house.worker.stop()
        await worker


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
