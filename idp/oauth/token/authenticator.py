from datetime import datetime

from starlette.requests import Request

from idp.clients import secret as client_secret
from idp.clients.client import Client
from idp.clients.registry import ClientRegistry
from idp.errors import InvalidClient
from idp.oauth.token.client_authentication import REFUSAL, PresentedClient, read_client
from idp.request_context import request_context
from idp.web.parameters import Parameters
from idp.web.rate_limit import RateLimiter


class ClientAuthenticator:
    """Proves which client sent a request, the same way at every endpoint that asks."""

    def __init__(self, *, registry: ClientRegistry, rate_limiter: RateLimiter) -> None:
        self._registry = registry
        self._rate_limiter = rate_limiter

    async def authenticate(self, request: Request, parameters: Parameters, *, now: datetime) -> Client:
        """Answer the client; raises InvalidClient with one text, and in one time, for every reason."""
        presented = read_client(parameters, authorizations=request.headers.getlist("authorization"))
        context = request_context.get()
        # Failures are counted for each client and address: guessing from elsewhere locks nobody out.
        key = f"{context.address if context else ''} {presented.unverified_client_id[:255]}"
        await self._rate_limiter.refuse_exhausted("client_failures", key)
        client = await self._registry.find(presented.unverified_client_id, now=now)
        if client is None or not _proves(client, presented, now=now):
            if client is None:
                # The comparison costs the same for a client that is not there.
                client_secret.matches(None, presented.presented_secret or "", now=now)
            await self._rate_limiter.count("client_failures", key)
            raise InvalidClient(REFUSAL, detail=f"method {presented.method}")
        return client


def _proves(client: Client, presented: PresentedClient, *, now: datetime) -> bool:
    matches = client_secret.matches(client, presented.presented_secret or "", now=now)
    if client.is_disabled:
        return False
    # A public client has nothing to prove; a confidential one never passes as public (OAuth 2.1 §2.4).
    if client.is_public:
        return presented.method == "none"
    return presented.method != "none" and matches
