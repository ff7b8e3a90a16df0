"""The acquirer codes of this wire (`payment_details.response_code`), each with what it says, in our own words. Data.

All that the documents number. This gateway gives some of them (`codes.REASONS`, `codes.OPTION_FIELDS`); a real link
behind it would give the others. Codes that say only that a field of a message was set wrong have one text.
"""

from collections.abc import Mapping
from typing import Final

_CODES: Final = """
-1 Error of the gateway
0 Approved
1 Refer to card issuer
2 Refer to card issuer, special condition
3 Invalid merchant
4 Pick up card
5 Do not honour
6 Error
7 Signature failed
8 Approved with identification
10 Approved for a part of the amount
12 Invalid transaction
13 Invalid amount
14 Invalid card number
15 No such issuer
19 Enter the transaction again
20 No action taken
25 Record not found
28 File temporarily not available
30 Format error
34 Suspected fraud
39 No credit account
41 Lost card
43 Stolen card
51 Insufficient funds
52 No cheque account
53 No savings account
54 Expired card
55 Incorrect PIN
57 Transaction not permitted to the card
58 Transaction not permitted to the terminal
59 Suspected fraud
61 Amount limit exceeded
62 Restricted card
63 Cannot authorize
64 Cannot authorize
65 Count limit exceeded, or authentication required
68 No answer in time
70 Contact card issuer
71 PIN not changed
75 PIN tries exceeded
76 Account does not exist
77 Account does not exist
78 Account does not exist
79 Already reversed
80 Issuer not available
82 Security code check failed
83 Refused in place of the issuer
84 Authorization life cycle is wrong
85 Nothing to decline
86 PIN cannot be verified
88 Cannot authorize
89 PIN not acceptable
91 Issuer unavailable
92 No route
93 Not permitted by law
94 Duplicate transmission
96 System malfunction
98 System malfunction
99 System malfunction
397 Surcharge not permitted
398 Surcharge not supported
442 CAFIS: acquirer is not registered
443 CAFIS: fault, try again
444 CAFIS: acquirer is busy
445 CAFIS: fault of the acquirer
446 CAFIS: acquirer is closed
447 CAFIS: fault, try again
448 CAFIS: encoding error
449 CAFIS: fault, try again
450 CAFIS: fault, try again
451 CAFIS: advice was received before
452 CAFIS: no answer of the acquirer in time
453 CAFIS: fault, try again
454 CAFIS: fault, try again
455 CAFIS: fault, try again
456 CAFIS: fault, try again
457 CAFIS: fault, try again
458 CAFIS: service not supported
459 CAFIS: fault, try again
460 CAFIS: fault, try again
577 Card cannot be used
578 Pending
579 PIN is wrong
580 Security code is wrong
581 Security code is not set
582 Magnetic stripe (JIS 2) is wrong
583 Daily count limit of the card
584 Daily amount limit of the card
586 Card number is wrong
587 Card is lost or stolen
588 Card number is wrong
589 Card number is wrong
590 Merchant type is not valid
591 Amount is not valid
592 Tax or postage is not valid
593 Number of bonuses is not valid
594 Bonus month is not valid
595 Bonus amount is not valid
596 First payment month is not valid
597 Number of installments is not valid
598 Installment amount is not valid
599 First payment amount is not valid
600 Service, business or message code is not valid
601 Payment division is not valid
602 Inquiry division is not valid
603 Cancel division is not valid
604 Original payment division is not valid
605 Card has expired
606 Card is not for this service
607 Service of the acquirer has ended
608 Card is lost or stolen
609 Cannot be processed
610 Not supported
611 Centre is not known
828 Cannot authorize
831 Cash service not available
832 Cash request exceeds the limit
833 Sent again too late
835 Security code failed
836 Amount exceeds the authorization
902 Biller is not known
905 Cannot authorize
906 Cannot authorize
937 Card authentication failed
972 Payment was stopped
973 Authorization was revoked
975 All authorizations were revoked
1198 Forward to issuer
1201 Forward to issuer
1263 Cannot authorize
1295 Not known
"""
SET_WRONGLY: Final = (
    *range(622, 644),
    *(645, 646, 647),
    *range(658, 675),
)
"""A field of the message to a Japanese acquirer was set wrongly."""
GEAR_AGAIN: Final = (675, 678, 681, 703, 705)
"""The network in between had a fault: nothing was done."""
UNCLEAR: Final = (676, 677, 679, 680, 682, 683, *range(694, 703), 704)
"""Nobody can say what became of it: an unknown outcome, never a decline."""
CHEQUES: Final = tuple(range(1044, 1052))
"""Results of cheques, in the United States."""


def _read(line: str) -> tuple[int, str]:
    code, _, meaning = line.partition(" ")
    return int(code), meaning


ACQUIRER: Final[Mapping[int, str]] = dict(
    sorted(
        {
            **dict(map(_read, _CODES.strip().splitlines())),
            **dict.fromkeys(SET_WRONGLY, "A field of the acquirer's message was set wrongly"),
            **dict.fromkeys(GEAR_AGAIN, "Fault of the network, try again"),
            **dict.fromkeys(UNCLEAR, "The outcome is not clear"),
            **dict.fromkeys(CHEQUES, "Result of a cheque"),
        }.items()
    )
)
"""Code to what it says."""
