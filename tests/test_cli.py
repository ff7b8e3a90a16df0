"""The command: what an operator types, and what comes of it. Real processes, real sockets, real folders."""

import base64
import json
import re
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import apsw
import httpx
import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kessai import admin, serving
from kessai.cli import app
from kessai.dialects.cybersource.auth import SharedSecret
from kessai.storage.sqlite import Lock, connect
from tests.commands import (
    COMMAND,
    ENVIRONMENT,
    PAN,
    Gateway,
    document,
    done,
    gateway,
    in_turn,
    payment,
    refusal,
    run,
    sentence,
    started,
)

UNKNOWN: Final = "0000000000006000003001"
INSTALLMENTS: Final = {"paymentMethod": "61", "installments": "12"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for every test that changes nothing which another one reads."""
    with gateway(tmp_path_factory.mktemp("served") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a gateway that took a payment, captured it, and was stopped."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    with gateway(folder) as found:
        found.capture(found.pay())
    return folder


# ---- serving


def test_an_empty_folder_becomes_a_sandbox(served: Gateway) -> None:
    assert [each["id"] for each in served.ready["merchants"]] == [
        "kessai_sandbox",
        "kessai_vpc",
        "kessai_smcc",
        "kessai_jcn",
    ]
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", served.ready["url"])
    assert served.pay(payment("1200", "JPY", **INSTALLMENTS), "kessai_smcc")


def test_others_on_the_machine_can_read_nothing_of_the_folder(served: Gateway) -> None:
    assert stat.S_IMODE(served.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((served.folder / "keys" / "kek").stat().st_mode) == 0o600
    assert stat.S_IMODE((served.folder / admin.SOCKET).stat().st_mode) == 0o600


def test_a_restart_keeps_keys_and_payments(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as first:
        paid = first.pay()
    assert not (tmp_path / "data" / admin.SOCKET).exists()
    with gateway(tmp_path / "data", "--host", "0.0.0.0", "--behind-proxy") as second:
        assert second.ready["merchants"] == first.ready["merchants"]
        status, found = second.ask("GET", f"/tss/v2/transactions/{paid}")
        assert (status, found["id"]) == (200, paid)


def test_a_port_in_use_is_told_before_the_folder_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(tmp_path / "data", "serve", "--port", str(port))
    assert said == f"Port {port} of '127.0.0.1' is in use by another program."
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    for options in ((), ("--tls",)):
        said = refusal(folder, "serve", "--port", "0", *options)
        assert said == f"the folder {folder} cannot be used: Not a directory."


def test_plain_http_stays_on_the_machine(tmp_path: Path) -> None:
    assert "Plain http is for loopback only" in refusal(tmp_path / "data", "serve", "--port", "0", "--host", "0.0.0.0")


def test_a_second_gateway_on_a_folder_is_refused(served: Gateway) -> None:
    said = refusal(served.folder, "serve", "--port", "0")
    assert said == f"another Kessai is using the folder {served.folder}."


def test_a_setting_that_does_not_exist_is_told(tmp_path: Path) -> None:
    (tmp_path / "kessai.toml").write_text("colour = 1\n")
    assert refusal(tmp_path, "serve").startswith("there is no setting colour")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    shutil.copytree(serving_keys(tmp_path / "keys"), tmp_path / "data" / "keys")
    (tmp_path / "data" / "kessai.db").write_bytes(b"not a database" * 100)
    assert refusal(tmp_path / "data", "merchant", "list").startswith("the database cannot be used: ")


def serving_keys(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    (folder / "kek").touch(mode=0o600)
    (folder / "kek").write_text(base64.b64encode(bytes(32)).decode())
    return folder


def test_https_with_an_authority_of_its_own_and_an_example_to_paste(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    with started(folder, "--tls") as process:
        assert process.stdout is not None
        banner = ""
        for line in process.stdout:
            banner += line
            if line == "Stop with Ctrl-C.\n":
                break
        port = int(re.findall(r"https://127\.0\.0\.1:([0-9]+)", banner)[0])
        context = ssl.create_default_context(cafile=str(serving.authority(folder)))
        for name in ("localhost", "127.0.0.1", "apitest.cybersource.com", "api-dev.paymentoptions.com"):
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname=name) as secure,
            ):
                assert secure.version() in ("TLSv1.2", "TLSv1.3")
        example = banner[banner.index("terminal:") + 9 : banner.index("\nEOF") + 5]
        pasted = subprocess.run(["sh", "-c", example], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert str(serving.authority(folder)) in banner
    assert banner.count("kessai_smcc") == 2
    assert pasted.stdout.startswith("HTTP 201 Created\n")
    assert '"status": "AUTHORIZED"' in pasted.stdout


# ---- merchants and keys


def test_the_list_tells_merchants_and_no_secret(served: Gateway) -> None:
    found = document(served.folder, "merchant", "list")
    wanted = {"id": "kessai_vpc", "personality": "vpc", "mode": "test", "wires": ["cybersource", "paymentoptions"]}
    assert wanted.items() <= found[1].items()
    shown = done(served.folder, "merchant", "list") + json.dumps(found)
    assert "kessai_jcn" in shown
    for each in served.ready["merchants"]:
        assert each["key_id"] in shown
        assert each["shared_secret"] not in shown


def test_a_merchant_added_while_serving_can_call_at_once(served: Gateway) -> None:
    made = document(served.folder, "merchant", "add", "shop_1", "--personality", "vpc")
    key = SharedSecret.of(made["key_id"], made["shared_secret"], "shop_1")
    status, answered = served.ask("POST", "/pts/v2/payments", payment(), "shop_1", key)
    assert (status, answered["processorInformation"]["approvalCode"]) == (201, "831000")


def test_imported_credentials_are_good_and_not_repeated(served: Gateway, tmp_path: Path) -> None:
    secret = base64.b64encode(b"a client's own secret, 32 bytes.").decode()
    (tmp_path / "secret").write_text(secret + "\n")
    options = ("--key-id", "their-key", "--shared-secret-file")
    made = document(
        served.folder, "merchant", "add", "shop_2", "--personality", "sandbox", *options, str(tmp_path / "secret")
    )
    assert made == {"id": "shop_2", "personality": "sandbox", "mode": "test", "key_id": "their-key"}
    key = SharedSecret.of("their-key", secret, "shop_2")
    assert served.ask("POST", "/pts/v2/payments", payment(), "shop_2", key)[0] == 201
    shown = done(
        served.folder,
        "merchant",
        "key",
        "add",
        "kessai_jcn",
        "--key-id",
        "second",
        "--shared-secret-file",
        "-",
        stdin=secret,
    )
    assert "second" in shown
    assert secret not in shown
    key = SharedSecret.of("second", secret, "kessai_jcn")
    assert served.ask("GET", f"/tss/v2/transactions/{UNKNOWN}", merchant="kessai_jcn", key=key)[0] == 404


def test_a_revoked_key_is_refused_at_once_and_a_new_one_taken(served: Gateway) -> None:
    made = document(served.folder, "merchant", "add", "shop_3", "--personality", "sandbox")
    old = SharedSecret.of(made["key_id"], made["shared_secret"], "shop_3")
    added = document(served.folder, "merchant", "key", "add", "shop_3")
    new = SharedSecret.of(added["key_id"], added["shared_secret"], "shop_3")
    revoked = document(served.folder, "merchant", "key", "revoke", "shop_3", made["key_id"])
    assert revoked == {"merchant": "shop_3", "key_id": made["key_id"], "revoked": True}
    target = f"/tss/v2/transactions/{UNKNOWN}"
    assert [served.ask("GET", target, merchant="shop_3", key=key)[0] for key in (old, new)] == [401, 404]
    assert "no live key" in refusal(served.folder, "merchant", "key", "revoke", "shop_3", made["key_id"])


def test_a_certificate_is_a_key(served: Gateway, tmp_path: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "shop_4"), x509.NameAttribute(NameOID.SERIAL_NUMBER, "7001")]
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    (tmp_path / "c.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    said = refusal(
        served.folder, "merchant", "add", "shop_4", "--personality", "vpc", "--certificate", str(tmp_path / "c.pem")
    )
    assert said.startswith("the certificate cannot be used: ")  # only RSA signs tokens
    assert "shop_4" not in done(served.folder, "merchant", "list")


def test_a_setting_takes_effect_at_once_and_goes_back_to_its_default(served: Gateway) -> None:
    changed = document(served.folder, "merchant", "set", "kessai_vpc", 'brands=["JCB"]', "options.months_ahead=1")
    assert changed["settings"].pop("legal_name")
    assert changed["settings"] == {"brands": ["JCB"], "options": {"months_ahead": 1}}
    status, answered = served.ask("POST", "/pts/v2/payments", payment(), "kessai_vpc")
    assert (status, answered["reason"]) == (400, "CARD_TYPE_NOT_ACCEPTED")
    done(served.folder, "merchant", "set", "kessai_vpc", "brands=", "options.months_ahead=")
    assert served.ask("POST", "/pts/v2/payments", payment(), "kessai_vpc")[0] == 201


ORDERS_REFUSED: Final = [
    (("merchant", "set", "kessai_vpc", "colour=1"), "there is no merchant setting colour"),
    (("merchant", "set", "kessai_vpc", "cutoff=late"), "a setting does not fit"),
    (("merchant", "set", "kessai_vpc", "mode=live"), "a live merchant cannot be on the simulator (vpc)"),
    (("merchant", "add", "m", "--personality", "jcn", "--mode", "live"), "a live merchant cannot be on the simulator"),
    (("merchant", "add", "m", "--personality", "bank"), "there is no personality bank"),
    (("merchant", "add", "kessai_vpc", "--personality", "vpc"), "there is a merchant kessai_vpc already"),
    (("merchant", "add", "m", "--personality", "vpc", "--certificate", "/no/file"), "the file with the certificate"),
    (("settle", "--merchant", "nobody"), "there is no merchant nobody"),
    (("payment", "show", UNKNOWN), f"there is no transaction {UNKNOWN}"),
    (("payment", "show", PAN), "****1111 is no transaction id: it has 22 digits"),
    (("call", "GET", "/", "--merchant", "nobody"), "there is no merchant nobody"),
    (("call", "GET", "/", "--url", "ftp://x"), "a gateway's URL begins with http:// or https://"),
    (("call", "GET", "/", "--url", "http://127.0.0.1:1"), "http://127.0.0.1:1 cannot be reached"),
    (("call", "POST", "/", "--body", f'{{"number":"{PAN}"}}'), "the file with the body cannot be read: No such file"),
]


def test_what_cannot_be_done_is_one_sentence(served: Gateway) -> None:
    results = in_turn(served.folder, [arguments for arguments, _ in ORDERS_REFUSED])
    for (arguments, begins), result in zip(ORDERS_REFUSED, results, strict=True):
        said = sentence(*result)
        assert said.startswith(begins), arguments
        assert PAN not in said


def test_a_refusal_is_one_json_document_where_json_is_asked_for(served: Gateway) -> None:
    finished = run(served.folder, "payment", "show", UNKNOWN, "--json")
    assert (finished.returncode, finished.stderr) == (1, "")
    assert json.loads(finished.stdout) == {"error": f"there is no transaction {UNKNOWN}."}


MISUSED: Final = [
    ("merchant", "add", "m", "--personality", "vpc", "--key-id", "x"),
    ("merchant", "set", "m", "colour"),
    ("serve", "--certificate", "c.pem"),
    ("call", "GET", "no-slash"),
    ("schedule",),
    ("nothing",),
]


def test_what_is_not_understood_is_status_2(tmp_path: Path) -> None:
    for arguments, result in zip(MISUSED, in_turn(tmp_path / "data", MISUSED), strict=True):
        assert result[:2] == (2, ""), arguments
        assert "Usage" in result[2]
    assert not (tmp_path / "data").exists()


def test_without_a_gateway_orders_are_carried_out_under_the_lock(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    made = document(folder, "merchant", "add", "offline", "--personality", "smcc")
    assert [each["id"] for each in document(folder, "merchant", "list")][-1] == "offline"
    with gateway(folder) as found:
        assert found.ready["more_merchants"]
        key = SharedSecret.of(made["key_id"], made["shared_secret"], "offline")
        assert found.ask("POST", "/pts/v2/payments", payment("100", "JPY"), "offline", key)[0] == 201
    lock = Lock(folder)
    try:
        assert refusal(folder, "merchant", "list") == f"another Kessai is using the folder {folder}."
    finally:
        lock.release()


def test_a_folder_is_made_by_serving_and_by_adding_a_merchant_only(tmp_path: Path) -> None:
    assert "there is no Kessai database" in refusal(tmp_path / "data", "merchant", "list")
    assert "no gateway serves" in refusal(tmp_path / "data", "call", "GET", "/")
    assert not (tmp_path / "data").exists()
    added = run(tmp_path / "data", "merchant", "add", "first", "--personality", "vpc")
    assert added.returncode == 0
    assert "new installation" in added.stderr
    assert len(document(tmp_path / "data", "merchant", "list")) == 5


def test_a_live_merchant_on_the_simulator_keeps_a_gateway_from_starting(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    by_hand(folder, "UPDATE merchants SET mode = 'live' WHERE id = 'kessai_jcn'")
    assert refusal(folder, "serve", "--port", "0") == "a live merchant cannot be on the simulator (jcn)."


# ---- the books


def by_hand(folder: Path, *statements: str) -> None:
    """What an intruder does with a database tool."""
    connection = apsw.Connection(str(folder / "kessai.db"))
    for statement in statements:
        connection.execute(statement)
    connection.close()


LAST: Final = "(SELECT max(transaction_id) FROM entries)"
TAMPERED: Final = {
    "altered": f"UPDATE entries SET amount = amount + 1 WHERE transaction_id = {LAST} AND line = 1",
    "missing": f"DELETE FROM entries WHERE transaction_id = {LAST} AND line = 1",
    "added": "INSERT INTO entries SELECT merchant_id, transaction_id, 9, account, currency, amount, posted_at"
    f" FROM entries WHERE transaction_id = {LAST} AND line = 1",
}


def findings(folder: Path) -> list[dict[str, Any]]:
    finished = run(folder, "ledger", "check", "--json")
    assert (finished.returncode, finished.stderr) == (1, "")
    return [found for found in json.loads(finished.stdout)["findings"] if found["what"] != "unbalanced"]


@pytest.mark.parametrize("what", TAMPERED)
def test_the_check_names_a_row_changed_by_hand_while_stopped(stopped: Path, tmp_path: Path, what: str) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    by_hand(folder, TAMPERED[what])
    (as_json, as_text) = in_turn(folder, [("ledger", "check", "--json"), ("ledger", "check")])
    assert as_json[0] == as_text[0] == 1
    (found,) = [each for each in json.loads(as_json[1])["findings"] if each["what"] != "unbalanced"]
    line = 9 if what == "added" else 1
    assert (found["merchant"], found["what"], found["line"]) == ("kessai_sandbox", what, line)
    assert found["transaction"] in as_text[1]


def test_books_that_are_right_are_told_so(stopped: Path, tmp_path: Path) -> None:
    assert "OK: 6 entries of 2 transactions" in done(shutil.copytree(stopped, tmp_path / "data"), "ledger", "check")


def test_the_check_names_rows_changed_by_hand_while_serving(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    with gateway(folder) as found:
        assert document(folder, "ledger", "check")["findings"] == []
        for what, statement in TAMPERED.items():
            captured = found.capture(found.pay())
            by_hand(folder, statement)
            assert (captured, what) in [(each["transaction"], each["what"]) for each in findings(folder)]


def test_settling_transmits_a_capture_which_is_then_not_voidable(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    with gateway(folder) as found:
        captured = found.capture(found.pay())
        (batch,) = document(folder, "settle", "--merchant", "kessai_sandbox")
        assert (batch["merchant"], batch["transactions"], batch["net"]) == ("kessai_sandbox", 2, "204.42")
        details = found.ask("GET", f"/tss/v2/transactions/{captured}")[1]
        assert details["applicationInformation"]["status"] == "TRANSMITTED"
        status, answered = found.ask("POST", f"/pts/v2/captures/{captured}/voids", {})
        assert (status, answered["reason"]) == (400, "NOT_VOIDABLE")
        assert "nothing to settle" in done(folder, "settle")
        assert "merchant-due" in done(folder, "ledger", "check")


# ---- payments and requests


def test_a_payment_is_shown_with_its_whole_story(served: Gateway) -> None:
    body = payment("120000", "JPY", **INSTALLMENTS)
    paid = served.pay(body, "kessai_smcc")
    captured = served.capture(paid, "120000", "JPY", "kessai_smcc")
    story = document(served.folder, "payment", "show", captured)
    assert [tx["operation"] for tx in story["transactions"]] == ["authorize", "capture"]
    assert story["transactions"][0]["exchange"]["sent"]["card"] == "411111******1111"
    assert story["transactions"][0]["exchange"]["answered"]["acquirer_name"] == "Sumitomo"
    assert story["transactions"][0]["warnings"] == [
        "J20: Business name missing or too long / 加盟店名が正しくありません"
    ]
    entries = story["transactions"][1]["entries"]
    assert [entry["account"] for entry in entries] == ["authorized", "held-by-issuers", "acquirer", "merchant"]
    assert [row["amount"] for row in story["schedule"]["cardholder"]] == ["10000"] * 12
    assert story["schedule"]["funding"][0]["amount"] == "120000"
    shown = done(served.folder, "payment", "show", paid)
    for text in (paid, captured, "411111******1111", "held-by-issuers", "分割12回払い", "J20", "merchant is funded on"):
        assert text in shown
    assert PAN not in shown + json.dumps(story)


def test_a_charge_without_the_cardholder_is_shown_with_what_an_issuer_would_mind(served: Gateway) -> None:
    transaction = {"reason": "3", "previousTransactionId": "9" * 15}
    initiator = {"type": "merchant", "storedCredentialUsed": True, "merchantInitiatedTransaction": transaction}
    body = payment() | {"processingInformation": {"authorizationOptions": {"initiator": initiator}}}
    paid = served.pay(body | {"installmentInformation": {"sequence": 2, "totalCount": 12}})
    (shown,) = document(served.folder, "payment", "show", paid)["transactions"]
    assert shown["exchange"]["sent"]["agreement"] == {
        "entry_mode": "10",
        "condition": "59",
        "initiator": "merchant",
        "uses_kept_card": "true",
        "occasion": "reauthorization",
        "message_reason": "3903",
        "network_transaction_id": "9" * 15,
        "installment_sequence": "2",
        "installment_total_count": "12",
    }
    (minded,) = shown["warnings"]
    assert minded.endswith(
        "previousTransactionID: no stored payment of this card has this id; a live issuer may decline this"
    )
    printed = "".join(done(served.folder, "payment", "show", paid).split())
    for text in ("warnings", minded, "reauthorization", "entry_mode"):
        assert "".join(text.split()) in printed


def test_a_call_prints_one_json_document(served: Gateway) -> None:
    body = json.dumps(payment())
    sent = document(served.folder, "call", "POST", "/pts/v2/payments", "--body", "-", stdin=body)
    assert (sent["status"], sent["body"]["status"]) == (201, "AUTHORIZED")
    assert sent["headers"]["content-type"].startswith("application/hal+json")
    read = document(served.folder, "call", "get", f"/tss/v2/transactions/{sent['body']['id']}?x=%7e", "--jwt")
    assert (read["status"], read["body"]["id"]) == (200, sent["body"]["id"])


def test_a_call_is_done_whatever_the_answer_is_and_says_why(served: Gateway, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(payment()))
    options = ("--body", str(tmp_path / "body.json"), "--header", "V-C-Correlation-Id: mine-1")
    lost = document(served.folder, "call", "POST", "/pts/v2/payments", *options, "--scenario", "answer-lost")
    assert (lost["status"], lost["body"]["reason"]) == (502, "SERVER_TIMEOUT")
    assert lost["headers"]["v-c-correlation-id"] == "mine-1"
    shown = done(served.folder, "call", "POST", "/pts/v2/payments", *options, "--scenario", "nope")
    assert shown.startswith("HTTP 400 Bad Request\nkessai-explain: there is no scenario of this name")
    assert '"reason": "INVALID_DATA"' in shown


def test_a_named_gateway_is_called_with_the_keys_of_the_folder(served: Gateway, stopped: Path) -> None:
    answer = document(stopped, "call", "POST", "/pts/v2/payments", "--url", served.ready["url"])
    assert answer["status"] == 401
    assert "no live signature key" in answer["headers"]["kessai-explain"]


# ---- schedules and tables


# Options, first and last month with their amounts, number of payments, funding.
SCHEDULES: Final = [
    ("--amount 12345", ("2026-04", "12345"), ("2026-04", "12345"), 1, "2026-03-31"),
    ("--amount 10001 --method 61 --installments 2", ("2026-04", "5001"), ("2026-05", "5000"), 2, "2026-04-30"),
    (
        "--amount 60000 --method 61 --installments 3 --fees smcc-to-2025-03",
        ("2026-04", "20408"),
        ("2026-06", "20408"),
        3,
        "2026-03-31",
    ),
    (
        "--amount 120000 --method 34 --installments 12 --first-month 04 --bonus 08:30000 --bonus 01:30000",
        ("2026-04", "5000"),
        ("2027-03", "5000"),
        12,
        "2026-03-31",
    ),
    (
        "--acquirer sandbox --amount 100001 --method 34 --installments 10 --first-month 07"
        " --bonus 08:25000 --bonus 01:25000",
        ("2026-07", "5001"),
        ("2027-04", "5000"),
        10,
        "2026-03-31",
    ),
    (
        "--amount 100000 --method 61 --installments 3 --issuer jcb --fees jcb-15",
        ("2026-04", "34170"),
        ("2026-06", "33983"),
        3,
        "2026-03-31",
    ),
    ("--amount 9000 --method 21 --bonuses 1", ("2026-08", "9000"), ("2026-08", "9000"), 1, "2026-03-31"),
    ("--amount 50000 --method 80", ("2026-04", "50000"), ("2026-04", "50000"), 1, "2026-03-31"),
]


def test_a_schedule_says_who_pays_what_when(tmp_path: Path) -> None:
    lines = [["schedule", "--date", "2026-03-10", "--json", *options.split()] for options, *_ in SCHEDULES]
    results = in_turn(tmp_path, lines)
    for (options, first, last, count, funded), (status, said, complained) in zip(SCHEDULES, results, strict=True):
        assert (status, complained) == (0, ""), options
        plan = json.loads(said)
        rows = [(row["month"], row["amount"]) for row in plan["cardholder"]]
        assert (rows[0], rows[-1], len(rows)) == (first, last, count), options
        assert plan["funding"] == [{"date": funded, "amount": plan["amount"]}]
        assert plan["problems"] == []


def test_a_schedule_is_shown_in_both_languages(tmp_path: Path) -> None:
    options = ("--amount", "120000", "--method", "61", "--installments", "13", "--date", "2026-03-10")
    shown = done(tmp_path, "schedule", *options)
    for text in ("13 installments", "分割13回払い", "2027-04", "J10 warning", "手数料はカード会社所定です。"):
        assert text in shown


def test_what_no_schedule_can_be_made_of_is_told_by_rule(tmp_path: Path) -> None:
    said = refusal(tmp_path, "schedule", "--amount", "1.5", "--method", "99", "--first-month", "13")
    assert [part[:3] for part in said.split("; ")] == ["J05", "J01", "J11"]
    in_a_gap = run(tmp_path, "schedule", "--amount", "9000", "--method", "21", "--date", "2026-07-01", "--json")
    assert in_a_gap.returncode == 1
    assert [found["rule"] for found in json.loads(in_a_gap.stdout)["problems"]] == ["J13"]


def test_tables_are_listed(tmp_path: Path) -> None:
    lines = [["scenarios"], ["triggers", "--personality", "jcn"], ["schedule", "--list"]]
    results = in_turn(tmp_path, [[*line, "--json"] for line in lines] + lines)
    scenarios, triggers, choices = (json.loads(said) for _, said, _ in results[:3])
    assert "answer-lost" in scenarios
    assert {row["personality"] for row in triggers} == {"*", "jcn"}
    assert triggers[0].keys() == {"personality", "operation", "when", "then", "who_answers", "source"}
    assert choices["methods"][0] == "10 one-time"
    for (_, said, _), text in zip(results[3:], ("answer-lost", "1001..1999 JPY", "smcc-month-end"), strict=True):
        assert text in said


def leaves(command: Any, path: str = "kessai") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from leaves(each, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(leaves(typer.main.get_command(app))))
def test_every_command_takes_a_folder_speaks_json_and_explains_itself(path: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--data", "--json"} <= options, path
    assert command.help.endswith(".") or command.help.endswith(")")
    assert all(parameter.help for parameter in command.params if parameter.name != "help"), path


def test_the_version_is_told(tmp_path: Path) -> None:
    assert re.fullmatch(r"kessai [0-9]+\.[0-9]+\.[0-9]+\n", done(tmp_path, "--version"))


def test_a_live_merchant_on_the_simulator_is_refused_at_the_start(tmp_path: Path) -> None:
    """A-105: however it came there."""
    folder = tmp_path / "data"
    run(folder, "merchant", "add", "shop", "--personality", "vpc")
    with closing(connect(folder / "kessai.db")) as rows:
        rows.execute("UPDATE merchants SET mode = 'live' WHERE id = 'shop'")
    assert "live merchant cannot be on the simulator" in refusal(folder, "serve", "--port", "0")


# ---- the acquirer apart


def test_the_acquirer_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    line = [*COMMAND, "acquirer", "--port", "0", "--book", str(tmp_path / "their.book"), "--json"]
    apart = subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert apart.stdout is not None
    try:
        address = json.loads(apart.stdout.readline())["address"]
        with gateway(tmp_path / "data", settings={"KESSAI_ACQUIRER": address}) as found:
            found.capture(found.pay())
            assert document(found.folder, "verify", "--book", str(tmp_path / "their.book"))["findings"] == []
    finally:
        apart.terminate()
        apart.stdout.close()
        assert apart.wait(20) == 0
    assert (tmp_path / "their.book").stat().st_size > 0


def test_card_numbers_do_not_travel_in_the_clear_by_accident(tmp_path: Path) -> None:
    said = refusal(tmp_path / "data", "acquirer", "--host", "0.0.0.0", "--port", "0")
    assert said == "card numbers would travel in the clear to 0.0.0.0."


def test_a_merchant_with_a_legal_name_gets_keys_of_the_second_wire(served: Gateway) -> None:
    made = document(served.folder, "merchant", "add", "shop_po", "--personality", "sandbox", "--legal-name", "青空商店")
    assert {"api_key", "x_api_key", "paymentoptions_key_id", "shared_secret"} <= made.keys()
    more = document(served.folder, "merchant", "key", "bearer", "shop_po")
    listed = next(each for each in document(served.folder, "merchant", "list") if each["id"] == "shop_po")
    keys = sorted([made["paymentoptions_key_id"], more["paymentoptions_key_id"]])
    assert (listed["wires"], listed["paymentoptions_keys"]) == (["cybersource", "paymentoptions"], keys)
    assert listed["settings"] == {"legal_name": "青空商店"}
    said = done(served.folder, "merchant", "list")
    assert not any(secret in said for secret in (made["api_key"], made["x_api_key"], more["api_key"]))
    path = "/api/v1/server-to-server-interface/subscription/list"
    for pair in (made, more):
        credentials = base64.b64encode(f"{pair['api_key']}:".encode()).decode()
        headers = {"authorization": f"Basic {credentials}", "x-api-key": pair["x_api_key"]}
        assert httpx.get(served.ready["url"] + path, headers=headers).status_code == 200
    document(served.folder, "merchant", "key", "revoke", "shop_po", made["paymentoptions_key_id"])
    credentials = base64.b64encode(f"{made['api_key']}:".encode()).decode()
    headers = {"authorization": f"Basic {credentials}", "x-api-key": made["x_api_key"]}
    assert httpx.get(served.ready["url"] + path, headers=headers).status_code == 401
    told = document(served.folder, "call", "GET", path, "--merchant", "shop_po")
    assert (told["status"], told["body"]["subscription_details"]) == (200, [])
