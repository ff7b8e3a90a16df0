"""The real command in a process of its own, and gateways that it serves on real sockets."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kessai import client
from kessai.dialects.cybersource.auth import SharedSecret

COMMAND: Final = (sys.executable, "-m", "kessai")
ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if not name.startswith("KESSAI_")} | {
    "COLUMNS": "160"
}

_NO: Final[Mapping[str, str]] = {}

PAN: Final = "4111111111111111"
BILL_TO: Final = {
    "firstName": "Jane",
    "lastName": "Doe",
    "address1": "1 Market St",
    "locality": "San Francisco",
    "administrativeArea": "CA",
    "postalCode": "94105",
    "country": "US",
    "email": "jane@example.com",
}


def payment(total: str = "102.21", currency: str = "USD", **option: object) -> dict[str, Any]:
    """An authorization; `option` are members of the Japanese payment options."""
    document: dict[str, Any] = {
        "clientReferenceInformation": {"code": "order-7"},
        "orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}, "billTo": BILL_TO},
        "paymentInformation": {"card": {"number": PAN, "expirationMonth": "12", "expirationYear": "2031"}},
    }
    return document | ({"processingInformation": {"japanPaymentOptions": option}} if option else {})


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`kessai` on a data folder, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env=ENVIRONMENT | {"KESSAI_DATA": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


_IN_TURN: Final = """
import contextlib, io, json, sys
from kessai.cli import main
results = []
for arguments in json.load(sys.stdin):
    sys.argv, said, complained, status = ["kessai", *arguments], io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    results.append((status, said.getvalue(), complained.getvalue()))
json.dump(results, sys.stdout)
"""


def in_turn(folder: Path, lines: Iterable[Sequence[str]]) -> list[tuple[int, str, str]]:
    """Status, output and errors of several commands, one after the other in one process: that is much faster."""
    finished = subprocess.run(
        [sys.executable, "-c", _IN_TURN],
        input=json.dumps(list(lines)),
        env=ENVIRONMENT | {"KESSAI_DATA": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [(status, said, complained) for status, said, complained in json.loads(finished.stdout)]


def done(folder: Path, *arguments: str, stdin: str = "") -> str:
    """What a command prints that does what it is told, and is silent besides."""
    finished = run(folder, *arguments, stdin=stdin)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def document(folder: Path, *arguments: str, stdin: str = "") -> Any:
    """The one JSON document that a command prints."""
    return json.loads(done(folder, *arguments, "--json", stdin=stdin))


def refusal(folder: Path, *arguments: str, stdin: str = "") -> str:
    """The one sentence of a command that is refused."""
    finished = run(folder, *arguments, stdin=stdin)
    return sentence(finished.returncode, finished.stdout, finished.stderr)


def sentence(status: int, said: str, complained: str) -> str:
    assert (status, said) == (1, "")
    (line,) = complained.splitlines()
    assert line.startswith("kessai: ")
    assert line.endswith(".")
    return line.removeprefix("kessai: ")


@dataclass
class Gateway:
    """A gateway that serves a folder, and its merchants' keys as it told them."""

    folder: Path
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    keys: dict[str, SharedSecret] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.ready["merchants"]:
            self.keys[each["id"]] = SharedSecret.of(each["key_id"], each["shared_secret"], each["id"])

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        merchant: str = "kessai_sandbox",
        key: SharedSecret | None = None,
    ) -> tuple[int, Any]:
        """Status and document of a signed request, sent without the command."""
        content = json.dumps(body).encode() if body is not None else b""
        request = client.Request(method=method, target=target, body=content)
        with client.connect(self.ready["url"]) as connection:
            answer = client.send(connection, request, merchant, key or self.keys[merchant])
        return answer.status, answer.document

    def pay(self, body: object = None, merchant: str = "kessai_sandbox") -> str:
        """The id of an approved authorization."""
        status, answered = self.ask("POST", "/pts/v2/payments", body or payment(), merchant)
        assert (status, answered["status"]) == (201, "AUTHORIZED")
        return str(answered["id"])

    def capture(self, of: str, total: str = "102.21", currency: str = "USD", merchant: str = "kessai_sandbox") -> str:
        body = {"orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}}}
        status, answered = self.ask("POST", f"/pts/v2/payments/{of}/captures", body, merchant)
        assert (status, answered["status"]) == (201, "PENDING")
        return str(answered["id"])


@contextmanager
def started(
    folder: Path, *options: str, settings: Mapping[str, str] = _NO, ends: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """`kessai serve` on a port of the system's choice; stopped in an orderly way, unless it `ends` otherwise."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *options],
        env={**ENVIRONMENT, "KESSAI_DATA": str(folder), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        status = process.wait(30)
    assert status == ends


@contextmanager
def gateway(folder: Path, *options: str, settings: Mapping[str, str] = _NO, ends: int = 0) -> Iterator[Gateway]:
    """A gateway that has told, in one line of JSON, that it takes requests; `settings` are of its environment."""
    with started(folder, "--json", *options, settings=settings, ends=ends) as process:
        assert process.stdout is not None
        yield Gateway(folder, process, json.loads(process.stdout.readline()))
