"""What is known of a person beyond name and address, in the words of OIDC Core §5.1."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date

Profile = dict[str, object]

MAX_LENGTH = 200
MAX_ADDRESS_LENGTH = 1000
MAX_URI_LENGTH = 2000

# Control, surrogate, format, line and paragraph separator: they only hide or turn text.
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_WEB_URI = re.compile(r"https?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?(?:[/?#][\x21\x23-\x3b\x3d\x3f-\x7e]*)?")
_BIRTHDATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2})?", re.ASCII)
_ZONEINFO = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+){0,2}")
# RFC 5646 §2.1, as far as people's languages go; some servers write en_US (OIDC Core §5.1, locale).
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,5}")
# E.164, and RFC 3966's extension.
_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{4,14}(?:;ext=[0-9]{1,10})?", re.ASCII)
_FLAGS = {"true": True, "false": False}


class ProfileError(ValueError):
    """A value that a claim cannot have; the message says what it can."""


def change(profile: Mapping[str, object], changes: Mapping[str, str]) -> Profile:
    """Answer the profile with claims set, as text spells them; an empty text takes a claim away.

    Members of the address are named `address.country` and so on. Raises ProfileError for the first fault.
    """
    changed = dict(profile)
    address = changed.pop("address", None)
    members: Profile = dict(address) if isinstance(address, Mapping) else {}
    # Whoever proved the old number says nothing about a new one.
    if "phone_number" in changes:
        changed["phone_number_verified"] = False
    for name, text in changes.items():
        reader = _READERS.get(name)
        if reader is None:
            raise ProfileError(f"{name} is no claim that can be set; there are {', '.join(_READERS)}")
        holder, key = (members, name.partition(".")[2]) if name.startswith("address.") else (changed, name)
        if text == "":
            holder.pop(key, None)
            continue
        holder[key] = reader(name, text)
    if members:
        changed["address"] = members
    if "phone_number" not in changed and changed.pop("phone_number_verified", False):
        raise ProfileError("phone_number_verified needs a phone_number")
    return changed


def _text(name: str, text: str) -> str:
    return _plain(name, text, max_length=MAX_LENGTH, allowed="")


def _lines(name: str, text: str) -> str:
    # OIDC Core §5.1.1: lines of an address are parted by a line feed, with or without a carriage return.
    return _plain(name, text, max_length=MAX_ADDRESS_LENGTH, allowed="\r\n")


def _plain(name: str, text: str, *, max_length: int, allowed: str) -> str:
    composed = unicodedata.normalize("NFC", text.strip()) if len(text) <= 4 * max_length else ""
    categories = {unicodedata.category(char) for char in composed if char not in allowed}
    if not 0 < len(composed) <= max_length or not _REFUSED.isdisjoint(categories):
        raise ProfileError(f"{name} must be plain text of 1 to {max_length} characters")
    return composed


def _web_uri(name: str, text: str) -> str:
    if len(text) > MAX_URI_LENGTH or not _WEB_URI.fullmatch(text):
        raise ProfileError(f"{name} must be an http or https address")
    return text


def _birthdate(name: str, text: str) -> str:
    # OIDC Core §5.1: a year, a date, or a date of the year 0000, which stands for an unknown one.
    fault = ProfileError(f"{name} must be YYYY-MM-DD, YYYY, or 0000-MM-DD")
    if not _BIRTHDATE.fullmatch(text):
        raise fault
    year, _, day = text.partition("-")
    if not day:
        return text
    try:
        # 2000 was a leap year: in an unknown year, 29 February is a day.
        date.fromisoformat(f"{'2000' if year == '0000' else year}-{day}")
    except ValueError as error:
        raise fault from error
    return text


def _matching(pattern: re.Pattern[str], says: str) -> Callable[[str, str], str]:
    def reader(name: str, text: str) -> str:
        if len(text) > MAX_LENGTH or not pattern.fullmatch(text):
            raise ProfileError(f"{name} must be {says}")
        return text

    return reader


def _flag(name: str, text: str) -> bool:
    if text not in _FLAGS:
        raise ProfileError(f"{name} must be true or false")
    return _FLAGS[text]


_READERS: dict[str, Callable[[str, str], object]] = {
    "given_name": _text,
    "family_name": _text,
    "middle_name": _text,
    "nickname": _text,
    "preferred_username": _text,
    "profile": _web_uri,
    "picture": _web_uri,
    "website": _web_uri,
    "gender": _text,
    "birthdate": _birthdate,
    "zoneinfo": _matching(_ZONEINFO, "a time zone such as Europe/Paris"),
    "locale": _matching(_LOCALE, "a language tag such as en-GB"),
    "phone_number": _matching(_PHONE_NUMBER, "a number such as +14155550100"),
    "phone_number_verified": _flag,
    "address.formatted": _lines,
    "address.street_address": _lines,
    "address.locality": _text,
    "address.region": _text,
    "address.postal_code": _text,
    "address.country": _text,
}
