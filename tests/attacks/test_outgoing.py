"""Outgoing requests: a merchant's URL must not lead the gateway anywhere that the merchant could not go itself."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.webhooks import addresses, courier
from kessai.webhooks.addresses import NotAllowed
from kessai.webhooks.courier import Courier, Errand, Report
from tests.acceptance.client import Client, Json
from tests.webhooks.receiver import Receiver, receiving

WEBHOOKS = "/notification-subscriptions/v2/webhooks"
EVENTS = [{"productId": "payments", "eventTypes": ["payments.capture.status.accepted"]}]


def wish(url: object, member: str = "webhookUrl") -> Json:
    return {"products": EVENTS, "webhookUrl": "https://shop.example/hook", member: url}


def assert_refused(till: Client, url: str) -> None:
    """As a webhook's URL and as its health check's: 400, which names the member and repeats nothing."""
    for member in ("webhookUrl", "healthCheckUrl"):
        refused = till.post(WEBHOOKS, wish(url, member))
        assert (refused.status, refused.fields) == (400, [(member, "INVALID_DATA")]), url
        assert url.encode() not in refused.body


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "HTTP://shop.example/hook",
        "file:///etc/passwd",
        "gopher://shop.example:443/_x",
        "ftp://shop.example/hook",
        "data:text/plain,x",
        "javascript:alert(1)",
        "//shop.example/hook",
        "shop.example/hook",
        "https:///hook",
        "https://",
        "https://:443/",
        "https:shop.example",
        "https://shop.example/" + "x" * 10_000,
        "jar:https://shop.example!/",
        "unix:/var/run/docker.sock",
    ],
)
def test_other_schemes_and_no_host_are_refused(till: Client, url: str) -> None:
    """A-70."""
    assert_refused(till, url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST", "a.localhost", "127.1", "127.0.1", "0x7f000001", "0x7f.1"),
        *("2130706433", "017700000001", "0177.0.0.1", "0", "0.0.0.0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),
        *("127.0.0.01", "127.0.0.1.", "localhost.", "1", "0x", "metadata.google.internal", "printer.local", "intranet"),
    ],
)
def test_this_machine_is_refused_however_it_is_written(till: Client, host: str) -> None:
    """A-71."""
    assert_refused(till, f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        *("::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1"),
        *("2002:7f00:1::", "2002:c0a8:101::1", "2001:0:7f00:1::", "fe80::1", "fd00::1", "fc00::1", "ff02::1"),
        *("::ffff:0:127.0.0.1", "2001:db8::1", "100::1", "3fff::1", "5f00::1", "fec0::1", "::ffff:8.8.8.8"),
    ],
)
def test_addresses_inside_of_addresses_are_refused(till: Client, host: str) -> None:
    """A-72: mapped, compatible, translated, tunnelled, and with a zone."""
    assert not addresses.is_public(host)
    assert_refused(till, f"https://[{host}]/")


@pytest.mark.parametrize("url", ["https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[2600::1%25eth0]/"])
def test_zones_are_refused(till: Client, url: str) -> None:
    """A-72."""
    assert_refused(till, url)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255"),
        *("169.254.169.254", "169.254.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
        *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "0.1.2.3"),
    ],
)
def test_private_addresses_are_refused(till: Client, address: str) -> None:
    """A-73."""
    assert not addresses.is_public(address)
    assert_refused(till, f"https://{address}/")


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public_addresses_are_public(address: str) -> None:
    """The test of the test."""
    assert addresses.is_public(address)


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public(address: object) -> None:
    """A-73: whatever the address."""
    if not address.is_global:  # type: ignore[attr-defined]
        assert not addresses.is_public(str(address))


# ---- names


def carry(url: str, declared: str = "") -> Report:
    async def work() -> Report:
        carrier = Courier()
        try:
            return await carrier.carry(Errand(1, "POST", url, {}, "{}", declared))
        finally:
            await carrier.close()

    return asyncio.run(work())


@pytest.fixture
def witness() -> Iterator[Receiver]:
    """Listens on this machine; nobody may come."""
    with receiving() as running:
        yield running
        assert running.connections == 0


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "127.0.0.1"],
        ["2606:4700::1111", "10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["93.184.215.14", "::1"],
        ["fe80::1%eth0"],
        [],
    ],
)
def test_a_name_with_an_address_that_is_not_public_is_refused(
    found: list[str], witness: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-74: one of them spoils the others, and nobody is called."""
    monkeypatch.setattr(courier, "resolve", lambda _host, _port: found)
    report = carry("https://rebinding.example:8443/")
    assert report.status == 0
    assert report.error in ("the address is not on the public Internet", "the host has no address")


def test_a_name_is_looked_up_once_and_the_checked_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-74: a name that turns private at the second look-up; there is no second look-up."""
    asked: list[str] = []
    called: list[tuple[object, ...]] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    async def connect(_self: object, _factory: object, host: str, port: int, **more: object) -> None:
        called.append((host, port, more["server_hostname"]))
        raise OSError

    monkeypatch.setattr(courier, "resolve", resolve)
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_connection", connect)
    monkeypatch.setattr(courier, "is_own", lambda _address, _port: False)
    report = carry("https://rebinding.example/")
    assert (report.status, report.error) == (0, "no connection")
    assert asked == ["rebinding.example"]
    assert called == [("93.184.215.14", 443, "rebinding.example")]


def test_this_machines_own_address_is_known() -> None:
    """A-77: an address is ours where the way to it begins and ends with it."""
    assert courier.is_own("127.0.0.1", 443)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.2", 443))
        assert probe.getsockname()[0] != "127.0.0.2"
    assert not courier.is_own("127.0.0.2", 443)


def test_an_own_public_address_is_refused(witness: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-77."""
    monkeypatch.setattr(courier, "resolve", lambda _host, _port: ["93.184.215.14"])
    monkeypatch.setattr(courier, "is_own", lambda _address, _port: True)
    assert carry("https://gateway.example/").error == "the address is this machine"


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example@127.0.0.1/",
        "https://good.example:x@127.0.0.1/",
        "https://good.example\\@127.0.0.1/",
        "https://good.example\\.evil.example/",
        "https://good.example/\\..\\x",
        "https://127.0.0.1#@good.example/",
        "https://good.example/#fragment",
        "https://good.ex\tample/",
        "https://good.example\n/",
        "https://good.example/\r\nhost: evil",
        " https://good.example/",
        "https://good.example/ x",
        "https://good%2eexample/",
        "https://127%2e0%2e0%2e1/",
        "https://good.example./",
        "https://gооd.example/",
        "https://good。example/",
        "https://①②⑦.⓪.⓪.①/",
        "https://good_.example/",
        "https://-good.example/",
        "https://good..example/",
        "https://[::1]good.example/",
        "https://[::1",
        "https://good.example:443:443/",
        "https://good.example:/",
        "https://good.example:+443/",
        "https://good.example:४४३/",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(till: Client, url: str) -> None:
    """A-76, A-79."""
    with pytest.raises(NotAllowed):
        addresses.read(url)
    refused = till.post(WEBHOOKS, wish(url))
    assert refused.status == 400, url


def test_upper_case_is_made_lower_and_then_checked(till: Client) -> None:
    """A-76."""
    assert addresses.read("https://SHOP.Example/Hook").origin == "https://shop.example:443"
    with pytest.raises(NotAllowed):
        addresses.read("https://LocalHost/")
    assert till.post(WEBHOOKS, wish("https://SHOP.Example/Hook")).status == 201


@pytest.mark.parametrize("port", [0, 22, 25, 80, 465, 3306, 5432, 6379, 8080, 9200, 65535, 65536, 99999])
def test_other_ports_are_refused(till: Client, port: int) -> None:
    """A-77."""
    assert_refused(till, f"https://shop.example:{port}/")


def test_our_own_name_is_refused() -> None:
    """A-77."""
    with pytest.raises(NotAllowed, match="this gateway"):
        addresses.read("https://Pay.Example/hook", own={"pay.example"})


def test_only_declared_hosts_are_called_over_plain_http(till: Client) -> None:
    """R-58: what an operator declares, that port of it, and nothing else."""
    declared = {"127.0.0.1:9000", "hooks.test"}
    assert addresses.read("http://127.0.0.1:9000/x", declared=declared).is_declared
    assert addresses.read("http://hooks.test:1/x", declared=declared).is_declared
    for url in ("http://127.0.0.1:9001/x", "http://127.0.0.1/x", "http://a.hooks.test/", "http://127.1:9000/"):
        with pytest.raises(NotAllowed):
            addresses.read(url, declared=declared)
    assert_refused(till, "http://127.0.0.1:9000/x")


def test_a_redirect_and_a_flood_end_a_delivery() -> None:
    """A-75, A-78 are shown where the courier is: `tests/webhooks/test_bad_servers.py`."""
    moved = b"HTTP/1.1 307 Go\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"
    with receiving(lambda _request: moved) as receiver:
        report = carry(receiver.url, f"127.0.0.1:{receiver.port}")
        assert (report.status, len(receiver.seen)) == (307, 1)


@pytest.mark.parametrize("member", ["name", "description", "webhookUrl", "notificationScope"])
@pytest.mark.parametrize("harm", ["a\r\nv-c-webhook-id: x", "a\nb", "a\rb", "a\x00b", "a\x85b", "a\u2028b"])
def test_line_ends_are_refused_wherever_they_are(till: Client, member: str, harm: str) -> None:
    """A-79."""
    refused = till.post(WEBHOOKS, wish("https://shop.example/") | {member: harm})
    assert refused.status == 400
    assert "v-c-webhook-id" not in refused.headers


@pytest.mark.parametrize(
    "harm",
    [
        "<script>alert(1)</script>",
        "{{7*7}}${7*7}<%= 7*7 %>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "=cmd|'/c calc'!A0",
    ],
)
def test_scripts_in_names_are_text(till: Client, harm: str) -> None:
    """A-80: the same text comes back, as JSON and as nothing else."""
    made = till.post(WEBHOOKS, wish("https://shop.example/") | {"name": harm, "description": harm})
    assert (made.status, made.json["name"], made.json["description"]) == (201, harm, harm)
    assert made.headers["content-type"].startswith(("application/json", "application/hal+json"))


@pytest.mark.parametrize(
    "path",
    [
        "/notification-subscriptions/v2/webhooks/../../../etc/passwd",
        "/notification-subscriptions/v2/webhooks/%2e%2e%2f%2e%2e",
        "/notification-subscriptions/v2/webhooks/%252e%252e%252fkms",
        "/notification-subscriptions/v2/webhooks/%00",
        "/notification-subscriptions//v2/webhooks",
        "//notification-subscriptions/v2/webhooks",
        "/microform/v2/../../app.py",
        "/microform/v2/%2e%2e/field.html",
        "/microform/v2/microform.js%00.css",
        "/flex/v2/..%5c..%5capp.py",
    ],
)
def test_paths_lead_nowhere_else(till: Client, path: str) -> None:
    """A-86: no file, no other route."""
    answer = till.call("GET", path)
    assert answer.status in (400, 404), answer.body


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "_method"])
def test_a_method_is_that_of_its_request_line(till: Client, name: str) -> None:
    """A-86."""
    made = till.post(WEBHOOKS, wish("https://shop.example/")).json["webhookId"]
    assert till.call("GET", f"{WEBHOOKS}/{made}", None, {name: "DELETE"}).status == 200
    assert till.call("GET", f"{WEBHOOKS}/{made}").status == 200
