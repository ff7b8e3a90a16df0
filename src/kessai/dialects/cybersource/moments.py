"""Instants of the query language: epoch milliseconds, ISO instants, `NOW`, and arithmetic on them. Pure.

    instant = ( NOW | 1621000000000 | 2021-05-14[T10:00:00[Z|+09:00]] ) { "/" UNIT | ("+"|"-") n UNIT[S] }

Rounding and whole days, weeks, months and years follow the calendar of the search's time zone; hours and less are exact
durations. Without an offset an ISO instant is in that zone.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MOST_STEPS: Final = 10
LAST_YEAR: Final = 2300
_UNITS: Final = "YEAR|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND"
_BASE: Final = re.compile(
    r"NOW|[0-9]{1,13}(?![0-9-])|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_STEP: Final = re.compile(rf"(?:/({_UNITS})S?|([+-])([0-9]{{1,6}})({_UNITS})S?)(?![A-Z0-9])", re.ASCII)
_EXACT: Final = {"HOUR": timedelta(hours=1), "MINUTE": timedelta(minutes=1), "SECOND": timedelta(seconds=1)}
_LARGEST_MS: Final = 4_102_444_800_000
"""The year 2100; a greater number may be that of a card."""


def read(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a text, aware UTC. ValueError, with a sentence, for a text that is none."""
    found = _BASE.match(text)
    if found is None:
        raise ValueError("an instant is NOW, an ISO instant or milliseconds since 1970")
    try:
        instant = _base(found[0], now, zone)
        at, steps = found.end(), 0
        while at < len(text):
            step = _STEP.match(text, at)
            steps += 1
            if step is None or steps > MOST_STEPS:
                raise ValueError("after an instant come at most ten steps such as /DAY or -7DAYS")
            instant = _rounded(instant, step[1], zone) if step[1] else _moved(instant, step, zone)
            at = step.end()
    except OverflowError:
        raise ValueError("the instant is out of every calendar") from None
    if not 1970 <= instant.year <= LAST_YEAR:
        raise ValueError(f"the instant is not between 1970 and {LAST_YEAR}")
    return instant


def _base(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    if text == "NOW":
        return now
    if text.isdigit():
        if int(text) > _LARGEST_MS:
            raise ValueError("so many milliseconds since 1970 are no instant")
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such day or time") from None
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)).astimezone(UTC)


def _rounded(instant: datetime, unit: str, zone: ZoneInfo) -> datetime:
    """Down to the beginning of the unit; of a week, to Monday."""
    local = instant.astimezone(zone)
    begun = local.replace(microsecond=0)
    if unit != "SECOND":
        begun = begun.replace(second=0)
    if unit not in ("SECOND", "MINUTE"):
        begun = begun.replace(minute=0)
    if unit not in _EXACT:
        begun = begun.replace(hour=0, fold=0)
    if unit == "WEEK":
        begun -= timedelta(days=begun.weekday())
    if unit in ("MONTH", "YEAR"):
        begun = begun.replace(day=1)
    if unit == "YEAR":
        begun = begun.replace(month=1)
    return begun.astimezone(UTC)


def _moved(instant: datetime, step: "re.Match[str]", zone: ZoneInfo) -> datetime:
    count, unit = int(step[2] + step[3]), step[4]
    if unit in _EXACT:
        return instant + count * _EXACT[unit]
    local = instant.astimezone(zone)
    if unit in ("DAY", "WEEK"):
        return (local + timedelta(days=count * (7 if unit == "WEEK" else 1))).astimezone(UTC)
    months = local.year * 12 + local.month - 1 + count * (12 if unit == "YEAR" else 1)
    year, month = divmod(months, 12)
    if not 1900 <= year <= 2400:
        raise OverflowError
    first = local.replace(year=year, month=month + 1, day=1)
    last_day = ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(local.day, last_day)).astimezone(UTC)
