from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import structlog
from starlette.requests import Request

from idp.clients import secret as client_secret
from idp.clients.client import Client
from idp.clients.client_keys import ClientKeys
from idp.clients.registry import ClientRegistry
from idp.errors import InvalidClient
from idp.keys.compact_jws import TokenError
from idp.keys.foreign_jws import UnknownKeyError, verify_signed_by
from idp.oauth.token.client_assertion import ALGORITHMS, check_claims
from idp.oauth.token.client_authentication import REFUSAL, PresentedClient, read_client
from idp.request_context import request_context
from idp.storage import replayed_ids
from idp.storage.database import Database
from idp.web.client_address import rate_limit_key
from idp.web.parameters import Parameters
from idp.web.rate_limit import RateLimiter

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.client")


class ClientAuthenticator:
    """Proves which client sent a request, the same way at every endpoint that asks."""

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        client_keys: ClientKeys,
        rate_limiter: RateLimiter,
        issuer: str,
    ) -> None:
        self._database = database
        self._registry = registry
        self._client_keys = client_keys
        self._rate_limiter = rate_limiter
        self._issuer = issuer

    async def authenticate(self, request: Request, parameters: Parameters, *, now: datetime) -> Client:
        """Answer the client; raises InvalidClient with one text, and in one time, for every reason."""
        presented = read_client(parameters, authorizations=request.headers.getlist("authorization"))
        failures = _Failures.of(presented)
        await self._refuse_guessers(failures)
        client = await self._registry.find(presented.unverified_client_id, now=now)
        if client is None or not await self._proves(client, presented, now=now):
            if client is None:
                # The comparison costs the same for a client that is not there.
                client_secret.matches(None, presented.presented_secret or "", now=now)
            await self._rate_limiter.note("client_failures", failures.of_client)
            await self._rate_limiter.count("client_failures", failures.of_caller)
            raise InvalidClient(REFUSAL, detail=f"method {presented.method}")
        return client

    async def _proves(self, client: Client, presented: PresentedClient, *, now: datetime) -> bool:
        matches = client_secret.matches(client, presented.presented_secret or "", now=now)
        if client.is_disabled:
            return False
        # OAuth 2.1 §2.4: no client passes by a weaker way than it is registered for. The two ways of sending
        # the same secret are one.
        if client.metadata.has_secret:
            return presented.method in {"client_secret_basic", "client_secret_post"} and matches
        if presented.method != client.metadata.token_endpoint_auth_method:
            return False
        if presented.unverified_assertion is None:
            return client.is_public
        return await self._asserts(client, presented.unverified_assertion, now=now)

    async def _asserts(self, client: Client, assertion: str, *, now: datetime) -> bool:
        """RFC 7523 §3: signed by the client's own key, right in every word, and never seen before."""
        try:
            claims = await self._signed_claims(client, assertion, now=now)
            checked = check_claims(claims, client_id=client.id, issuer=self._issuer, now=now)
        except TokenError as fault:
            log.info("client_assertion_refused", client_id=client.id, detail=str(fault))
            return False
        return await self._database.single(
            replayed_ids.remember,
            kind="client_assertion",
            id_sha256=checked.jti_sha256,
            expires_at=checked.remember_until,
        )

    # Any: a claim is whatever JSON can hold; check_claims checks each.
    async def _signed_claims(self, client: Client, assertion: str, *, now: datetime) -> dict[str, Any]:
        keys = await self._client_keys.of(client, now=now)
        try:
            return verify_signed_by(assertion, keys, algorithms=ALGORITHMS)
        except UnknownKeyError:
            # The client may have changed its keys since we read them.
            keys = await self._client_keys.again(client, now=now)
            return verify_signed_by(assertion, keys, algorithms=ALGORITHMS)

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
