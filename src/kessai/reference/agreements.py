"""Sections about charges without the cardholder: reasons, what an acquirer is told, members of a series."""

from kessai.dialects.cybersource import agreements
from kessai.payment.agreement import OLDEST, Agreement, Initiator, facts
from kessai.reference.parts import code, table


def print_agreement_reasons() -> str:
    rows = []
    for reason, occasion in agreements.OCCASIONS.items():
        told = facts(Agreement(initiator=Initiator.MERCHANT, occasion=occasion))
        title, brands = agreements.REASONS[reason]
        oldest = OLDEST.get(occasion)
        rows.append(
            (
                code(reason),
                title,
                ", ".join(sorted(brand.value for brand in brands)),
                code(told.get("entry_mode")),
                code(told.get("condition")),
                code(told.get("message_reason")),
                f"{oldest.days} days" if oldest is not None else "",
            )
        )
    headings = ("Reason", "Charge", "Card brands", "Entry mode", "Condition", "Message reason", "Original younger than")
    return table(headings, rows)


def print_agreement_indicators() -> str:
    rows = ((code(word), series.value) for word, series in agreements.SERIES.items())
    return table(("`commerceIndicator`", "Series"), rows)


def print_agreement_terms() -> str:
    rows = ((code(".".join(path)), code(name)) for path, name in agreements.TERMS.items())
    return table(("Member", "What the acquirer is told"), rows)
