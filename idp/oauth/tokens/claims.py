"""Claims about a person (OIDC Core §5.1): read once, released name by name."""

from collections.abc import Collection
from typing import Literal

from idp.storage import people
from idp.storage.grants import Grant
from idp.storage.prepared import Lane


async def of_person(lane: Lane, *, account_id: str, names: Collection[str]) -> dict[str, object] | None:
    """Answer those of the named claims that are known; None when there is no such person."""
    person = await people.find(lane, account_id=account_id)
    if person is None:
        return None
    known: dict[str, object] = dict(person.profile or {})
    if person.name:
        known["name"] = person.name
    known["updated_at"] = int(person.updated_at.timestamp())
    if person.email is not None:
        known["email"] = person.email
        # Only the mailed link makes an address a person's; until then a client must not trust it.
        known["email_verified"] = person.email_verified_at is not None
    return {name: value for name, value in known.items() if name in names}


def of_request(*, userinfo: Collection[str], id_token: Collection[str]) -> dict[str, object] | None:
    """Spell for a grant's row which claims were asked for one by one; None when none was."""
    asked: dict[str, object] = {"userinfo": list(userinfo), "id_token": list(id_token)}
    return {place: names for place, names in asked.items() if names} or None


def requested(grant: Grant, *, place: Literal["userinfo", "id_token"]) -> tuple[str, ...]:
    """Name the claims that were asked for one by one, as `of_request` spelt them."""
    names = grant.claims.get(place) if grant.claims else None
    return tuple(map(str, names)) if isinstance(names, list) else ()
