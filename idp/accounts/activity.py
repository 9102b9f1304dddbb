"""Audit events in the words of the person they happened to."""

_SUCCESSES = {
    "sign_up_begun": "You began to create this account",
    "invitation_created": "An administrator invited you",
    "account_activated": "Your account was created",
    "sign_in": "You signed in with a passkey",
    "signed_out": "You signed out",
    "signed_out_everywhere": "All sessions and all apps were signed out",
    "session_ended": "You signed another browser out",
    "passkey_added": "A passkey was added",
    "passkey_renamed": "A passkey was renamed",
    "passkey_removed": "A passkey was removed",
    "passkey_clone_suspected": "A passkey may have been copied",
    "email_verified": "Your e-mail address was confirmed",
    "email_added": "An e-mail address was added",
    "email_removed": "An e-mail address was removed",
    "primary_email_changed": "Your main e-mail address was changed",
    "operation_confirmed": "You confirmed a change with a passkey",
    "account_exported": "Your data was exported",
    "deletion_requested": "You asked for your account to be deleted",
    "deletion_cancelled": "You cancelled the deletion of your account",
    "consent_given": "You allowed an app to use your account",
    "consent_refused": "You refused an app",
    "connection_withdrawn": "You removed an app's access",
    "notice_read": "You read why you were signed out",
    "recovery_link_created": "An administrator made an enrolment link for you",
    "account_disabled": "An administrator disabled your account",
    "account_enabled": "An administrator enabled your account",
    "profile_changed": "An administrator changed your name or profile",
    "role_changed": "Your role was changed",
    "refresh_token_reused": "An app's old sign-in was used twice, so you were signed out",
    "authorization_code_replayed": "An app's sign-in was repeated, so it was ended",
    "refresh_token_shadowed": "An app asked strangely often, so its access was ended",
    "refresh_token_late": "An app asked twice at once",
    "refresh_token_forward": "An app's access was brought up to date",
}
_FAILURES = {
    "sign_in": "A sign-in",
    "passkey_added": "Adding a passkey",
    "email_verified": "Confirming your e-mail address",
    "operation_confirmed": "Confirming a change with a passkey",
    "logout_token_given_up": "An app could not be told that you signed out",
}


def describe(event: str, *, is_failure: bool) -> str:
    """Answer what happened; an event without words of its own is told by its name."""
    words = _FAILURES.get(event) if is_failure else None
    return words or _SUCCESSES.get(event) or event.replace("_", " ").capitalize()
