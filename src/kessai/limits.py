"""Limits on the rate of requests (R-59): how often a credential may ask, and an address fail to say who it is.

Token buckets in the memory of one process: each of several workers counts for itself. Nothing here reads a clock.

Whoever asks is verified first, always, so that a refusal takes as long as an answer and tells nobody which keys exist.
An address that has failed too often is refused even where it is right at last: else a guess would cost nothing. Only a
credential that was right from that address before goes on, so that nobody can shut a merchant out of a shared address.
"""

import ipaddress
import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Final

from kessai.dialects import HttpRequest, HttpResponse
from kessai.log import log
from kessai.metrics import Metrics
from kessai.payment.merchant import Merchant

MOST_KEPT: Final = 10_000
"""Buckets, and known credentials, of which more than these are forgotten, the oldest first (R-12)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Buckets:
    """A bucket of tokens for each key. One that nobody has met is full."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, float, bool]] = {}
        """Tokens, the time at which there were so many, and whether the bucket was emptied and is not half full yet."""

    def take(self, key: Hashable, now_s: float, per_s: float, burst: float) -> tuple[float, bool]:
        """Take a token: 0 where there was one, else the seconds until there is; and whether it was emptied just now."""
        tokens, was_empty = burst, False
        kept = self._kept.get(key)
        if kept is not None:
            tokens, was_empty = min(burst, kept[0] + (now_s - kept[1]) * per_s), kept[2]
        elif len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        if tokens < 1:
            self._kept[key] = tokens, now_s, True
            return (1 - tokens) / per_s, not was_empty
        self._kept[key] = tokens - 1, now_s, was_empty and tokens < burst / 2
        return 0.0, False

    def wait_s(self, key: Hashable, now_s: float, per_s: float) -> float:
        """Seconds until there is a token; none is taken."""
        kept = self._kept.get(key)
        return max(0.0, (1 - kept[0]) / per_s - (now_s - kept[1])) if kept is not None else 0.0


class Limits:
    """What the edge asks. Times are of a monotonic clock, in seconds; answers are seconds to wait, 0 for going on."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        failures_per_s: float,
        failures_burst: float,
        proxies: Sequence[str] = (),
    ) -> None:
        """`proxies`: addresses and networks whose `X-Forwarded-For` is believed (R-54)."""
        self._metrics = metrics
        self._per_s = failures_per_s
        self._burst = failures_burst
        self._proxies = tuple(ipaddress.ip_network(proxy) for proxy in proxies)
        self._failures = Buckets()
        self._requests = Buckets()
        self._known: dict[tuple[str, str, str], None] = {}
        """Where a credential was right: address, merchant, key."""

    def failed(self, request: HttpRequest, now_s: float) -> float:
        """A request whose sender is not who it says."""
        address = self.address_of(request)
        wait_s, is_first = self._failures.take(address, now_s, self._per_s, self._burst)
        return self._told(wait_s, "failures", is_first=is_first, address=address)

    def verified(self, request: HttpRequest, merchant: Merchant, key_id: str, now_s: float) -> float:
        """A request whose sender is who it says: whether it may go on."""
        address = self.address_of(request) if self._proxies else request.peer
        known = (address, merchant.id, key_id)
        if known not in self._known:
            wait_s = self._failures.wait_s(_network_of(address), now_s, self._per_s)
            if wait_s:
                return self._told(wait_s, "failures", is_first=False)
            if len(self._known) >= MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[known] = None
        if not merchant.is_limited:
            return 0.0
        terms = merchant.terms
        wait_s, is_first = self._requests.take((merchant.id, key_id), now_s, terms.requests_per_s, terms.requests_burst)
        return self._told(wait_s, "requests", is_first=is_first, merchant=merchant.id)

    def is_proxy(self, address: str) -> bool:
        """Whether an address is a proxy's that is believed."""
        return _is_in(self._proxies, address)

    def _told(self, wait_s: float, limit: str, *, is_first: bool, **whose: str) -> float:
        if wait_s:
            self._metrics.limited[limit] = self._metrics.limited.get(limit, 0) + 1
        if is_first:  # once, until half of it has come back: an alarm is not to be flooded
            log("limit.reached", level="warning", limit=limit, **whose)
        return wait_s

    def address_of(self, request: HttpRequest) -> str:
        """Where a request comes from, as one that is counted: an IPv6 address as its network of 64 bits."""
        if not self._proxies or not _is_in(self._proxies, request.peer):
            return _network_of(request.peer)
        hops = [hop.strip() for line in request.all("x-forwarded-for") for hop in line.split(",")]
        sent_by = request.peer
        for hop in reversed(hops):  # each proxy adds on the right: what stands left of a stranger, he has written
            if not _is_in(self._proxies, sent_by) or _parsed(hop) is None:
                break
            sent_by = hop
        return _network_of(sent_by)


_BODY: Final = b'{"errors":[{"type":"tooManyRequests","message":"Too many requests: nothing was done."}]}'
"""The form of what never reaches a payment, as that of the 503s."""


def refused(wait_s: float) -> HttpResponse:
    """The one answer to all that is over a limit. It waits whole seconds, at least one (RFC 9110, 10.2.3)."""
    return HttpResponse(429, _BODY, {"retry-after": str(max(1, math.ceil(wait_s)))})


@lru_cache(maxsize=4_096)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


def _is_in(networks: Sequence[Network], address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(maxsize=4_096)
def _network_of(address: str) -> str:
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):  # whoever has one has all of them
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed) if parsed is not None else address
