"""Transfers: the orders by which a merchant's tokens leave an installation and come into another, line by line.

A step remembers nothing: where it stands is handed out and back. Numbers travel between the two vaults inside of sealed
lines; whoever gives the orders sees those alone.
"""

import asyncio
from typing import Any

from kessai import moving, parcels
from kessai.accounts import Refused
from kessai.app import House
from kessai.log import log


async def pack(house: House, merchant: str, to: str, at: dict[str, Any] | None = None, after: str = "") -> object:
    """The next line of a parcel with a merchant's tokens. `at` and `after` are what the line before handed out."""
    merchant_id, mover = house.accounts.get(merchant).merchant.id, house.mover()
    try:
        key = parcels.recipient(to.encode())
        line, place, last = await mover.pack(moving.place_of(at) or mover.begin(merchant_id), after, key)
    except (moving.Refused, parcels.Unreadable) as error:
        raise Refused(str(error)) from None
    if place.is_ended:
        log("tokens.exported", merchant=merchant_id, key=key.thumbprint(), counts=place.counts)
    return {"line": line, "at": moving.written(place), "after": last}


async def unpack(
    house: House, merchant: str, lines: list[str], key: str, stage: str, at: dict[str, Any] | None = None
) -> object:
    """Check the next lines of a parcel, or put what is in them into the vault; the private key is not kept."""
    merchant_id, place, done = house.accounts.get(merchant).merchant.id, moving.place_of(at), moving.Tally()
    try:
        private = await asyncio.to_thread(parcels.opener, key.encode())
        for line in lines:
            chunk, place = parcels.read(line, place, private)
            done = done.plus(await house.mover().unpack(merchant_id, chunk, stage))
    except (moving.Refused, parcels.Unreadable) as error:
        raise Refused(str(error)) from None
    if place is not None and place.is_ended and stage == moving.STAGES[-1]:
        log("tokens.imported", merchant=merchant_id, counts=place.counts)
    return {**moving.written(done), "at": moving.written(place)}
