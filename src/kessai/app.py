"""The composition root: builds everything from a data folder and its settings, and takes it down again in order.

CannotOpen   the folder, a key or a merchant makes it impossible to start; one sentence for the operator
"""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kessai import acquirers, config, known_answers, vault
from kessai.accounts import Accounts, Refused
from kessai.authenticator import Authenticator
from kessai.billing import cards
from kessai.billing.service import Billing
from kessai.checkout.service import Checkout
from kessai.clock import Clocks
from kessai.config import Settings
from kessai.edge import Edge
from kessai.edge.paying import Paying
from kessai.edge.proving import Proving
from kessai.flex.service import FlexService
from kessai.gateway import Gateway
from kessai.health import Health
from kessai.ids import Source
from kessai.jobs import recurring
from kessai.jobs.indexing import Indexer
from kessai.jobs.recurring import Biller
from kessai.jobs.worker import Worker
from kessai.limits import Limits
from kessai.log import log
from kessai.metrics import Metrics
from kessai.moving import Mover
from kessai.networks import Networks
from kessai.payment.merchant import Merchant
from kessai.risk.service import Risk
from kessai.rotation import Rotation
from kessai.searches import Searches, describe
from kessai.second import SecondWire, second_wire
from kessai.storage.database import Database, InUse, Unavailable, Unsafe
from kessai.storage.nodes import Seat
from kessai.storage.originals import Originals
from kessai.storage.payments import Payments
from kessai.storage.postgres import Postgres
from kessai.storage.sqlite import Sqlite
from kessai.storage.subscriptions import Subscriptions
from kessai.tms import seeds
from kessai.tms.service import TokenService
from kessai.tokenizer import Tokenizer
from kessai.transients import Transients
from kessai.vault import KeyEncryptionKey, Vault
from kessai.webhooks.notifier import Notifier
from kessai.webhooks.registry import Registry
from kessai.webhooks.sender import Sender
from kessai.webhooks.service import WebhookService

KEY_VARIABLE: Final = "KESSAI_KEY_ENCRYPTION_KEY"
SANDBOX: Final[Mapping[str, str]] = {
    "kessai_sandbox": "sandbox",
    "kessai_vpc": "vpc",
    "kessai_smcc": "smcc",
    "kessai_jcn": "jcn",
}
"""Merchants that a new installation begins with, by their personality; the first is the default of commands."""
LEGAL_NAMES: Final[Mapping[str, str]] = {
    "kessai_sandbox": "決済サンドボックス株式会社",
    "kessai_vpc": "決済VPC株式会社",
    "kessai_smcc": "決済SMCC株式会社",
    "kessai_jcn": "決済JCN株式会社",
}
"""What the law calls them."""
DEFAULT_MERCHANT: Final = "kessai_sandbox"


class CannotOpen(Exception):
    pass


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class House:
    """Everything that runs on one data folder."""

    folder: Path
    settings: Settings
    database: Database
    seat: Seat
    vault: Vault
    accounts: Accounts
    gateway: Gateway
    tokenizer: Tokenizer
    transients: Transients
    authenticator: Authenticator
    worker: Worker
    health: Health
    metrics: Metrics
    clocks: Clocks
    billing: Billing
    webhooks: WebhookService
    registry: Registry
    notifier: Notifier
    second: SecondWire
    clock: Callable[[], datetime]
    url: str = ""
    """Where requests are taken; empty while nothing is served."""

    def edge(self) -> Edge:
        hosts = frozenset(host.lower() for host in self.settings.accepted_hosts) or None
        limits = Limits(
            self.metrics,
            failures_per_s=self.settings.failures_per_s,
            failures_burst=self.settings.failures_burst,
            proxies=self.settings.trusted_proxies,
        )
        proving = Proving(self.authenticator, self.gateway.new_id, self.clock, self.settings.public_url)
        paying = Paying(self.tokenizer, self.transients, Originals(self.gateway.database), proving)
        return Edge(
            self.accounts,
            self.gateway,
            accepted_hosts=hosts,
            window_s=self.settings.signature_window_s,
            wall_clock=utc_now,
            metrics=self.metrics,
            refuses_new_payments=self.health.refuses_new_payments,
            limits=limits,
            paying=paying,
            services=(
                TokenService(
                    self.tokenizer, self.transients, self.metrics, self.health.refuses_new_payments, self.worker.wake
                ),
                FlexService(
                    self.transients,
                    self.accounts,
                    self.metrics,
                    limits,
                    public_url=self.settings.public_url,
                    refuses_new=self.health.refuses_new_payments,
                ),
                Searches(self.gateway),
                Risk(self.authenticator, paying, self.gateway.new_id, self.health.refuses_new_payments),
                Checkout(self.authenticator, limits),
                self.billing,
                self.webhooks,
                self.clocks,
                *self.second.services(self.accounts, limits, self.metrics, self.health.refuses_new_payments),
            ),
        )

    def rotation(self) -> Rotation:
        return Rotation(self.database, self.vault, self.accounts.keys, self.keep_up, self.clock)

    def mover(self) -> Mover:
        return Mover(self.database, self.tokenizer)

    async def keep_up(self) -> None:
        """Load what any process has changed of merchants and keys; say so once nothing is under way from before."""
        await self.accounts.refresh()
        version = self.accounts.version
        if version != self.seat.loaded:
            await self.database.settled()
            await self.seat.report(version)

    async def close(self) -> None:
        await self.gateway.close()
        await self.accounts.keys.give_back()
        await self.seat.release()
        await self.database.close()


async def open_house(folder: Path, *, database: str | None = None, clock: Callable[[], datetime] = utc_now) -> House:
    """Open a data folder; on an empty one, create keys, schema and the sandbox merchants. CannotOpen.

    `database` is a URL, before the setting of that name; without either it is the embedded one in the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = config.load(folder)
        url = config.database_url(database if database is not None else settings.database)
        known_answers.self_test()
        if not url:
            kek = key_encryption_key(folder)
        engine = await _open_database(folder, url, settings)
    except (config.BadSetting, InUse, Unavailable, Unsafe, ValueError, vault.VaultError) as error:
        raise CannotOpen(str(error)) from None
    except OSError as error:
        raise CannotOpen(f"the folder {folder} cannot be used: {error.strerror or error}") from None
    try:
        if url:
            kek = await _key_for_server(folder, engine)
        return await _compose(folder, settings, kek, engine, clock)
    except BaseException:
        await engine.close()
        raise


async def _open_database(folder: Path, url: str, settings: Settings) -> Database:
    may_lose = settings.may_lose_acknowledged_payments
    engine: Database
    if url:
        engine = await Postgres.open(url, pooled=settings.pooler, distributed=settings.distributed, may_lose=may_lose)
    else:
        engine = Sqlite(folder, may_lose=may_lose)
    for sentence in engine.weaknesses:
        log("database.weakened", level="warning", reason=sentence)
    return engine


async def _key_for_server(folder: Path, engine: Database) -> KeyEncryptionKey:
    """The key-encryption key beside a database elsewhere: made only for one that is empty. CannotOpen."""
    try:
        return key_encryption_key(folder, is_new=not await engine.read("all_merchants", {}))
    except ValueError as error:
        raise CannotOpen(str(error)) from None
    except OSError as error:
        raise CannotOpen(f"the folder {folder} cannot be used: {error.strerror or error}") from None


async def _compose(
    folder: Path, settings: Settings, kek: KeyEncryptionKey, database: Database, clock: Callable[[], datetime]
) -> House:
    ring = Vault(kek, is_counted=True)
    accounts = Accounts(database, ring)
    # Before anything is read: whoever turns keys waits for a process that has a number and has not told what it loaded.
    seat = Seat(database)
    await seat.take()
    try:
        return await _furnish(folder, settings, ring, accounts, seat, clock)
    except BaseException:
        await seat.release()
        raise


async def _furnish(
    folder: Path, settings: Settings, ring: Vault, accounts: Accounts, seat: Seat, clock: Callable[[], datetime]
) -> House:
    database = accounts.database
    await _load(accounts, clock)
    payments = Payments(database)
    newest = max([await payments.newest_id(account.merchant.id) for account in accounts], default=0)
    source = Source(seat, newest)
    links = _links(folder, settings)
    metrics = Metrics()
    database.observe = metrics.commit
    gateway = Gateway(
        database=database,
        vault=ring,
        links={name: links[kind.link] for name, kind in acquirers.personalities().items()},
        new_id=source.next,
        may_begin=source.may_begin,
        clock=clock,
        lease=seat.lease,
        deadline_s=settings.acquirer_deadline_s,
        metrics=metrics,
        sealed=accounts.keys.sealed,
    )
    tokenizer = Tokenizer(
        database=database,
        vault=ring,
        new_id=source.next,
        clock=clock,
        sealed=accounts.keys.sealed,
        may_begin=source.may_begin,
    )
    transients = Transients(database=database, vault=ring, new_id=source.next, clock=clock, sealed=accounts.keys.sealed)

    def merchant_of(merchant_id: str) -> Merchant | None:
        account = accounts.find(merchant_id)
        return account.merchant if account is not None else None

    authenticator = Authenticator(
        database=database,
        vault=ring,
        keys=transients.keys,
        merchant_of=merchant_of,
        new_id=source.next,
        clock=clock,
        sealed=accounts.keys.sealed,
    )
    accounts.welcome = partial(seeds.plant, tokenizer, database)
    for name in SANDBOX:
        account = accounts.find(name)
        if account is not None:
            await accounts.welcome(account.merchant)

    def merchants() -> list[Merchant]:
        return [account.merchant for account in accounts]

    worker = Worker(
        gateway,
        merchants,
        first_wait_s=settings.clean_up_first_s,
        longest_wait_s=settings.clean_up_longest_s,
        indexer=Indexer(gateway, merchants, describe),
    )
    gateway.work = worker.wake

    def move() -> None:
        source.move()
        gateway.lease = seat.lease

    seat.on_move = move
    await seat.report(accounts.version)
    seat.keep()
    health = Health(
        folder=folder,
        database=database,
        merchants=lambda: [account.merchant for account in accounts],
        vault=ring,
        clock=clock,
        is_acquirer_away=lambda: any(link.is_away for link in links.values()),
    )
    biller = Biller(gateway, Subscriptions(database), cards.card_of(tokenizer), cards.WORDS)

    async def charge(merchant: Merchant) -> None:
        if not health.refuses_new_payments():
            await recurring.charge_due(biller, merchant, lambda: worker.is_stopping)

    registry = _registry(settings, accounts, ring, merchants)
    await registry.load()
    sender = Sender()
    notifier = Notifier(gateway, registry, sender, merchants, merchant_of)
    gateway.notified, gateway.notify = registry.notified, notifier.noticed
    worker.beside += (notifier,)
    worker.charge = charge
    networks = Networks(tokenizer)
    second = second_wire(gateway, tokenizer, authenticator, biller, merchant_of, registry.may_name, settings.public_url)

    async def tend(merchant: Merchant) -> None:
        await networks.tend(merchant)
        await authenticator.tend(merchant)
        await second.links.tend(merchant)

    worker.tend = tend
    return House(
        folder=folder,
        settings=settings,
        database=database,
        seat=seat,
        vault=ring,
        accounts=accounts,
        gateway=gateway,
        tokenizer=tokenizer,
        transients=transients,
        authenticator=authenticator,
        clocks=Clocks(accounts, database, source.next, clock, worker.hurry),
        billing=Billing(biller, tokenizer, refuses_new=health.refuses_new_payments),
        webhooks=WebhookService(gateway, registry, sender, refuses_new=health.refuses_new_payments),
        registry=registry,
        notifier=notifier,
        second=second,
        worker=worker,
        health=health,
        metrics=metrics,
        clock=clock,
    )


async def _load(accounts: Accounts, clock: Callable[[], datetime]) -> None:
    try:
        await accounts.load()
        if not list(accounts):
            await _add_sandbox(accounts, clock())
    except vault.VaultError as error:
        raise CannotOpen(f"the key-encryption key does not open this database: {error}") from None
    except Refused as error:
        raise CannotOpen(str(error)) from None


async def _add_sandbox(accounts: Accounts, now: datetime) -> None:
    """The merchants that a new installation begins with; another process may be adding them too."""
    for merchant_id, personality in SANDBOX.items():
        try:
            await accounts.add(merchant_id, personality, now, legal_name=LEGAL_NAMES[merchant_id])
        except Refused:
            await accounts.load()


def _registry(settings: Settings, accounts: Accounts, ring: Vault, merchants: Callable[[], list[Merchant]]) -> Registry:
    """The webhooks, read whenever merchants are."""
    named = (*(f"//{host}" for host in settings.accepted_hosts), settings.public_url)
    own = {urlsplit(each).hostname or "" for each in named} - {""}  # whatever the port
    declared = {host.lower() for host in settings.webhook_test_hosts}
    registry = Registry(accounts.database, ring, accounts.keys, merchants, declared=declared, own=own)
    accounts.beside = registry.load
    return registry


def _links(folder: Path, settings: Settings) -> dict[str, acquirers.Acquirer]:
    """The link of each folder that a personality names. CannotOpen."""
    way = acquirers.Way(
        address=settings.acquirer,
        book=str(folder / "acquirer.book"),
        connect_s=settings.acquirer_connect_s,
        echo_s=settings.acquirer_echo_s,
        probe_s=settings.acquirer_probe_s,
        window=settings.acquirer_window,
    )
    try:
        return {name: acquirers.load(name, way) for name in {kind.link for kind in acquirers.personalities().values()}}
    except OSError as error:
        raise CannotOpen(f"the acquirer's book in {folder} cannot be used: {error.strerror or error}") from None
    except ValueError as error:
        raise CannotOpen(str(error)) from None


def key_encryption_key(folder: Path, *, is_new: bool = True) -> KeyEncryptionKey:
    """The key over all keys: from the environment, else from `keys/kek` in the folder, made at the first start.

    `is_new`: whether the database has nothing that another key sealed. ValueError for a key that is none; CannotOpen
    for a file that others may read, or that is missing beside a database.
    """
    text = os.environ.get(KEY_VARIABLE)
    if text is not None:
        return vault.parse_kek(text)
    file = folder / "keys" / "kek"
    if not file.exists():
        if not is_new or (folder / "kessai.db").exists():
            raise CannotOpen(f"the key-encryption key {file} is missing; without it the database cannot be opened")
        _make_key(folder, file)
    if file.stat().st_mode & 0o077:
        raise CannotOpen(f"the key-encryption key {file} can be read by others; run: chmod 600 {file}")
    return vault.parse_kek(file.read_text("latin-1"))


def _make_key(folder: Path, file: Path) -> None:
    """Write a new key, whole or not at all; where another process makes one in the same moment, theirs stays."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    half = file.with_name(f"kek.{os.getpid()}.new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        out.flush()
        os.fsync(out.fileno())
    with suppress(FileExistsError):
        os.link(half, file)
    half.unlink()
    for kept in (file.parent, folder):  # the file's name has to survive a power cut too
        descriptor = os.open(kept, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
