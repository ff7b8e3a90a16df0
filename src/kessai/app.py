"""The composition root: builds everything from a data folder and its settings, and takes it down again in order.

CannotOpen   the folder, a key or a merchant makes it impossible to start; one sentence for the operator
"""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kessai import acquirers, config, vault
from kessai.accounts import Accounts, Refused
from kessai.config import Settings
from kessai.edge import Edge
from kessai.gateway import Gateway
from kessai.ids import Ids
from kessai.jobs.worker import Worker
from kessai.storage.database import InUse, Sqlite, Unsafe
from kessai.storage.payments import Payments
from kessai.vault import KeyEncryptionKey, Vault

KEY_VARIABLE: Final = "KESSAI_KEY_ENCRYPTION_KEY"
NODE: Final = 1
"""The embedded database has one writing process, so one node."""

SANDBOX: Final[Mapping[str, str]] = {
    "kessai_sandbox": "sandbox",
    "kessai_vpc": "vpc",
    "kessai_smcc": "smcc",
    "kessai_jcn": "jcn",
}
"""Merchants that a new installation begins with, by their personality; the first is the default of commands."""
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
    database: Sqlite
    accounts: Accounts
    gateway: Gateway
    worker: Worker
    clock: Callable[[], datetime]
    url: str = ""
    """Where requests are taken; empty while nothing is served."""

    def edge(self) -> Edge:
        hosts = frozenset(host.lower() for host in self.settings.accepted_hosts) or None
        return Edge(
            self.accounts,
            self.gateway,
            accepted_hosts=hosts,
            window_s=self.settings.signature_window_s,
            wall_clock=utc_now,
        )

    async def close(self) -> None:
        await self.gateway.close()
        await self.database.close()


async def open_house(folder: Path, *, clock: Callable[[], datetime] = utc_now) -> House:
    """Open a data folder; on an empty one, create keys, schema and the sandbox merchants. CannotOpen."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = config.load(folder)
        vault.self_test()
        kek = key_encryption_key(folder)
        database = Sqlite(folder)
    except (config.BadSetting, InUse, Unsafe, ValueError, vault.VaultError) as error:
        raise CannotOpen(str(error)) from None
    except OSError as error:
        raise CannotOpen(f"the folder {folder} cannot be used: {error.strerror or error}") from None
    try:
        return await _compose(folder, settings, kek, database, clock)
    except BaseException:
        await database.close()
        raise


async def _compose(
    folder: Path, settings: Settings, kek: KeyEncryptionKey, database: Sqlite, clock: Callable[[], datetime]
) -> House:
    ring = Vault(kek)
    accounts = Accounts(database, ring)
    try:
        await accounts.load()
        if not list(accounts):
            for merchant_id, personality in SANDBOX.items():
                await accounts.add(merchant_id, personality, clock())
    except vault.VaultError as error:
        raise CannotOpen(f"the key-encryption key does not open this database: {error}") from None
    except Refused as error:
        raise CannotOpen(str(error)) from None
    payments = Payments(database)
    newest = max([await payments.newest_id(account.merchant.id) for account in accounts], default=0)
    new_id = Ids(NODE, newest).next
    links = {folder_name: acquirers.load(folder_name) for folder_name in _links()}
    gateway = Gateway(
        database=database,
        vault=ring,
        links={name: links[kind.link] for name, kind in acquirers.personalities().items()},
        new_id=new_id,
        clock=clock,
        lease=secrets.randbits(62),
        deadline_s=settings.acquirer_deadline_s,
    )
    worker = Worker(
        gateway,
        lambda: [account.merchant for account in accounts],
        first_wait_s=settings.clean_up_first_s,
        longest_wait_s=settings.clean_up_longest_s,
    )
    gateway.work = worker.wake
    return House(
        folder=folder,
        settings=settings,
        database=database,
        accounts=accounts,
        gateway=gateway,
        worker=worker,
        clock=clock,
    )


def _links() -> set[str]:
    return {kind.link for kind in acquirers.personalities().values()}


def key_encryption_key(folder: Path) -> KeyEncryptionKey:
    """The key over all keys: from the environment, else from `keys/kek` in the folder, made at the first start.

    ValueError for a key that is none; CannotOpen for a file that others may read, or that is missing beside a database.
    """
    text = os.environ.get(KEY_VARIABLE)
    if text is not None:
        return vault.parse_kek(text)
    file = folder / "keys" / "kek"
    if not file.exists():
        if (folder / "kessai.db").exists():
            raise CannotOpen(f"the key-encryption key {file} is missing; without it the database cannot be opened")
        file.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
            out.flush()
            os.fsync(out.fileno())
        for kept in (file.parent, folder):  # the file's name has to survive a power cut too
            descriptor = os.open(kept, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    if file.stat().st_mode & 0o077:
        raise CannotOpen(f"the key-encryption key {file} can be read by others; run: chmod 600 {file}")
    return vault.parse_kek(file.read_text("latin-1"))
