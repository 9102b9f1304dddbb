"""Claims about a person (OIDC Core §5.1), released scope by scope (§5.4)."""

from collections.abc import Collection

from idp.storage.accounts import Account
from idp.storage.email_addresses import EmailAddress


def of_person(
    account: Account, *, primary_email: EmailAddress | None, scopes: Collection[str]
) -> dict[str, object]:
    """Answer the claims that the granted scopes release."""
    claims: dict[str, object] = {"sub": account.id}
    if "profile" in scopes:
        claims["name"] = account.name
        claims["updated_at"] = int(account.updated_at.timestamp())
    if "email" in scopes and primary_email is not None:
        claims["email"] = primary_email.address
        # Only the mailed link makes an address a person's; until then a client must not trust it.
        claims["email_verified"] = primary_email.verified_at is not None
    return claims
