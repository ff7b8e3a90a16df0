"""Settings: one TOML file (`kessai.toml` in the data folder) and the environment, into frozen values.

An unknown name is an error: a setting that nobody reads protects nobody. The environment (`KESSAI_` and the name in
capitals) goes before the file.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

FILE: Final = "kessai.toml"
PREFIX: Final = "KESSAI_"
_OTHERS: Final = frozenset({"KESSAI_DATA", "KESSAI_KEY_ENCRYPTION_KEY"})
"""Names of the environment that are read elsewhere."""
_INJECTED: Final = ("KESSAI_PORT", "KESSAI_SERVICE_")
"""What Kubernetes says to every container beside a service named kessai."""


MOST: Final = 86_400
"""Every figure here counts seconds, or what happens in one, and none of them makes sense beyond a day's."""


_ADDRESS: Final = re.compile(r"\S+:[0-9]{1,5}", re.ASCII)

_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+", re.ASCII)


class BadSetting(Exception):
    """A setting that is unknown or has an impossible value; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an installation may choose."""

    acquirer_deadline_s: float = 10.0
    """How long an exchange with an acquirer may take before its outcome is unknown."""
    acquirer: str = ""
    """`host:port` of a simulated acquirer that runs apart (`kessai acquirer`); empty: one inside this process."""
    acquirer_connect_s: float = 1.0
    """How long connecting to an acquirer that runs apart may take, and signing on; also how long an echo may."""
    acquirer_echo_s: float = 30.0
    """How often a link to an acquirer is tried while nothing else is said on it."""
    acquirer_probe_s: float = 5.0
    """How often a link to an acquirer is tried that is down."""
    acquirer_window: int = 64
    """Messages to an acquirer that may wait for their answer at once; over it, an exchange is refused."""
    clean_up_first_s: float = 1.0
    """How long the clean-up of an unknown outcome waits before its second try; each further wait is twice as long."""
    clean_up_longest_s: float = 60.0
    """The longest wait between two tries of a clean-up."""
    accepted_hosts: tuple[str, ...] = ()
    """Host names that signed requests may name; none given: every one."""
    public_url: str = ""
    """The origin (scheme, host, port) where browsers find this gateway; empty: where the merchant's server did."""
    failures_per_s: int = 10
    """Requests a second from one address that may fail to authenticate, on average; what is over it gets 429."""
    failures_burst: int = 100
    """Requests from one address that may fail at once."""
    trusted_proxies: tuple[str, ...] = ()
    """Proxies (addresses, networks) that say in `X-Forwarded-For` where a request comes from; nobody else is heard."""
    signature_window_s: int = 300
    """How far a signed date may be from this machine's clock, either way."""
    webhook_test_hosts: tuple[str, ...] = ()
    """Hosts (`host:port`, or `host`) for notifications to test merchants: over plain HTTP too, at any address."""
    database: str = ""
    """Where payments are kept: a `postgresql://` URL; none given: an embedded database in the data folder."""
    worker_silence_s: float = 10.0
    """How long one of several workers may give no sign of life before it is killed and replaced."""
    pooler: bool = False
    """Whether the database is behind a transaction pooler: then nothing is kept prepared on a connection."""
    distributed: bool = False
    """Whether the database is spread over machines by merchant: then no commit holds rows of two merchants."""
    may_lose_acknowledged_payments: bool = False
    """Lets a database through that cannot keep what it has acknowledged; said at every start and in health."""
    log_level: str = "info"
    """Events below this level are not written: debug, info, warning, error."""


def load(folder: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a data folder. BadSetting names the first that is wrong."""
    known = {field.name: field.type for field in fields(Settings)}
    given: dict[str, object] = {}
    file = folder / FILE
    if file.exists():
        try:
            given |= tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSetting(f"{file} is not TOML: {error}") from None
    for name, text in environment.items():
        if name.startswith(PREFIX) and name not in _OTHERS and not name.startswith(_INJECTED):
            given[name.removeprefix(PREFIX).lower()] = text
    values = {name: _value(name, value, known) for name, value in given.items()}
    return Settings(**values)  # type: ignore[arg-type] # each was made to fit its field


def _value(name: str, value: object, known: Mapping[str, object]) -> object:
    if name not in known:
        raise BadSetting(f"there is no setting {name}; see docs/reference/settings.md")
    default = getattr(Settings(), name)
    try:
        if isinstance(default, bool):
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value)]
        if isinstance(default, tuple):
            given = tuple(value.split(",")) if isinstance(value, str) else tuple(map(str, value))  # type: ignore[call-overload]
            if name == "trusted_proxies":
                return tuple(str(ipaddress.ip_network(each.strip())) for each in given)
            return given
        if isinstance(default, str):
            fits = value in ("debug", "info", "warning", "error")
            if name == "log_level" and not fits:
                raise ValueError
            if name == "acquirer" and value and not _ADDRESS.fullmatch(str(value)):
                raise ValueError
            if name == "public_url" and value and not _ORIGIN.fullmatch(str(value)):
                raise ValueError
            if name == "database":
                return database_url(str(value))
            return str(value)
        if isinstance(value, bool) or (isinstance(value, float) and isinstance(default, int)):
            raise ValueError
        number = type(default)(value)
        if not 0 < number < MOST:
            raise ValueError
        return number
    except (ValueError, TypeError, OverflowError, KeyError):
        raise BadSetting(f"the setting {name} cannot be {value!r}") from None


def database_url(text: str) -> str:
    """The address of a database, or nothing. BadSetting for another text, which is not shown: it may be a password."""
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise BadSetting("a database is named by a URL that begins with postgresql://")
    return text
