"""The second wire, put together: payments server to server, and the payment page that it hosts."""

from collections.abc import Callable
from dataclasses import dataclass

from kessai.accounts import Accounts
from kessai.authenticator import Authenticator
from kessai.gateway import Gateway
from kessai.hosted.links import Links
from kessai.hosted.service import HostedPages
from kessai.jobs.recurring import Biller
from kessai.limits import Limits
from kessai.metrics import Metrics
from kessai.payment.merchant import Merchant
from kessai.s2s.cardholders import WIRE, Cardholders
from kessai.s2s.cards import Cards
from kessai.s2s.paying import Paying
from kessai.s2s.risks import Risks
from kessai.s2s.service import ServerToServer
from kessai.s2s.subscribing import Subscribing
from kessai.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondWire:
    """What answers on it."""

    gateway: Gateway
    paying: Paying
    subscribing: Subscribing
    links: Links

    def services(
        self, accounts: Accounts, limits: Limits, metrics: Metrics, refuses_new: Callable[[], bool]
    ) -> tuple[ServerToServer, HostedPages]:
        """Its services of the edge. `refuses_new`: whether there is no room for new payments (R-22)."""
        wire = ServerToServer(
            accounts,
            self.paying,
            self.subscribing,
            link=self.links.make,
            limits=limits,
            metrics=metrics,
            refuses_new=refuses_new,
        )
        pages = HostedPages(self.links, accounts, self.gateway, limits=limits, metrics=metrics, refuses_new=refuses_new)
        return wire, pages


def second_wire(
    gateway: Gateway,
    tokenizer: Tokenizer,
    authenticator: Authenticator,
    biller: Biller,
    merchant_of: Callable[[str], Merchant | None],
    may_name: Callable[[Merchant, str], bool],
    public_url: str,
) -> SecondWire:
    """`may_name`: whether notifications of a merchant may go to a URL. `public_url`: where browsers find this gateway;
    empty: where a request found it."""
    cards = Cards(tokenizer)
    risks = Risks(gateway.database, gateway.new_id, gateway.vault.fingerprint)
    cardholders = Cardholders(authenticator, gateway.new_id, gateway.clock, public_url)
    paying = Paying(gateway, cards, risks, cardholders, may_name)
    authenticator.continuations[WIRE] = paying.go_on
    return SecondWire(
        gateway=gateway,
        paying=paying,
        subscribing=Subscribing(biller, tokenizer, cards, paying),
        links=Links(gateway, paying, merchant_of, public_url),
    )
