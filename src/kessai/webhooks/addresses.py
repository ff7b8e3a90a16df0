"""Where a notification may go: URLs that merchants give, and addresses that names lead to. Pure (R-58).

A URL is https, on port 443 or 8443, to a name or a public address; nothing in it may mean one thing to us and another
to whoever connects. An address is public by an allow test: what is not known to be the open Internet is refused, and so
is every form that carries another address inside (mapped, compatible, NAT64, 6to4, Teredo).

    NotAllowed   why a URL or an address is refused; a word or two, fit to be shown
"""

import re
from collections.abc import Iterable, Set
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from msgspec import Struct

LONGEST: Final = 2_048
PORTS: Final = (443, 8443)


class NotAllowed(ValueError):
    pass


class Target(Struct, frozen=True):
    """A URL that was read. `host` is in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, beginning with a slash."""
    is_declared: bool = False
    """Whether the operator has declared its host for tests: then its address is not looked at."""

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][!-\[\]-~]*)?",
    re.ASCII,
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PRIVATE_NAMES: Final = ("localhost", "local", "internal", "localdomain", "home.arpa", "onion")


def read(text: str, *, declared: Set[str] = frozenset(), own: Set[str] = frozenset()) -> Target:
    """A URL as a target. NotAllowed. `declared` are hosts for tests, as `host:port` or `host`; `own` names are ours."""
    if len(text) > LONGEST:
        raise NotAllowed("a URL has at most 2048 letters")
    found = _URL.fullmatch(text)
    if found is None or "#" in text:
        raise NotAllowed("not an https URL of a host, a port and a path in visible ASCII")
    scheme, host = found["scheme"], found["host"].lower().strip("[]")
    port = int(found["port"] or (443 if scheme == "https" else 80))
    path = found["path"] or "/"
    target = Target(scheme, host, port, path if path.startswith("/") else f"/{path}")
    shown = f"[{host}]" if ":" in host else host
    if not 0 < port < 65_536:
        raise NotAllowed("there is no such port")
    if shown in declared or f"{shown}:{port}" in declared:
        return Target(scheme, host, port, target.path, is_declared=True)
    if scheme != "https":
        raise NotAllowed("the scheme must be https")
    if port not in PORTS:
        raise NotAllowed("the port must be 443 or 8443")
    _check_host(host, own)
    return target


def _check_host(host: str, own: Set[str]) -> None:
    if ":" in host:
        check(host)
        return
    labels = host.split(".")
    if _NUMERIC.fullmatch(labels[-1]):  # whoever resolves it would read a number in one of many ways
        check(host)
        return
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise NotAllowed("the host is no name of the public Internet")
    if any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES):
        raise NotAllowed("the host is no name of the public Internet")
    if host in own:
        raise NotAllowed("the host is this gateway")


_REFUSED_4: Final = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_ALLOWED_6: Final = IPv6Network("2000::/3")
_REFUSED_6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20"))
)


def is_public(text: str) -> bool:
    """Whether an address, in its one strict form, is on the open Internet."""
    try:
        if ":" in text:
            six = IPv6Address(text)
            is_open = six in _ALLOWED_6 and not any(six in network for network in _REFUSED_6)
            return is_open and six.is_global and six.scope_id is None
        four = IPv4Address(text)
        return four.is_global and not any(four in network for network in _REFUSED_4)
    except (AddressValueError, ValueError):
        return False


def check(address: str) -> None:
    if not is_public(address):
        raise NotAllowed("the address is not on the public Internet")


def check_all(addresses: Iterable[str]) -> None:
    """Every address that a name leads to: one that is not public spoils the others."""
    found = list(addresses)
    if not found:
        raise NotAllowed("the host has no address")
    for address in found:
        check(address)
