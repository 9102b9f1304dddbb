from dataclasses import dataclass
from datetime import datetime

from idp import audit
from idp.errors import NextStep, PageError
from idp.storage.database import Transaction

# Reasons that the person may know of, because they tell nothing about anyone else.
ENROLMENT_UNAVAILABLE = "enrolment_unavailable"
CREDENTIAL_REMOVED = "credential_removed"
TOO_MANY_PASSKEYS = "too_many_passkeys"
CONFIRMATION_REQUIRED = "confirmation_required"
SIGNED_OUT = "signed_out"
OPERATION_UNAVAILABLE = "operation_unavailable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A ceremony that came to nothing. A value, so that the transaction which used up its challenge commits.

    `reason` is a fixed word for the audit log; most of them give the caller one and the same answer.
    """

    reason: str

    def error(self) -> PageError:
        """Answer what the person reads."""
        return _answer(self.reason)


async def refuse(
    tx: Transaction, event: str, reason: str, *, account_id: str | None = None, now: datetime
) -> Refusal:
    """Record that a ceremony came to nothing, and why."""
    await audit.record(tx, event, outcome="failure", reason=reason, account_id=account_id, now=now)
    return Refusal(reason)


def _answer(reason: str) -> PageError:
    match reason:
        case "enrolment_unavailable":
            return PageError(
                "This link no longer works",
                "It was used already, or it waited too long. Start again, or ask for a new link.",
                code="enrolment_unavailable",
                next_step=NextStep("Sign in", "/login"),
            )
        case "credential_removed":
            return PageError(
                "That passkey was removed",
                "That passkey was removed from your account. "
                "Your password manager has been told; pick another one.",
                code="unknown_credential",
                next_step=NextStep("Sign in", "/login"),
            )
        case "too_many_passkeys":
            return PageError(
                "Your account has as many passkeys as it can hold",
                "Remove a passkey that you no longer use, then add this one.",
                code="too_many_passkeys",
                next_step=NextStep("Go to your account", "/account"),
            )
        case "confirmation_required":
            return PageError(
                "Is this you, adding a passkey?",
                "Confirm with a passkey that you have first. Start again in your account.",
                code="confirmation_required",
                status=403,
                next_step=NextStep("Go to your account", "/account"),
            )
        case "operation_unavailable":
            return PageError(
                "This page waited too long",
                "A confirmation works once, for two minutes. Nothing was changed. "
                "Start again in your account.",
                code="operation_unavailable",
                status=404,
                next_step=NextStep("Go to your account", "/account"),
            )
        case "signed_out":
            return PageError(
                "You are signed out",
                "Nothing was changed. Sign in and try again.",
                code="signed_out",
                status=401,
                next_step=NextStep("Sign in", "/login"),
            )
        case _:
            # One answer for everything else: which check failed helps nobody but an attacker.
            return PageError(
                "That passkey didn't work",
                "We couldn't check that passkey. Try again, or use another method.",
                code="passkey_refused",
                next_step=NextStep("Sign in", "/login"),
                detail=reason,
            )
