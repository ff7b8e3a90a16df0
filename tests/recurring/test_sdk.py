"""The official client drives plans and subscriptions, unmodified: every call is understood, and nothing is lost."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.client import Service
from tests.acceptance.sdk.conftest import HTTP_SIGNATURE, JWT_BY_SECRET, encrypting, key_store
from tests.recurring.shop import file_customer

Json = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
STATUSES: Final = {
    "plan code": 200,
    "plan": 201,
    "plan read": 200,
    "plan update": 200,
    "plan 2": 201,
    "plans": 200,
    "plan deactivate": 200,
    "plan activate": 200,
    "plan delete": 200,
    "plan gone": 404,
    "code": 200,
    "subscription": 201,
    "read": 200,
    "list": 200,
    "update": 200,
    "payments": 200,
    "suspend": 202,
    "activate": 200,
    "activate again": 400,
    "cancel": 202,
}


async def configurations(service: Service, folder: Path) -> dict[str, Json]:
    """A merchant for each authentication, as the client has to be configured for it."""
    found: dict[str, Json] = {}
    accounts, now = service.house.accounts, datetime.now(UTC)
    for authentication, scheme in (("signature", HTTP_SIGNATURE), ("secret", JWT_BY_SECRET)):
        shown = await accounts.add(_name(authentication, service), "sandbox", now)
        keys = {"merchant_keyid": shown["key_id"], "merchant_secretkey": shown["shared_secret"]}
        found[authentication] = {"merchantid": _name(authentication, service), **scheme, **keys}
    certificate, found["certificate"] = key_store(_name("certificate", service), folder / "certificate", now)
    await accounts.add(_name("certificate", service), "sandbox", now, certificate=certificate)
    name = _name("encrypted", service)
    await accounts.add(name, "sandbox", now)
    found["encrypted"] = await encrypting(accounts, name, folder / "encrypted", now)
    address = f"127.0.0.1:{service.port}"
    place = {"run_environment": address, "IntermediateHost": f"http://{address}"}
    return {authentication: configuration | place for authentication, configuration in found.items()}


def _name(authentication: str, service: Service) -> str:
    return f"client_{authentication}_{service.port}"


@pytest.fixture(scope="module")
def played(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What came of every call, by authentication and name."""
    folder = tmp_path_factory.mktemp("client")
    python = ROOT / ".venv-sdk" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"the official client is not installed: there is no {python}; `make test` makes it", pytrace=False)
    orders = {}
    for authentication, configuration in service.run(configurations(service, folder)).items():
        orders[authentication] = {
            "configuration": configuration,
            "customer": service.run(file_customer(service.house, _name(authentication, service))),
            "start": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    done = subprocess.run(
        [python, "-I", Path(__file__).with_name("drive.py")],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: Json = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("authentication", ["signature", "secret", "certificate", "encrypted"])
def test_the_official_client_is_understood_and_understands(played: Json, authentication: str) -> None:
    noted: dict[str, Json] = played[authentication]
    assert {call: found["status"] for call, found in noted.items()} == STATUSES, noted
    lost = {path for found in noted.values() for path in found.get("lost", ()) if not path.startswith("_links.")}
    assert lost == set(), "the client has one model for every kind of link, and no place for most of them"
    assert noted["plan read"]["answer"]["order_information"]["amount_details"]["setup_fee"] == "2.00"
    assert noted["plans"]["answer"]["total_count"] == 2
    assert noted["subscription"]["answer"]["subscription_information"]["status"] == "ACTIVE"
    assert noted["read"]["answer"]["plan_information"]["billing_cycles"] == {"total": "5", "current": "2"}
    assert noted["list"]["answer"]["total_count"] == 1
    (first, *ahead) = noted["payments"]["answer"]["subscription_payment"]
    assert (first["status"], first["billing_amount"], first["setup_fee"]) == ("PAID", "11.00", "2.00")
    assert [each["status"] for each in ahead] == ["SCHEDULED"] * 4
    assert noted["suspend"]["answer"]["subscription_information"]["status"] == "SUSPENDED"
    assert noted["activate again"]["error"]["details"][0]["reason"] == "INVALID_FOR_ACTIVATION"
    assert noted["cancel"]["answer"]["subscription_information"]["status"] == "CANCELLED"
