import json
from importlib.resources import files

MAX_LENGTH = 64
DEFAULT = "Passkey"

# From the passkey developers' public list of AAGUIDs: for names alone, never for trust.
_NAMES: dict[str, str] = json.loads(files(__package__).joinpath("authenticator_names.json").read_bytes())


def of_authenticator(aaguid: str) -> str:
    """Answer what a new passkey is called until its person says otherwise."""
    return _NAMES.get(aaguid, DEFAULT)


def chosen(text: str) -> str | None:
    """Answer a person's own name for a passkey, trimmed; None when empty, too long or not plain."""
    name = text.strip(" ")
    return name if 0 < len(name) <= MAX_LENGTH and _is_plain(name) else None


def _is_plain(name: str) -> bool:
    # The joiner (U+200D) is not printable to Python, and most family and profession emoji need it.
    return all(character.isprintable() or character == "\N{ZERO WIDTH JOINER}" for character in name)
