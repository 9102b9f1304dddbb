"""Operations that wait for a confirmation, in the words of the person who is asked."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperationWords:
    """What the person is asked, and what happens when they confirm."""

    heading: str
    consequence: str


def describe(kind: str, parameters: Mapping[str, str]) -> OperationWords:
    """Say what an operation does."""
    heading, consequence = _WORDS[kind]
    if kind == "passkey.remove" and parameters["left"] == "1":
        consequence += _LAST_WAY_IN
    return OperationWords(
        heading=f"Is this you, {heading.format_map(parameters)}?",
        consequence=consequence.format_map(parameters),
    )


_LAST_WAY_IN = " One passkey is left then: it is your last way in. If you lose that one, you are locked out."


_WORDS = {
    "passkey.add": (
        "adding a passkey",
        "After this you create the new passkey. Everyone who can use it can sign in as you.",
    ),
    "passkey.rename": ("renaming “{old_name}”", "The passkey will be called “{name}”."),
    "passkey.remove": (
        "removing “{name}”",
        "Nobody can sign in with “{name}” any more. Other sessions that it opened end. This can't be undone.",
    ),
    "email.add": (
        "adding {address}",
        "We mail a link to {address}. It becomes yours when you open the link.",
    ),
    "email.make_primary": (
        "making {address} your main address",
        "Apps that may see your e-mail address will see {address} from now on.",
    ),
    "email.remove": (
        "removing {address}",
        "{address} no longer belongs to your account, and we write to it one last time.",
    ),
    "account.export": (
        "exporting your data",
        "You get a file with everything that your account holds.",
    ),
    "account.delete": (
        "deleting your account",
        "Your account will be deleted for good on {due_on}. Until then you can cancel in your account.",
    ),
}
