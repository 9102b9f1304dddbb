from collections.abc import Collection
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clients.origins import ClientOrigins
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import BearerError, InsufficientScope, InvalidToken
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.oauth.inspection.access_token_gate import REFUSAL, AccessTokenGate
from idp.oauth.tokens import access_token, claims, scope
from idp.storage import grants
from idp.storage.database import Database
from idp.storage.prepared import Lane

PATH = "/userinfo"


class UserinfoEndpoint:
    """`/userinfo` (OIDC Core §5.3): claims about the person, for as long as the grant lives."""

    def __init__(
        self,
        *,
        database: Database,
        gate: AccessTokenGate,
        registry: ClientRegistry,
        keyring: Keyring,
        origins: ClientOrigins,
        issuer: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._registry = registry
        self._keyring = keyring
        self._origins = origins
        self._issuer = issuer
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="GET, POST", now=self._clock())

    async def get(self, request: Request) -> Response:
        now = self._clock()
        verified = await self._gate.admit(request, path=PATH, now=now)
        scopes = str(verified["scope"]).split()
        grant_id = access_token.grant_id_of(verified["jti"])
        told = await self._database.read_prepared(_told_of, grant_id=grant_id, scopes=scopes, now=now)
        if told is None:
            raise BearerError(InvalidToken(REFUSAL, detail="grant is over"))
        # OIDC Core §5.3.1: only a token that was granted openid.
        if scope.OPENID not in scopes:
            raise BearerError(InsufficientScope("the access token lacks the scope openid"))
        return await self._response(told, client_id=str(verified["client_id"]), now=now)

    async def post(self, request: Request) -> Response:
        return await self.get(request)

    async def _response(self, told: dict[str, object], *, client_id: str, now: datetime) -> Response:
        client = await self._registry.find(client_id, now=now)
        if client is None or client.metadata.userinfo_signed_response_alg is None:
            return JSONResponse(told, headers={"Cache-Control": "no-store"})
        # OIDC Core §5.3.2: signed, it says who speaks, and to whom.
        signed = signing.sign(
            self._keyring,
            told | {"iss": self._issuer, "aud": client_id, "iat": int(now.timestamp())},
            typ=signing.USERINFO_TYP,
            now=now,
        )
        return Response(signed, media_type="application/jwt", headers={"Cache-Control": "no-store"})


async def _told_of(
    lane: Lane, *, grant_id: bytes | None, scopes: Collection[str], now: datetime
) -> dict[str, object] | None:
    """Answer what a living grant lets its client know."""
    grant = await grants.find_alive(lane, grant_id=grant_id, now=now) if grant_id else None
    if grant is None:
        return None
    names = {*scope.claims_of(scopes), *claims.requested(grant, place="userinfo")}
    person = await claims.of_person(lane, account_id=grant.account_id, names=names)
    return None if person is None else {"sub": grant.account_id} | person
