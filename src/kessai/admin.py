"""Administration: what an operator may order, and the private socket over which a serving gateway takes the orders.

A command never writes the database beside a serving gateway: it sends the order to `admin.sock` in the data folder
(mode 0600, one JSON document a line each way). Where nobody serves, the command opens the folder itself, under the
writer's lock. Either way the same function carries the order out.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from kessai import accounts, backup, books, config, ids, outbox, rotation, story, transfers, verify
from kessai.accounts import Refused
from kessai.app import KEY_VARIABLE, House, open_house
from kessai.jobs import settlement
from kessai.log import log, traceback_of
from kessai.payment.money import CURRENCIES, Money
from kessai.sandbox import NotMoved
from kessai.storage.database import DatabaseError
from kessai.storage.queue import DriveJob, Queue

SOCKET: Final = "admin.sock"
LINE_BYTES: Final = 64 * 1024 * 1024

MOST_TOLD: Final = 100
"""Findings in one answer."""

Order = Callable[..., Awaitable[object]]
_TICK: Final = timedelta(milliseconds=1)
"""Storage keeps milliseconds: a cut "now" takes what was concluded in this one too."""


# ---- orders


async def status(house: House) -> object:
    """Where requests are taken, and by which merchants."""
    return {"url": house.url, "merchants": [account.merchant.id for account in house.accounts]}


async def merchant_list(house: House) -> object:
    found = house.accounts
    return [accounts.describe(account) | found.exposed_of(account.merchant.id) for account in found]


async def merchant_add(
    house: House,
    merchant: str,
    personality: str,
    mode: str = "test",
    key_id: str | None = None,
    shared_secret: str | None = None,
    certificate: str | None = None,
    legal_name: str | None = None,
) -> object:
    """A new merchant; a secret made here is in the answer, and shown nowhere again."""
    return await house.accounts.add(
        merchant,
        personality,
        house.clock(),
        mode=mode,
        key_id=key_id,
        shared_secret=shared_secret,
        certificate=certificate.encode() if certificate is not None else None,
        legal_name=legal_name,
    )


async def merchant_set(house: House, merchant: str, settings: Mapping[str, str]) -> object:
    return await house.accounts.set(merchant, settings)


async def key_add(
    house: House,
    merchant: str,
    key_id: str | None = None,
    shared_secret: str | None = None,
    certificate: str | None = None,
) -> object:
    return await house.accounts.add_key(
        merchant,
        house.clock(),
        key_id=key_id,
        shared_secret=shared_secret,
        certificate=certificate.encode() if certificate is not None else None,
    )


async def key_bearer(house: House, merchant: str) -> object:
    """Another pair of secrets for the PaymentOptions wire, in the answer and shown nowhere again."""
    return await house.accounts.add_bearer(merchant, house.clock())


async def bearer(house: House, merchant: str) -> object:
    """The pair of secrets of a merchant's requests on the PaymentOptions wire, for sending one on its behalf."""
    account = house.accounts.get(merchant)
    pair = await house.accounts.bearer(account.merchant.id)
    return {"merchant": merchant, "api_key": pair.api_key, "x_api_key": pair.x_api_key}


async def key_revoke(house: House, merchant: str, key_id: str) -> object:
    return await house.accounts.revoke_key(merchant, key_id, house.clock())


async def key_answers(house: House, merchant: str, certificate: str, key_id: str | None = None) -> object:
    """Register a certificate that answers may be encrypted to."""
    return await house.accounts.add_answer_key(merchant, house.clock(), certificate.encode(), key_id)


async def key_store(house: House, merchant: str, password: str) -> object:
    """A key store for a client (PKCS #12, in base64). Its private key is in the answer, and kept nowhere."""
    made = await house.accounts.key_store(merchant, password, house.clock())
    return {"merchant": merchant, "content": base64.b64encode(made).decode()}


async def vault_certificate(house: House) -> object:
    """The certificate that clients encrypt requests to."""
    return {"certificate": (await house.accounts.messages.certificate(house.clock())).decode()}


async def credentials(house: House, merchant: str) -> object:
    """Key id and shared secret of a merchant, for signing a request on its behalf."""
    account = house.accounts.get(merchant)
    key_id, secret = await house.accounts.shared_secret(account.merchant.id)
    return {"merchant": merchant, "key_id": key_id, "shared_secret": secret}


async def settle(house: House, merchant: str | None = None) -> object:
    """Cut now, for one merchant or for all."""
    chosen = [house.accounts.get(merchant)] if merchant is not None else list(house.accounts)
    made = []
    for account in chosen:
        for batch in await settlement.settle(
            house.gateway, account.merchant, account.merchant.at(house.clock()) + _TICK
        ):
            made.append(
                {
                    "merchant": account.merchant.id,
                    "id": ids.show(batch.id),
                    "currency": batch.currency.code,
                    "business_date": batch.business_date.isoformat(),
                    "transactions": batch.count,
                    "captured": str(Money(batch.captured, batch.currency)),
                    "returned": str(Money(batch.returned, batch.currency)),
                    "net": str(batch.net),
                }
            )
    return made


async def ledger_check(house: House) -> object:
    """Recompute the books; `findings` is empty where they are as they should be."""
    return _report(await books.confirmed(lambda: books.check(house.database, rests=bool(house.url))))


async def verify_all(house: House, book: str | None = None) -> object:
    """The books, the acquirer's book, claims, jobs and what is open; `findings` as in `ledger check`."""
    report = await verify.verify(
        house.database,
        now=house.clock(),
        deadline_s=house.settings.acquirer_deadline_s,
        book=Path(book) if book is not None else house.folder / verify.BOOK,
        rests=bool(house.url),
    )
    return _report(report)


def _report(report: books.Report) -> object:
    findings = report.findings[:MOST_TOLD]
    return {
        "entries": report.entries,
        "transactions": report.transactions,
        "findings": [{**asdict(finding), "transaction": _shown(finding.transaction)} for finding in findings],
        "balances": [
            {"merchant": merchant, "account": account, "currency": currency, "amount": _amount(minor, currency)}
            for merchant, account, currency, minor in report.balances
        ],
    }


def _shown(transaction: int) -> str:
    """A row that was added by hand may have an id that was never given out; a sum has none."""
    return ids.show(transaction) if transaction > 0 else str(transaction or "")


def _amount(minor: int, currency: str) -> str:
    known = CURRENCIES.get(currency)
    return str(Money(minor, known)) if known else f"{minor} minor units"


async def payment_show(house: House, transaction: str) -> object:
    """The whole story of a payment, by the id of any of its transactions."""
    identifier = story.identifier_of(transaction)
    if identifier is None:
        raise Refused(f"{transaction} is no transaction id: it has 22 digits, or is a UUID of the PaymentOptions wire")
    for account in house.accounts:
        found = await house.gateway.payments.load(account.merchant.id, identifier)
        if found is not None:
            return await story.of_payment(house, account, found.payment)
    raise Refused(f"there is no transaction {transaction}")


async def jobs_drive(house: House, job: str | None = None) -> object:
    """Try a parked job again now, or all of them; which they were."""
    identifier = ids.read(job) if job is not None else None
    if job is not None and identifier is None:
        raise Refused(f"{job} is no job id: it has 22 digits")
    queue, driven = Queue(house.database), []
    for account in house.accounts:
        merchant_id = account.merchant.id
        for parked in await queue.all(merchant_id):
            is_wanted = parked.state == "parked" if identifier is None else parked.id == identifier
            if is_wanted and await house.database.write(DriveJob(merchant_id, parked.id, house.clock())):
                driven.append({"merchant": merchant_id, "id": ids.show(parked.id)})
    if job is not None and not driven:
        raise Refused(f"there is no job {job}")
    house.worker.wake()
    return driven


async def jobs(house: House) -> object:
    """What is queued, and what is parked for a person to look at."""
    queue = Queue(house.database)
    return [
        {
            "merchant": account.merchant.id,
            "id": ids.show(job.id),
            "kind": job.kind,
            "transaction": ids.show(job.transaction_id),
            "state": job.state,
            "attempts": job.attempts,
            "run_at": story.instant(job.run_at),
        }
        for account in house.accounts
        for job in await queue.all(account.merchant.id)
    ]


async def clock(house: House, merchant: str) -> object:
    """A merchant's business time, and how far it is ahead of the wall."""
    return house.clocks.shown(house.accounts.get(merchant))


async def clock_advance(house: House, merchant: str, advance: str | None = None, to: str | None = None) -> object:
    """Move a test merchant's business clock on: by a step such as `1mo`, or to an instant."""
    try:
        return await house.clocks.move(house.accounts.get(merchant), advance=advance, to=to)
    except NotMoved as error:
        raise Refused(str(error)) from None


async def backup_to(house: House, file: str) -> object:
    """Copy the embedded database into a new file while it is in use."""
    try:
        made = await asyncio.to_thread(backup.copy, house.folder / backup.DATABASE, Path(file))
    except backup.CannotBackUp as error:
        raise Refused(str(error)) from None
    log("backup.made", bytes=made.size)
    return asdict(made)


async def vault_status(house: House, merchant: str | None = None) -> object:
    """Every key of a merchant, or of all: what it is for, its state, age, seals, and the rows that are under it."""
    found = await house.rotation().status(_merchants(house, merchant))
    return [asdict(key) | {"created_at": story.instant(key.created_at)} for key in found]


async def vault_begin(house: House, merchant: str | None = None) -> object:
    """Begin to turn the keys of a merchant, or of all; where some are turning already, go on with those."""
    return asdict(await house.rotation().begin(_merchants(house, merchant)))


async def vault_step(house: House, merchants: list[str], at: dict[str, Any] | None, pace: int) -> object:
    """Go on with the turning of keys for a moment. `at` is what the step before handed out."""
    known = rotation.Pass(**at) if at is not None else None
    return asdict(await house.rotation().step(merchants, known, pace))


def _merchants(house: House, merchant: str | None) -> list[str]:
    """One merchant, or all of them. Refused where there is no such merchant."""
    chosen = [house.accounts.get(merchant)] if merchant is not None else list(house.accounts)
    return [account.merchant.id for account in chosen]


ORDERS: Final[Mapping[str, Order]] = {
    "vault status": vault_status,
    "vault begin": vault_begin,
    "vault step": vault_step,
    "vault pack": transfers.pack,
    "vault unpack": transfers.unpack,
    "status": status,
    "merchant list": merchant_list,
    "merchant add": merchant_add,
    "merchant set": merchant_set,
    "merchant key add": key_add,
    "merchant key revoke": key_revoke,
    "merchant key answers": key_answers,
    "merchant p12": key_store,
    "vault certificate": vault_certificate,
    "credentials": credentials,
    "bearer": bearer,
    "merchant key bearer": key_bearer,
    "settle": settle,
    "ledger check": ledger_check,
    "payment show": payment_show,
    "jobs": jobs,
    "jobs drive": jobs_drive,
    "clock": clock,
    "clock advance": clock_advance,
    "verify": verify_all,
    "backup": backup_to,
    **outbox.ORDERS,
}


# ---- carrying out, here or over there


async def carry_out(house: House, order: object, arguments: object) -> dict[str, object]:
    """The result of an order, or why it was refused; nothing else escapes."""
    function = ORDERS.get(order) if isinstance(order, str) else None
    if function is None or not isinstance(order, str) or not isinstance(arguments, dict):
        return {"refused": "there is no such order"}
    changes = house.accounts.changing if order.startswith("merchant ") else contextlib.nullcontext()
    try:
        async with changes:
            return {"result": await function(house, **arguments)}
    except Refused as error:
        return {"refused": str(error)}
    except DatabaseError as error:
        return {"refused": f"the database cannot do this now: {error}"}
    except Exception as error:  # a gateway does not stop for an order that it cannot read
        log("order.fault", level="error", order=order, error=type(error).__name__, traceback=traceback_of(error))
        return {"refused": f"the order {order} could not be carried out: {type(error).__name__}"}


@contextlib.contextmanager
def _inside(folder: Path) -> Any:
    """Work in the folder, so that the socket's name stays short enough for the system (about a hundred bytes)."""
    before = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


async def listen(house: House) -> asyncio.Server:
    """Take orders over the private socket of the house's folder until the server is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                known = asked if isinstance(asked, dict) else {}
                answer = await carry_out(house, known.get("order"), known.get("arguments", {}))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ValueError, RecursionError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _inside(house.folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        mask = os.umask(0o177)
        try:
            listener.bind(SOCKET)
        finally:
            os.umask(mask)
    return await asyncio.start_unix_server(serve, sock=listener, limit=LINE_BYTES)


def unlink(folder: Path) -> None:
    """Take the private socket out of the folder."""
    with contextlib.suppress(FileNotFoundError):
        (folder / SOCKET).unlink()


def call_over_there(folder: Path, order: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Send an order to the gateway that serves a folder; None where none does."""
    if not (folder / SOCKET).exists():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, _inside(folder):
        peer.settimeout(600)
        try:
            peer.connect(SOCKET)
        except (ConnectionRefusedError, FileNotFoundError):
            return None  # left behind by a gateway that was killed
        with peer.makefile("rwb") as stream:
            stream.write(json.dumps({"order": order, "arguments": arguments}).encode() + b"\n")
            stream.flush()
            line = stream.readline()
    if not line:
        raise Refused("the gateway stopped before it answered")
    answer: dict[str, Any] = json.loads(line)
    return answer


async def call_here(folder: Path, order: str, arguments: Mapping[str, Any], database: str = "") -> dict[str, Any]:
    """Open the house and carry the order out: the folder's under the writer's lock, a PostgreSQL one beside others."""
    house = await open_house(folder, database=database or None)
    try:
        return await carry_out(house, order, arguments)
    finally:
        await house.close()


def order(folder: Path, name: str, *, database: str | None = None, **arguments: object) -> Any:
    """The result of an order, carried out by the gateway that serves the folder, else here.

    In a PostgreSQL database (`database`, else the setting) it is always carried out here, beside whoever serves.
    Refused, and app.CannotOpen where it is done here. Only `merchant add` makes a database where there is none.
    """
    url = database_url(folder, database)
    answer = None
    if not url:
        try:
            answer = call_over_there(folder, name, arguments)
        except OSError as error:
            raise Refused(f"the gateway of the folder {folder} cannot be asked: {error.strerror or error}") from None
    if answer is None:
        if name != "merchant add":
            _refuse_a_new_installation(folder, url)
        answer = asyncio.run(call_here(folder, name, arguments, url))
    if "refused" in answer:
        raise Refused(answer["refused"])
    return answer["result"]


@contextlib.contextmanager
def orders(folder: Path, database: str | None = None) -> Iterator[Callable[..., Any]]:
    """Give orders one after another, as `order` does; where they are carried out here, the house stays open meanwhile.

    Each is short, so that whoever interrupts this loses nothing.
    """
    url = database_url(folder, database)
    with contextlib.ExitStack() as stack:
        here: list[tuple[asyncio.Runner, House]] = []

        def give(name: str, **arguments: object) -> Any:
            answer = None if url or here else call_over_there(folder, name, arguments)
            if answer is None:
                if not here:
                    _refuse_a_new_installation(folder, url)
                    runner = stack.enter_context(asyncio.Runner())
                    house = runner.run(open_house(folder, database=url or None))
                    stack.callback(lambda: runner.run(house.close()))
                    here.append((runner, house))
                runner, house = here[0]
                answer = runner.run(carry_out(house, name, arguments))
            if "refused" in answer:
                raise Refused(answer["refused"])
            return answer["result"]

        yield give


def _refuse_a_new_installation(folder: Path, url: str) -> None:
    if not url and not (folder / "kessai.db").exists():
        raise Refused(f"there is no Kessai database in the folder {folder}; `kessai serve` makes one")
    if url and not has_key(folder):
        raise Refused(f"there is no key-encryption key in the folder {folder}; `kessai serve` makes one")


def database_url(folder: Path, database: str | None) -> str:
    """The PostgreSQL database that was named, else the one of the settings; empty: the folder's own."""
    return config.database_url(database if database is not None else config.load(folder).database)


def has_key(folder: Path) -> bool:
    """Whether a key-encryption key is given, in the environment or in the folder."""
    return KEY_VARIABLE in os.environ or (folder / "keys" / "kek").exists()
