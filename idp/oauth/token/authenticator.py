from dataclasses import dataclass
from datetime import datetime
from typing import Self

from starlette.requests import Request

from idp.clients import secret as client_secret
from idp.clients.client import Client
from idp.clients.registry import ClientRegistry
from idp.errors import InvalidClient
from idp.oauth.token.client_authentication import REFUSAL, PresentedClient, read_client
from idp.request_context import request_context
from idp.web.client_address import rate_limit_key
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
        failures = _Failures.of(presented)
        await self._refuse_guessers(failures)
        client = await self._registry.find(presented.unverified_client_id, now=now)
        if client is None or not _proves(client, presented, now=now):
            if client is None:
                # The comparison costs the same for a client that is not there.
                client_secret.matches(None, presented.presented_secret or "", now=now)
            await self._rate_limiter.note("client_failures", failures.of_client)
            await self._rate_limiter.count("client_failures", failures.of_caller)
            raise InvalidClient(REFUSAL, detail=f"method {presented.method}")
        return client

    async def _refuse_guessers(self, failures: "_Failures") -> None:
        """OAuth 2.1 §2.4.1: stop guessing, from one address or from many, and lock no honest address out."""
        if await self._rate_limiter.is_untouched("client_failures", failures.of_caller):
            return
        await self._rate_limiter.refuse_exhausted("client_failures", failures.of_caller)
        # Once a client is guessed at from everywhere, an address that failed even once has to wait.
        await self._rate_limiter.refuse_exhausted("client_failures", failures.of_client)


@dataclass(frozen=True, slots=True)
class _Failures:
    """What failed authentications are counted by: the client with its caller, and the client alone."""

    of_caller: str
    of_client: str

    @classmethod
    def of(cls, presented: PresentedClient) -> Self:
        context = request_context.get()
        address = rate_limit_key(context.address) if context else ""
        client_id = presented.unverified_client_id[:255]
        return cls(of_caller=f"{address} {client_id}", of_client=f"anywhere {client_id}")


def _proves(client: Client, presented: PresentedClient, *, now: datetime) -> bool:
    matches = client_secret.matches(client, presented.presented_secret or "", now=now)
    if client.is_disabled:
        return False
    # A public client has nothing to prove; a confidential one never passes as public (OAuth 2.1 §2.4).
    if client.is_public:
        return presented.method == "none"
    return presented.method != "none" and matches
