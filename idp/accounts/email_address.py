"""E-mail addresses: read strictly, sent to as they are compared."""

import re
import unicodedata
from dataclasses import dataclass

from idp.errors import PageError

MAX_LENGTH = 254  # RFC 5321 §4.5.3.1.3: a path holds 256 octets, with its angle brackets.
MAX_LOCAL_BYTES = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN_LENGTH = 253

# RFC 5321 §4.1.2 (Dot-string, atext), RFC 6531 §3.3 (beyond ASCII). Quoted strings are legal, but nobody has
# one, and they are how a second address gets into a mail's header.
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Spelt one way by IDNA2003 and another by IDNA2008: the same text would be two different domains.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")
_FORBIDDEN_CATEGORIES = ("C", "Z")


@dataclass(frozen=True, slots=True)
class EmailAddressText:
    """An address that mail may be sent to, and the form in which two addresses are compared."""

    address: str
    normalized: str


def parse(text: str) -> EmailAddressText | None:
    """Read exactly one address; None for anything else (lists, quotes, comments, control characters).

    The domain is spelt in ASCII and lower case, so that what is compared is also what is delivered to.
    """
    text = text.strip(" ")
    # The length comes first, and the ASCII sign is counted before anything can turn into another one.
    if len(text) > MAX_LENGTH or text.count("@") != 1:
        return None
    local, _, domain = unicodedata.normalize("NFKC", text).partition("@")
    ascii_domain = _ascii_domain(domain)
    if ascii_domain is None or not _is_local(local):
        return None
    compared = _compared(local)
    address = f"{local}@{ascii_domain}"
    # Folding and ASCII spelling can lengthen both, and turn a letter into something that is none.
    if not _is_local(compared) or len(f"{compared}@{ascii_domain}") > MAX_LENGTH or len(address) > MAX_LENGTH:
        return None
    return EmailAddressText(address=address, normalized=f"{compared}@{ascii_domain}")


def normalize(text: str) -> str | None:
    """Answer the form in which addresses are compared; None when the text is not one address."""
    parsed = parse(text)
    return parsed.normalized if parsed else None


def check(text: str) -> EmailAddressText:
    """Read exactly one address; raises PageError."""
    parsed = parse(text)
    if parsed is None:
        raise PageError(
            "This is not an e-mail address",
            "Give one e-mail address, like ada@example.com.",
            code="invalid_email",
        )
    return parsed


def _compared(local: str) -> str:
    # Until nothing changes: folding may undo what NFKC composed (three rounds are never needed).
    for _ in range(3):
        folded = unicodedata.normalize("NFKC", local.casefold())
        if folded == local:
            break
        local = folded
    return local


def _is_local(local: str) -> bool:
    return (
        len(local.encode()) <= MAX_LOCAL_BYTES
        and all(_ATOM.fullmatch(atom) for atom in local.split("."))
        and not any(unicodedata.category(character)[0] in _FORBIDDEN_CATEGORIES for character in local)
    )


def _ascii_domain(domain: str) -> str | None:
    if not domain or len(domain) > MAX_DOMAIN_LENGTH or not _DEVIATIONS.isdisjoint(domain.lower()):
        return None
    try:
        spelt = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = spelt.split(".")
    is_legal = len(spelt) <= MAX_DOMAIN_LENGTH and all(_LABEL.fullmatch(label) for label in labels)
    # A number at the end is an IPv4 address or nothing: no domain ends so.
    return spelt if is_legal and not labels[-1].isdigit() else None
