"""What a registration lets a client ask for, in the words of the request's rules."""

from idp.clients.client import Client
from idp.oauth.authorization.request import ClientRules


def rules_of(client: Client, *, issuer: str) -> ClientRules:
    """Answer the rules of a client; without a resource of its own, its tokens are for the provider itself."""
    metadata = client.metadata
    default_resource = metadata.default_audience or (
        metadata.audiences[0] if len(metadata.audiences) == 1 else issuer
    )
    return ClientRules(
        scopes=metadata.scopes,
        issuer=issuer,
        resources={*metadata.audiences, default_resource, issuer},
        default_resource=default_resource,
        default_max_age_seconds=metadata.default_max_age,
        may_use_code="authorization_code" in metadata.grant_types,
    )
