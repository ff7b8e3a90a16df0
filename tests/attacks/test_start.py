"""What must stop a gateway before it takes a request, and what must hold when it takes one."""

import asyncio
import base64
import hashlib
import hmac
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kessai.app import CannotOpen, open_house
from kessai.storage.sqlite import connect
from tests.acceptance.client import VISA
from tests.houses import Till, opened


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a payment in it, closed."""
    folder = tmp_path_factory.mktemp("used")

    async def main() -> None:
        async with opened(folder, works=False) as house:
            await Till(house).authorize()

    asyncio.run(main())
    return folder


@pytest.fixture
def folder(used: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(used, tmp_path / "data"))


def _refusal(folder: Path) -> str:
    async def main() -> None:
        house = await open_house(folder)
        await house.close()

    with pytest.raises(CannotOpen) as refused:
        asyncio.run(main())
    return str(refused.value)


def _kek(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "keys" / "kek").write_text(content)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a wrong key": (_kek(base64.b64encode(bytes(range(32))).decode()), "does not open this database"),
    "a missing key": (lambda folder: (folder / "keys" / "kek").unlink(), "is missing"),
    "a key that all may read": (lambda folder: (folder / "keys" / "kek").chmod(0o644), "can be read by others"),
    "a short key": (_kek(base64.b64encode(bytes(16)).decode()), "key"),
    "a key that is none": (_kek("change me"), "key"),
    "an unknown setting": (lambda folder: (folder / "kessai.toml").write_text("debug = true\n"), "no setting debug"),
    "a setting that cannot be": (
        lambda folder: (folder / "kessai.toml").write_text("acquirer_deadline_s = 0\n"),
        "acquirer_deadline_s",
    ),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_a_start_that_is_not_safe_is_refused_and_says_why(
    folder: Path, spoil: Callable[[Path], object], says: str
) -> None:
    """A-65, A-112: before any port is open, in one sentence that holds no key."""
    key = (folder / "keys" / "kek").read_text().strip()
    spoil(folder)
    said = _refusal(folder)
    assert says in said
    assert key not in said


def test_a_new_folder_is_its_owners_alone(used: Path) -> None:
    """A-112: neither key nor database can be read by others."""
    assert used.joinpath("keys", "kek").stat().st_mode & 0o077 == 0
    assert used.joinpath("keys").stat().st_mode & 0o077 == 0
    assert os.access(used / "kessai.db", os.R_OK)


def test_a_second_gateway_on_one_folder_is_refused(folder: Path) -> None:
    """A-114."""

    async def main() -> None:
        async with opened(folder, works=False) as house:
            with pytest.raises(CannotOpen, match="another Kessai"):
                await open_house(folder)
            assert (await Till(house).authorize()).approved == 10_000

    asyncio.run(main())


def test_a_database_that_was_weakened_is_served_in_full_strength_again(folder: Path) -> None:
    """A-113: the journal's mode lies in the file, how a commit is synced in the connection."""
    with closing(connect(folder / "kessai.db", guarded=False)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)

    async def main() -> None:
        async with opened(folder, works=False) as house:
            await Till(house).authorize()
            assert (folder / "kessai.db").read_bytes()[18:20] == b"\x02\x02"  # WAL, for readers and writers
            writer = getattr(house.database, "_writer", None)
            assert writer is not None
            assert writer.pragma("synchronous") == 2  # FULL

    asyncio.run(main())


def test_a_dump_without_the_key_tells_no_card_number(used: Path) -> None:
    """A-66: the number of a card is not found by trying every one that fits its first six and last four digits."""
    with closing(connect(used / "kessai.db")) as reader:
        kept = reader.execute("SELECT card, fingerprint, pan_prefix, pan_suffix, merchant_id FROM payments").fetchall()
    ((card, fingerprint, prefix, suffix, merchant),) = kept
    assert isinstance(card, bytes)
    assert isinstance(fingerprint, bytes)
    assert (prefix, suffix) == (VISA[:6], VISA[-4:])
    number = VISA.encode()
    bare = [hashlib.new(name, number).digest() for name in ("md5", "sha1", "sha256", "sha512", "blake2b")]
    salted = [hmac.digest(salt.encode(), number, "sha256") for salt in (str(merchant), VISA[:6], VISA[-4:], "kessai")]
    assert number not in card + fingerprint
    assert bytes.fromhex(VISA) not in card + fingerprint
    assert fingerprint not in [hashed[: len(fingerprint)] for hashed in (*bare, *salted)]
