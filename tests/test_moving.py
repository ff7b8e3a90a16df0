"""Tokens on their way to another installation: all of them arrive, and answer alike; a file that is not whole, or not
for this key, is refused before anything is written."""

import asyncio
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwe
from typer.testing import CliRunner

from kessai import log, moving, parcels
from kessai.cli import app
from kessai.parcels import Place, Record, Unreadable
from kessai.payment.card import Pan
from kessai.tokenizer import Resolved
from kessai.tokens.standing import Names
from tests import postgres
from tests.acceptance.client import BILL_TO, Client, Json
from tests.acceptance.conftest import serving
from tests.attacks.harm import rows
from tests.commands import gateway
from tests.conftest import on_both_engines
from tests.houses import opened

SHOP: Final = "moving_shop"
PAN, OTHER, ACCOUNT = "4917610000000000", "5200828282828210", "27182818284590459"
"""Numbers that the file must not show."""
CUSTOMERS, NUMBERS, LONE = "/tms/v2/customers", "/tms/v1/instrumentidentifiers", "/tms/v1/paymentinstruments"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few tokens are several lines; and a command configures the log of its process, which here is the tests'."""
    monkeypatch.setattr(moving, "PAGE", 3)
    root = logging.getLogger()
    before = root.handlers[:], root.level, warnings.showwarning
    yield
    log.configure()
    logging.captureWarnings(False)
    root.handlers[:], root.level, warnings.showwarning = before


@dataclass(frozen=True)
class Keys:
    """Files with a recipient's key and certificate."""

    private: Path
    certificate: Path

    def load(self) -> Any:
        return parcels.opener(self.private.read_bytes())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return _keys(tmp_path_factory.mktemp("keys"))


def _keys(folder: Path) -> Keys:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    found = Keys(folder / "private.pem", folder / "certificate.pem")
    found.private.write_bytes(_pem(key))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "recipient")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    now = datetime.now(UTC)
    dated = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).serial_number(7)
    found.certificate.write_bytes(dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return found


def _pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made


def kessai(folder: Path, *arguments: str, database: str = "", typed: str | None = None) -> Json:
    """What a command says, as a document: it is carried out in this process."""
    url = ["--database", database] if database else []
    done = CliRunner().invoke(app, [*arguments, "--data", str(folder), *url, "--json"], input=typed)
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    said: Json = json.loads(done.stdout)
    return said


def filled(shop: Client) -> list[str]:
    """Tokens of every kind, in every state; what asks for each of them and for the lists of them."""
    one, two, gone = (shop.post(CUSTOMERS, {"objectInformation": {"title": f"東京 {name}"}}).id for name in "abc")
    card, other = (shop.post(NUMBERS, {"card": {"number": number}}).id for number in (PAN, OTHER))
    account = shop.post(NUMBERS, {"bankAccount": {"number": ACCOUNT, "routingNumber": "071923284"}}).id
    paths = [f"{CUSTOMERS}/{each}" for each in (one, two, gone)] + [f"{NUMBERS}/{each}" for each in (card, account)]

    def instrument(number: str) -> Json:
        about = {"expirationMonth": "12", "expirationYear": "2031", "type": "001"}
        return {"card": about, "billTo": dict(BILL_TO), "instrumentIdentifier": {"id": number}}

    cards = [shop.post(f"{CUSTOMERS}/{one}/payment-instruments", instrument(each)).id for each in (card, other, card)]
    for place in ("JP", "US"):
        address = shop.post(f"{CUSTOMERS}/{two}/shipping-addresses", {"shipTo": {"country": place}}).id
        paths.append(f"{CUSTOMERS}/{two}/shipping-addresses/{address}")
    lone = shop.post(LONE, instrument(card)).id
    shop.call("PATCH", f"{CUSTOMERS}/{one}/payment-instruments/{cards[1]}", {"default": True})
    assert shop.call("DELETE", f"{CUSTOMERS}/{one}/payment-instruments/{cards[2]}").status == 204
    assert shop.call("DELETE", f"{CUSTOMERS}/{gone}").status == 204
    paths += [f"{CUSTOMERS}/{one}/payment-instruments/{each}" for each in cards]
    paths += [f"{CUSTOMERS}/{one}/payment-instruments", f"{CUSTOMERS}/{two}/shipping-addresses", f"{LONE}/{lone}"]
    return [*paths, f"{NUMBERS}/{card}/paymentinstruments", f"{CUSTOMERS}/{'0' * 32}"]


def told(shop: Client, paths: list[str]) -> list[tuple[int, str | None, str]]:
    """Status, tag and body of each, without the port of the server."""
    replies = [shop.call("GET", path) for path in paths]
    return [
        (reply.status, reply.headers.get("etag"), re.sub(r"127\.0\.0\.1:\d+", "host", reply.body.decode()))
        for reply in replies
    ]


@dataclass(frozen=True)
class Sent:
    """A file of the tokens of a shop on SQLite, and what they answer there."""

    file: Path
    folder: Path
    paths: list[str]
    answers: list[tuple[int, str | None, str]]
    said: Json


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Sent:
    folder = tmp_path_factory.mktemp("source")
    with serving(folder, "", io.StringIO()) as service:
        shop = service.merchant(SHOP, "vpc")
        paths = filled(shop)
        answers = told(shop, paths)
    file = folder / "tokens.kessai"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moving, "PAGE", 3)
        said = kessai(folder, "vault", "export", str(file), "--merchant", SHOP, "--to", str(keys.certificate))
    return Sent(file, folder, paths, answers, said)


@dataclass(frozen=True)
class Other:
    """Another installation with the merchant, and no tokens of it."""

    folder: Path
    url: str

    def import_(self, file: Path, key: Path, merchant: str = SHOP) -> Json:
        line = ("vault", "import", str(file), "--key", str(key), "--merchant", merchant)
        return kessai(self.folder, *line, database=self.url)

    def asked(self, ask: Callable[[Client], Any]) -> Any:
        with serving(self.folder, self.url, io.StringIO()) as service:
            return ask(service.merchant(SHOP, "vpc"))


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Other:
    made = Other(tmp_path, postgres.fresh() if request.param == "postgresql" else "")
    made.asked(lambda shop: shop.merchant)
    return made


@pytest.fixture
def embedded(tmp_path: Path) -> Other:
    made = Other(tmp_path, "")
    made.asked(lambda shop: shop.merchant)
    return made


def test_what_was_exported_answers_alike_where_it_was_imported(sent: Sent, keys: Keys, other: Other) -> None:
    """Bodies, tags, order and deletions; numbers pay, and are found again."""
    assert {status for status, _, _ in sent.answers} == {200, 404, 410}
    done = other.import_(sent.file, keys.private)
    assert done["digest"] == sent.said["digest"]
    assert (done["tokens"], done["new"]) == (sent.said["tokens"], sum(sent.said["tokens"].values()))

    def ask(shop: Client) -> None:
        assert told(shop, sent.paths) == sent.answers
        for number in ({"card": {"number": PAN}}, {"bankAccount": {"number": ACCOUNT, "routingNumber": "071923284"}}):
            again = shop.post(NUMBERS, number)
            assert (again.status, f"{NUMBERS}/{again.id}" in sent.paths) == (200, True)
        customer = sent.paths[0].rpartition("/")[2]
        resolved = shop.service.run(shop.service.house.tokenizer.resolve(SHOP, Names(customer=customer)))
        assert isinstance(resolved, Resolved)
        assert (resolved.number, resolved.expiry) == (Pan(OTHER), "2031-12")

    other.asked(ask)
    again = other.import_(sent.file, keys.private)
    assert (again["new"], again["known"], again["newer"]) == (0, done["new"], 0)


def test_what_goes_on_here_stays_when_a_file_comes_again(sent: Sent, keys: Keys, embedded: Other) -> None:
    embedded.import_(sent.file, keys.private)
    one, two, *_ = sent.paths

    def change(shop: Client) -> list[tuple[int, str | None, str]]:
        assert shop.call("PATCH", one, {"objectInformation": {"title": "newer"}}).status == 200
        assert shop.call("DELETE", two).status == 204
        return told(shop, sent.paths)

    changed = embedded.asked(change)
    again = embedded.import_(sent.file, keys.private)
    assert (again["new"], again["newer"]) == (0, 4), "the customer, the deleted one and its two addresses"
    assert embedded.asked(lambda shop: told(shop, sent.paths)) == changed


def test_an_import_that_broke_off_goes_on(sent: Sent, keys: Keys, embedded: Other) -> None:
    """At every order that it gives, one after another."""
    kept = moving.Mover.unpack
    calls = broken = 0

    async def unpack(self: moving.Mover, merchant_id: str, chunk: parcels.Chunk, stage: str) -> moving.Tally:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise moving.Refused("it broke off")
        return await kept(self, merchant_id, chunk, stage)

    lines = len(sent.file.read_bytes().splitlines())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moving.Mover, "unpack", unpack)
        for place in (lines - 1, lines + 2, 2 * lines - 2, 2 * lines + 2, 3 * lines - 1):
            calls, broken = 0, place
            assert embedded.import_(sent.file, keys.private) == {"error": "it broke off."}
    assert embedded.import_(sent.file, keys.private)["tokens"] == sent.said["tokens"]
    assert embedded.asked(lambda shop: told(shop, sent.paths)) == sent.answers


def _cut(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def _reordered(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


SPOILED: Final[dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]]] = {
    "empty": (lambda lines: [], "cut short"),
    "without its end": (_cut, "cut short"),
    "cut in a line": (lambda lines: [*lines[:-1], lines[-1][:-9]], "does not open"),
    "without a line": (lambda lines: [*lines[:1], *lines[2:]], "out of order"),
    "without its first line": (lambda lines: lines[1:], "out of order"),
    "reordered": (_reordered, "out of order"),
    "a line twice": (lambda lines: [*lines[:2], *lines[1:]], "out of order"),
    "goes on after its end": (lambda lines: [*lines, lines[-1]], "behind the end"),
    "one letter changed": (lambda lines: [lines[0], lines[1][:-40] + b"AAAA" + lines[1][-36:], *lines[2:]], "changed"),
    "another header": (lambda lines: [lines[0], b"e30" + lines[1][lines[1].index(b".") :], *lines[2:]], "is no line"),
    "no file of tokens": (lambda lines: [b"Kessai"], "is no line"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_is_not_as_it_was_written_is_refused_whole(
    sent: Sent, keys: Keys, embedded_once: Other, tmp_path: Path, name: str
) -> None:
    spoil, why = SPOILED[name]
    file = tmp_path / "spoiled"
    file.write_bytes(b"".join(line + b"\n" for line in spoil(sent.file.read_bytes().splitlines())))
    assert why in embedded_once.import_(file, keys.private)["error"]
    assert tokens_of(embedded_once) == []


@pytest.fixture(scope="module")
def embedded_once(tmp_path_factory: pytest.TempPathFactory) -> Other:
    made = Other(tmp_path_factory.mktemp("empty"), "")
    made.asked(lambda shop: shop.merchant)
    return made


def tokens_of(other: Other) -> list[object]:
    with serving(other.folder, other.url, io.StringIO()) as service:
        return list(rows(service, f"SELECT id FROM tokens WHERE merchant_id = '{SHOP}'"))


def test_another_key_or_another_merchant_opens_nothing(
    sent: Sent, keys: Keys, embedded_once: Other, tmp_path: Path
) -> None:
    stranger = _keys(tmp_path)
    assert "another key" in embedded_once.import_(sent.file, stranger.private)["error"]
    assert "private key cannot be read" in embedded_once.import_(sent.file, keys.certificate)["error"]
    said = embedded_once.import_(sent.file, keys.private, "kessai_vpc")["error"]
    assert said == f"the file has tokens of the merchant {SHOP}, not of kessai_vpc."
    assert tokens_of(embedded_once) == []


def test_a_file_with_another_digest_is_not_taken(sent: Sent, keys: Keys, embedded: Other) -> None:
    line = ("vault", "import", str(sent.file), "--key", str(keys.private), "--merchant", SHOP, "--digest")
    assert "is another one" in kessai(embedded.folder, *line, "0" * 64)["error"]
    assert tokens_of(embedded) == []
    assert kessai(embedded.folder, *line, sent.said["digest"].upper())["new"] > 0


def test_a_private_key_may_have_a_password(sent: Sent, keys: Keys, embedded: Other, tmp_path: Path) -> None:
    loaded = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    kept = serialization.BestAvailableEncryption(b"correct horse")
    (tmp_path / "key.pem").write_bytes(
        loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)
    )
    line = ("vault", "import", str(sent.file), "--key", str(tmp_path / "key.pem"), "--merchant", SHOP)
    assert "cannot be read" in kessai(embedded.folder, *line, typed="wrong\n")["error"]
    assert kessai(embedded.folder, *line, typed="correct horse\n")["digest"] == sent.said["digest"]


def parcel(keys: Keys, file: Path, *records: Record) -> Path:
    """A file that somebody else wrote."""
    key, place = parcels.recipient(keys.certificate.read_bytes()), Place(secret="x", merchant=SHOP)
    lines = []
    for tokens in (records, ()):
        line, place = parcels.seal(place, tokens, key)
        lines.append(line)
    file.write_text("\n".join(lines) + "\n")
    return file


UNSOUND: Final = {
    "a number that is none": {"kind": "instrument identifier", "number": "41x1"},
    "no number": {"kind": "instrument identifier"},
    "a number of a customer": {"kind": "customer", "number": PAN},
    "an unknown kind": {"kind": "card"},
    "an unknown state": {"kind": "customer", "state": "LOST"},
    "an id that is none": {"kind": "customer", "id": "../.."},
    "a card over nothing": {"kind": "payment instrument"},
    "an address of nobody": {"kind": "shipping address"},
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_no_token_is_refused(keys: Keys, embedded_once: Other, tmp_path: Path, name: str) -> None:
    values: Json = {"id": "A" * 32, "made": 1, "version": 1, "state": "ACTIVE"} | UNSOUND[name]
    said = embedded_once.import_(parcel(keys, tmp_path / "tokens", Record(**values)), keys.private)["error"]
    assert "is not as tokens are" in said
    assert PAN not in said
    assert tokens_of(embedded_once) == []


def test_what_belongs_to_nothing_is_named(keys: Keys, embedded: Other, tmp_path: Path) -> None:
    alone = Record(kind="payment instrument", id="B" * 32, made=1, version=1, state="ACTIVE", instrument="C" * 32)
    said = embedded.import_(parcel(keys, tmp_path / "tokens", alone), keys.private)["error"]
    assert f"the instrument identifier {'C' * 32}, which is neither in the file nor here" in said
    assert tokens_of(embedded) == []


@on_both_engines
def test_two_imports_at_once_make_each_token_once(sent: Sent, keys: Keys, tmp_path: Path) -> None:
    async def race() -> None:
        async with opened(tmp_path) as house:
            await house.accounts.add(SHOP, "vpc", house.clock())
            at, totals = None, 0
            for line in sent.file.read_text().splitlines():
                chunk, at = parcels.read(line, at, keys.load())
                racing = (house.mover().unpack(SHOP, chunk, "owners") for _ in range(4))
                totals += sum(tally.new for tally in await asyncio.gather(*racing))
                customers = [each for each in chunk.tokens if each.kind in ("customer", "instrument identifier")]
                assert len(customers) == totals
                totals = 0

    asyncio.run(race())


def test_a_clash_is_named_and_nothing_is_written(sent: Sent, keys: Keys, embedded: Other) -> None:
    theirs = embedded.asked(lambda shop: shop.post(NUMBERS, {"card": {"number": PAN}}).id)
    said = embedded.import_(sent.file, keys.private)["error"]
    assert f"its number has {theirs} here" in said
    assert PAN not in said
    assert len(tokens_of(embedded)) == 1


def test_no_number_stands_in_a_file_in_clear(sent: Sent, keys: Keys) -> None:
    """Nor in any other form that would give it away; nor what a merchant said of a customer."""
    written = sent.file.read_bytes()
    assert sent.file.stat().st_mode & 0o777 == 0o600
    for secret in (PAN, OTHER, ACCOUNT, "東京", BILL_TO["email"]):
        clear = secret.encode()
        for form in (clear, clear[::-1], clear.hex().encode(), bytes.fromhex(clear.hex())):
            assert form not in written
    opened = b"".join(_opened(written, keys))
    assert all(number.encode() in opened for number in (PAN, OTHER, ACCOUNT)), "the test of the test"
    assert not list(sent.folder.glob("*.part"))


def test_no_number_is_on_disk_or_in_the_log_after_an_import(
    sent: Sent, keys: Keys, embedded: Other, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    embedded.import_(sent.file, keys.private)
    everything = [path.read_bytes() for path in embedded.folder.rglob("*") if path.is_file()]
    everything += [caplog.text.encode(), "".join(capfd.readouterr()).encode()]
    for number in (PAN, OTHER, ACCOUNT):
        assert not any(number.encode() in each for each in everything)
    private = keys.private.read_bytes().splitlines()[1]
    assert not any(private in each for each in everything)


def _opened(written: bytes, keys: Keys) -> Iterator[bytes]:
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"], strict_check_header=False)
    for line in written.splitlines():
        yield jwe.decrypt_compact(line, keys.load(), registry=registry).plaintext or b""


def test_a_gateway_that_serves_gives_and_takes_files(keys: Keys, tmp_path: Path) -> None:
    """Over the private socket, sandbox merchants with their seeds on both sides."""
    file, here, there = tmp_path / "tokens", tmp_path / "here", tmp_path / "there"
    line = ("--merchant", "kessai_sandbox")
    with gateway(here) as source:
        status, made = source.ask("POST", NUMBERS, {"card": {"number": PAN}})
        assert status == 201
        said = kessai(here, "vault", "export", str(file), "--to", str(keys.certificate), *line)
        again = kessai(here, "vault", "export", str(file), "--to", str(keys.certificate), *line)
        assert again == {"error": f"there is a file {file} already."}
    with gateway(there) as target:
        done = kessai(there, "vault", "import", str(file), "--key", str(keys.private), *line)
        assert (done["digest"], done["tokens"]) == (said["digest"], said["tokens"])
        assert done["new"] + done["known"] == sum(said["tokens"].values())
        assert done["known"] > 10, "seeds have the ids of the public samples on both sides, or ids of their own"
        assert target.ask("GET", f"{NUMBERS}/{made['id']}")[0] == 200


@pytest.mark.parametrize("kind", ["private", "small", "elliptic", "text"])
def test_who_is_sealed_to_has_to_have_a_fit_key(sent: Sent, keys: Keys, tmp_path: Path, kind: str) -> None:
    made: dict[str, Callable[[], bytes]] = {
        "private": keys.private.read_bytes,
        "small": lambda: _public(rsa.generate_private_key(public_exponent=65_537, key_size=1024)),
        "elliptic": lambda: _public(ec.generate_private_key(ec.SECP256R1())),
        "text": lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    }
    pem, file = tmp_path / "key.pem", tmp_path / "tokens"
    pem.write_bytes(made[kind]())
    said = kessai(sent.folder, "vault", "export", str(file), "--merchant", SHOP, "--to", str(pem))
    assert re.search("private key|2048 bits|cannot be read", said["error"])
    assert not file.exists()


def _public(key: Any) -> bytes:
    made: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return made


def test_a_line_of_another_file_or_version_is_refused(keys: Keys) -> None:
    """Somebody who has the recipient's certificate can seal lines, and still cannot put one into a file."""
    sealed = parcels.recipient(keys.certificate.read_bytes())
    record = Record(kind="customer", id="A" * 32, made=1, version=1, state="ACTIVE")
    first, place = parcels.seal(Place(secret="ours", merchant=SHOP), (record,), sealed)
    forged, _ = parcels.seal(Place(secret="theirs", merchant=SHOP, number=1, before=place.before), (), sealed)
    _, at = parcels.read(first, None, keys.load())
    with pytest.raises(Unreadable, match="another file"):
        parcels.read(forged, at, keys.load())
    short = Place(secret="ours", merchant=SHOP, number=1, before=place.before)
    with pytest.raises(Unreadable, match="does not count"):
        parcels.read(parcels.seal(short, (), sealed)[0], at, keys.load())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parcels, "VERSION", 2)
        newer, _ = parcels.seal(Place(secret="ours", merchant=SHOP), (record,), sealed)
    with pytest.raises(Unreadable, match="another version"):
        parcels.read(newer, None, keys.load())
    assert PAN not in repr(Record(kind="x", id="y", made=1, version=1, state="ACTIVE", number=PAN))
