"""The official client against a live server: keys for it, the server, and what came of its calls.

The client pins old libraries, so it lives in an environment of its own and runs there, as a program of its own
(`drive.py`). Every play of a merchant's day is one process; all of them run side by side against one server.
"""

import asyncio
import base64
import json
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from kessai import books, server
from kessai.accounts import Accounts
from kessai.app import open_house
from kessai.tls import development_certificate

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[3]
DRIVE: Final = Path(__file__).with_name("drive.py")
PERSONALITIES: Final = ("sandbox", "vpc", "smcc")
DAY: Final = ("lifecycle", "searches", "increments", "timeouts", "japan", "failures")
PASSWORD: Final = "correct horse"
PLAY_S: Final = 110.0
"""How long one process of the client may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server: where it takes plain http and https (`host:port`), whom to trust, who may call, how to stop."""

    plain: str
    secure: str
    authority: Path
    merchants: Mapping[str, Mapping[str, Json]]
    """Authentication -> personality, or `stranger` with a key that is not registered -> the client's configuration."""
    stop: Callable[[], None]


@pytest.fixture(scope="session")
def client_python() -> Callable[[Path], Path]:
    """Finds the Python of the client's environment below a folder; without one the test fails."""

    def find(root: Path) -> Path:
        python = root / ".venv-sdk" / "bin" / "python"
        if not python.exists():
            pytest.fail(
                f"the official client is not installed: there is no {python}; `make test` makes it", pytrace=False
            )
        return python

    return find


@pytest.fixture(scope="session")
def played(client_python: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    """What came of every call, by play and name: one day per authentication, the https calls, and the books after."""
    python = client_python(ROOT)
    folder = tmp_path_factory.mktemp("sdk")
    ready: Future[Served] = Future()
    ended: Future[tuple[books.Report, Envelopes]] = Future()
    thread = Thread(target=lambda: server.run(_serve(folder, ready, ended)))
    thread.start()
    try:
        served = ready.result(30)
        with ThreadPoolExecutor(2) as pool:
            plays = {name: pool.submit(_play, python, orders, folder) for name, orders in _orders(served).items()}
            answers: Json = {name: play.result() for name, play in plays.items()}
        served.stop()
        answers["books"], answers["envelopes"] = ended.result(60)
        yield answers
    finally:
        if ready.done() and ready.exception() is None:
            ready.result().stop()
        thread.join(60)


def _orders(served: Served) -> dict[str, Json]:
    """What `drive.py` is told, play by play."""
    plain = {"run_environment": served.plain, "IntermediateHost": f"http://{served.plain}"}
    orders: dict[str, Json] = {
        authentication: {"parts": DAY, "merchants": {name: {**keys, **plain} for name, keys in merchants.items()}}
        for authentication, merchants in served.merchants.items()
    }
    everybody = {authentication: orders[authentication]["merchants"]["sandbox"] for authentication in served.merchants}
    orders["tokens"] = {"parts": ["tokens"], "merchants": everybody}
    orders["stored"] = {"parts": ["stored"], "merchants": orders["signature"]["merchants"]}
    orders["network tokens"] = {"parts": ["network tokens"], "merchants": orders["signature"]["merchants"]}
    orders["authentications"] = {"parts": ["authentications"], "merchants": orders["signature"]["merchants"]}
    orders["contexts"] = {"parts": ["contexts"], "merchants": orders["signature"]["merchants"]}
    secure = {
        authentication: {**merchants["sandbox"], "run_environment": served.secure}
        for authentication, merchants in served.merchants.items()
    }
    orders["https"] = {"parts": ["secure"], "merchants": secure, "authority": str(served.authority)}
    orders["distrust"] = {"parts": ["distrust"], "merchants": secure}
    return orders


def _play(python: Path, orders: Json, folder: Path) -> Json:
    done = subprocess.run(
        [python, "-I", DRIVE],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PLAY_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    noted: Json = json.loads(done.stdout)
    return noted


async def _serve(folder: Path, ready: Future[Served], ended: "Future[tuple[books.Report, Envelopes]]") -> None:
    """Serve one house over http and https until told to stop, and prove its books at the end."""
    try:
        house = await open_house(folder / "data")
        worker = asyncio.create_task(house.worker.run())
        certificate, key, authority = development_certificate(folder / "tls", datetime.now(UTC))
        merchants = await _merchants(house.accounts, folder)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ports: list[asyncio.Future[int]] = [loop.create_future(), loop.create_future()]
        settings = (
            server.Settings(port=0),
            server.Settings(host="localhost", port=0, certificate=certificate, key=key),
        )
        envelopes = Envelopes(house.edge())
        servers = [
            asyncio.create_task(server.serve(envelopes, each, port.set_result, stop))
            for each, port in zip(settings, ports, strict=True)
        ]
        plain, secure = await asyncio.wait_for(asyncio.gather(*ports), 10)
        ready.set_result(
            Served(
                plain=f"127.0.0.1:{plain}",
                secure=f"localhost:{secure}",
                authority=authority,
                merchants=merchants,
                stop=lambda: _tell(loop, stop),
            )
        )
        await asyncio.gather(*servers)
        house.worker.stop()
        await worker
        report = await books.check(house.database)
        await house.close()
        ended.set_result((report, envelopes))
    except BaseException as error:
        for waited in (ready, ended):
            if not waited.done():
                waited.set_exception(error)
        raise


def _tell(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop a server from another thread; one that has stopped stays so."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(stop.set)


async def _merchants(accounts: Accounts, folder: Path) -> dict[str, dict[str, Json]]:
    """A merchant per authentication and personality, as the client has to be configured for it."""
    found: dict[str, dict[str, Json]] = {"signature": {}, "certificate": {}, "secret": {}, "encrypted": {}}
    now = datetime.now(UTC)
    gateways = folder / "gateway.pem"
    gateways.write_bytes(await accounts.messages.certificate(now))
    # With a token for its signature the client encrypts what goes to `tokenize`, whatever else it was told.
    sealing = {"mleForRequestPublicCertPath": str(gateways)}
    for personality in PERSONALITIES:
        for authentication, scheme in (("signature", HTTP_SIGNATURE), ("secret", JWT_BY_SECRET)):
            merchant_id = f"sdk_{authentication}_{personality}"
            shown = await accounts.add(merchant_id, personality, now)
            keys = {"merchant_keyid": shown["key_id"], "merchant_secretkey": shown["shared_secret"]}
            keys |= {} if authentication == "signature" else sealing
            found[authentication][personality] = {"merchantid": merchant_id, **scheme, **keys}
        merchant_id = f"sdk_certificate_{personality}"
        certificate, configuration = key_store(merchant_id, folder / personality, now)
        await accounts.add(merchant_id, personality, now, certificate=certificate)
        found["certificate"][personality] = configuration | sealing
        merchant_id = f"sdk_encrypted_{personality}"
        await accounts.add(merchant_id, personality, now)
        found["encrypted"][personality] = await encrypting(accounts, merchant_id, folder / merchant_id, now)
    other = base64.b64encode(secrets.token_bytes(32)).decode()
    for authentication in ("signature", "secret"):
        found[authentication]["stranger"] = {**found[authentication]["sandbox"], "merchant_secretkey": other}
    _, found["certificate"]["stranger"] = key_store("sdk_certificate_sandbox", folder / "stranger", now)
    (serial,) = {key.key_ids[0] for key in accounts.get("sdk_encrypted_sandbox").keys.values() if len(key.key_ids) > 1}
    _, stranger = key_store("sdk_encrypted_sandbox", folder / "encrypted_stranger", now, serial)
    found["encrypted"]["stranger"] = stranger
    return found


async def encrypting(accounts: Accounts, merchant_id: str, folder: Path, now: datetime) -> Json:
    """The client's configuration for a key store as Kessai makes it: all that can be encrypted is, both ways.

    The switches are texts: this version of the client stumbles over a true one while it logs nothing.
    """
    folder.mkdir()
    store = folder / "merchant.p12"
    store.write_bytes(await accounts.key_store(merchant_id, PASSWORD, now))
    return {
        "merchantid": merchant_id,
        **JWT_BY_CERTIFICATE,
        "keys_directory": str(folder),
        "key_file_name": "merchant",
        "key_alias": merchant_id,
        "enableRequestMLEForOptionalApisGlobally": "true",
        "enableResponseMleGlobally": "true",
        "responseMlePrivateKeyFilePath": str(store),
        "responseMlePrivateKeyFilePassword": PASSWORD,
    }


class Envelopes:
    """Counts what goes through an application in envelopes, and hands it on as it is."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.requests: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status = 0

        async def received() -> Any:
            message = await receive()
            if message.get("body", b"").startswith(b'{"encryptedRequest"'):
                self.requests[scope["path"].rpartition("/")[2]] += 1
            return message

        async def sent(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            if message.get("body", b"").startswith(b'{"encryptedResponse"'):
                self.answers[status] += 1
            await send(message)

        await self._application(scope, received, sent)


HTTP_SIGNATURE: Final = {"authentication_type": "http_signature"}
JWT_BY_SECRET: Final = {"authentication_type": "jwt", "jwt_key_type": "SHARED_SECRET"}
JWT_BY_CERTIFICATE: Final = {"authentication_type": "jwt", "jwt_key_type": "P12", "key_password": PASSWORD}


def key_store(
    merchant_id: str, folder: Path, now: datetime, serial: str = "17000000000000000000001"
) -> tuple[bytes, Json]:
    """A new certificate (PEM) whose key lies in a PKCS#12 file, and the client's configuration for it.

    The client finds the certificate by its common name and names it by the serialNumber of its subject.
    """
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    number = x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, merchant_id), number])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1095))
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    folder.mkdir()
    (folder / "merchant.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(merchant_id.encode(), key, certificate, None, encryption)
    )
    place = {"keys_directory": str(folder), "key_file_name": "merchant", "key_alias": merchant_id}
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        {"merchantid": merchant_id, **JWT_BY_CERTIFICATE, **place},
    )
