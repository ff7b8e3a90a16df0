"""Words: a payment option as people read it, and as an acquirer prints it. Pure."""

from msgspec.structs import replace

from kessai.payment import names
from kessai.payment.options import RULES, Kind, PaymentOption


def display(option: PaymentOption) -> tuple[str, str]:
    """The method as people read it, in English and in Japanese."""
    count = option.installments
    match option.kind:
        case Kind.ONE_TIME:
            return "one-time payment", "1回払い"
        case Kind.BONUS if option.bonus_count == 2:
            return "bonus payment, twice", "ボーナス2回払い"
        case Kind.BONUS:
            return "bonus payment", "ボーナス一括払い"
        case Kind.REVOLVING:
            return "revolving payment", "リボ払い"
        case Kind.INSTALLMENTS if count == 2:
            return "two payments", "2回払い"
        case Kind.INSTALLMENTS:
            return (f"{count} installments", f"分割{count}回払い") if count else ("installments", "分割払い")
        case Kind.COMBINATION:
            numbered = (f"{count} installments with bonus", f"ボーナス併用払い({count}回)")
            return numbered if count else ("installments with bonus", "ボーナス併用払い")


def printed(option: PaymentOption) -> PaymentOption:
    """The option as an acquirer is sent it: names converted as far as they can be, never refused for their letters."""
    kanji, katakana, alphanumeric = names.printed(
        option.business_name, option.business_name_katakana, option.business_name_alphanumeric
    )
    return replace(
        option, business_name=kanji, business_name_katakana=katakana, business_name_alphanumeric=alphanumeric
    )


def warning(kept: str) -> str:
    """A warning as people read it: payments keep the ids of rules, and plain sentences of other warnings."""
    rule = RULES.get(kept)
    return f"{kept}: {rule.message} / {rule.message_ja}" if rule else kept
