"""A token for a service itself (OAuth 2.1 §4.2): nobody is signed in, nothing is written."""

from idp.clients.client import Client
from idp.errors import InvalidScope, UnauthorizedClient
from idp.oauth.authorization.request import ClientRules, check_resources
from idp.oauth.token.response import Asked
from idp.oauth.tokens import scope
from idp.web.parameters import Parameters


def read_client_credentials(
    parameters: Parameters, client: Client, rules: ClientRules, *, thumbprint: str | None
) -> Asked:
    """Read what a service asks for itself; raises an OAuthError."""
    # OAuth 2.1 §4.2: confidential clients alone.
    if client.is_public:
        raise UnauthorizedClient("a public client has no token of its own")
    requested = scope.parse(parameters.get("scope"))
    own = tuple(token for token in client.metadata.scopes if token not in scope.ABOUT_PEOPLE)
    if any(token in scope.ABOUT_PEOPLE for token in requested):
        raise InvalidScope("scopes about a person do not go with client_credentials")
    return Asked(
        scopes=scope.allow(requested, registered=own) if requested else own,
        resources=check_resources(parameters.get_all("resource"), rules),
        thumbprint=thumbprint,
    )
