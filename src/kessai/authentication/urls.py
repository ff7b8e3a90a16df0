"""Where a payer's browser may be sent: addresses of web pages and nothing else (A-70, A-79, A-82). Pure."""

import re
from typing import Final

LONGEST: Final = 2_048
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_URL: Final = re.compile(
    rf"(?P<origin>(?P<scheme>https?)://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?)"
    r"(?P<rest>(?:[/?#][!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]-]*)?)",
    re.IGNORECASE | re.ASCII,
)


def web_url(text: str) -> str:
    """The text itself where it is an address that a browser may be sent to. ValueError for every other."""
    if _read(text) is None:
        raise ValueError("not the http(s) address of a page")
    return text


def page_address(text: str) -> str:
    """The address of a page as a browser is sent there, all of it ASCII. ValueError for what is none."""
    return web_url(in_ascii(text))


def in_ascii(url: str) -> str:
    """Letters beyond ASCII as octets of UTF-8, as browsers send them (RFC 3986, 2.5)."""
    return "".join(
        letter if letter.isascii() else "".join(f"%{octet:02X}" for octet in letter.encode()) for letter in url
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as a browser compares them; empty where it is none."""
    found = _read(url)
    if found is None:
        return ""
    origin, port = found["origin"].lower(), found["port"]
    is_usual = port is not None and int(port) == {"http": 80, "https": 443}[found["scheme"].lower()]
    return origin.rpartition(":")[0] if is_usual else origin


def _read(url: str) -> re.Match[str] | None:
    found = _URL.fullmatch(url) if len(url) <= LONGEST else None
    has_port = found is not None and found["port"] is not None
    return None if found is None or (has_port and not 0 < int(found["port"]) < 65_536) else found
