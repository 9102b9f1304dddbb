from dataclasses import dataclass
from datetime import datetime

from idp.clients.client import Client
from idp.clients.redirect_uri import match_registered
from idp.clients.registry import ClientRegistry
from idp.errors import AuthorizationError, InvalidRequest, OAuthError, UnauthorizedClient, VerifiedRedirectUri
from idp.oauth.authorization import request as authorization_request
from idp.oauth.authorization.client_rules import rules_of
from idp.oauth.authorization.request import AuthorizationRequest
from idp.settings import Settings
from idp.storage.interactions import Interaction
from idp.web.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request whose client, redirect URI and words are right."""

    parameters: Parameters
    request: AuthorizationRequest
    client: Client
    interaction: Interaction | None


class RequestReceiver:
    """Reads authorization requests, pushed or sent through the browser, by the same rules."""

    def __init__(self, *, registry: ClientRegistry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings

    async def receive(
        self,
        parameters: Parameters,
        *,
        interaction: Interaction | None,
        is_pushed: bool,
        now: datetime,
    ) -> Received:
        """Verify client and redirect URI first: until both are right, nothing is sent anywhere.

        Raises AuthorizationError.
        """
        try:
            client = await self._registry.find(parameters.require("client_id"), now=now)
            client, redirect_uri = _verified(client, parameters)
        except OAuthError as error:
            raise AuthorizationError(error, target=None) from error
        target = authorization_request.redirect_target(parameters, redirect_uri)
        try:
            # RFC 9126 §5, §6: for this client, or for every one, only what was pushed counts.
            if not is_pushed and self._must_push(client):
                raise InvalidRequest(
                    "the request must be pushed first (pushed_authorization_request_endpoint)"
                )
            request = authorization_request.validate(
                parameters,
                client_id=client.id,
                rules=rules_of(client, issuer=self._settings.issuer),
                target=target,
            )
        except OAuthError as error:
            raise AuthorizationError(error, target=target) from error
        return Received(parameters=parameters, request=request, client=client, interaction=interaction)

    def _must_push(self, client: Client) -> bool:
        return (
            self._settings.require_pushed_authorization_requests
            or client.metadata.require_pushed_authorization_requests
        )


def _verified(client: Client | None, parameters: Parameters) -> tuple[Client, VerifiedRedirectUri]:
    # OAuth 2.1 §4.1.2.1: the same page for an unknown client as for a bad address.
    if client is None or client.is_disabled:
        raise UnauthorizedClient("client_id or redirect_uri is not registered", detail="unknown client")
    presented = parameters.require("redirect_uri")
    redirect_uri = match_registered(client.metadata.redirect_uris, presented)
    if redirect_uri is None:
        raise UnauthorizedClient("client_id or redirect_uri is not registered", detail="redirect_uri differs")
    return client, redirect_uri
