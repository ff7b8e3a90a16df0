"""The official client for Node, unmodified, plays a small day against a live server, on both engines."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.client import Service
from tests.acceptance.sdk.conftest import PASSWORD

Json = dict[str, Any]

HERE: Final = Path(__file__).parent
STATUSES: Final = {
    "authorization": 201,
    "capture": 201,
    "refund": 201,
    "refund of nothing": 400,
    "details": 200,
    "decline": 201,
    "customer": 201,
    "number": 201,
    "card": 201,
    "card read": 200,
    "cards": 200,
    "customer read": 200,
    "customer's end": 204,
    "customer after its end": 410,
    "search": 201,
    "search again": 200,
}


async def configurations(service: Service, folder: Path) -> dict[str, Json]:
    """A merchant for each way to call, as the client has to be configured for it; `encrypted` has our key store."""
    accounts, now = service.house.accounts, datetime.now(UTC)
    place: Json = {
        "runEnvironment": f"127.0.0.1:{service.port}",
        "intermediateHost": f"http://127.0.0.1:{service.port}",
    }
    place["logConfiguration"] = {"enableLog": False}
    found: dict[str, Json] = {}
    for name, scheme in (
        ("signature", {"authenticationType": "http_signature"}),
        ("secret", {"authenticationType": "jwt", "jwtKeyType": "SHARED_SECRET"}),
    ):
        shown = await accounts.add(f"node_{name}", "sandbox", now)
        keys = {"merchantKeyId": shown["key_id"], "merchantsecretKey": shown["shared_secret"]}
        found[name] = {"merchantID": f"node_{name}", **scheme, **keys, **place}
    await accounts.add("node_encrypted", "sandbox", now)
    (folder / "merchant.p12").write_bytes(await accounts.key_store("node_encrypted", PASSWORD, now))
    found["encrypted"] = {
        "merchantID": "node_encrypted",
        "authenticationType": "jwt",
        "keysDirectory": str(folder),
        "keyFileName": "merchant",
        "keyAlias": "node_encrypted",
        "keyPass": PASSWORD,
        "enableRequestMLEForOptionalApisGlobally": True,
        "enableResponseMleGlobally": True,
        "responseMlePrivateKeyFilePath": str(folder / "merchant.p12"),
        "responseMlePrivateKeyFilePassword": PASSWORD,
        **place,
    }
    return found


@pytest.fixture(scope="module")
def played(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What came of every call, by way to sign and name."""
    if not (HERE / "node_modules").exists():
        pytest.fail(f"the client is not installed: there is no {HERE / 'node_modules'}; `make test` makes it", False)
    folder = tmp_path_factory.mktemp("node")
    done = subprocess.run(
        ["node", HERE / "drive.js"],
        input=json.dumps(service.run(configurations(service, folder))),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: Json = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("name", ["signature", "secret", "encrypted"])
def test_the_client_is_understood_and_understands(played: Json, name: str) -> None:
    noted: dict[str, Json] = played[name]
    assert {call: found.get("status") for call, found in noted.items()} == STATUSES, noted
    paid = noted["authorization"]["answer"]
    assert (paid["status"], paid["orderInformation"]["amountDetails"]["authorizedAmount"]) == ("AUTHORIZED", "102.21")
    assert noted["refund"]["answer"]["refundAmountDetails"]["refundAmount"] == "40.00"
    assert noted["decline"]["answer"]["status"] == "DECLINED"
    assert noted["details"]["answer"]["id"] == paid["id"]
    (found,) = noted["search again"]["answer"]["_embedded"]["transactionSummaries"]
    assert found["id"] == paid["id"]
    assert noted["card read"]["answer"]["card"]["expirationYear"] == "2031"
    assert noted["cards"]["answer"]["total"] == 1
    assert noted["customer read"]["answer"]["defaultPaymentInstrument"]["id"] == noted["card"]["answer"]["id"]
    assert noted["customer after its end"]["error"]["errors"][0]["type"] == "notAvailable"
