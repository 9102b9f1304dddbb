"""Names that people give to themselves and to their passkeys."""

import unicodedata

from idp.errors import PageError

MAX_LENGTH = 64

# The joiners make family emoji and Persian words; the other format characters only hide or turn text.
_JOINERS = frozenset("\u200c\u200d")
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_VISIBLE = frozenset("LNPS")


def parse(text: str) -> str | None:
    """Answer the name, trimmed and composed; None when it is empty, too long, or not plain text."""
    # Composing never lengthens beyond this, and a long text is not worth composing.
    if len(text) > 4 * MAX_LENGTH:
        return None
    name = unicodedata.normalize("NFC", text.strip())
    if not 0 < len(name) <= MAX_LENGTH:
        return None
    categories = [unicodedata.category(character) for character in name if character not in _JOINERS]
    if not _REFUSED.isdisjoint(categories):
        return None
    # Unassigned (Cn) and private (Co) are let through: new emoji and vendors' signs are just that.
    is_visible = any(category[0] in _VISIBLE or category in {"Cn", "Co"} for category in categories)
    return name if is_visible else None


def check(text: str) -> str:
    """Answer the name, trimmed and composed; raises PageError."""
    name = parse(text)
    if name is None:
        raise PageError(
            "This name can't be used",
            "Give a name of 1 to 64 characters, in any language.",
            code="invalid_name",
        )
    return name
