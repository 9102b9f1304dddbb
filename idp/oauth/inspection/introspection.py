"""Asking what a token is good for (RFC 7662), also with a signed answer (RFC 9701)."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp import opaque_token
from idp.clients.client import Client
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import InvalidClient
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.keys.signing import VerifiedClaims
from idp.oauth import grant_token
from idp.oauth.grant_token import GrantTokenKeys, PresentedToken
from idp.oauth.inspection.presented_token import read_access_token, read_form
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.oauth.token.client_authentication import REFUSAL
from idp.oauth.tokens import access_token
from idp.settings import Settings
from idp.storage import grants, replayed_ids
from idp.storage.database import Database
from idp.storage.grants import Grant

SIGNED_ANSWER_TYP = "token-introspection+jwt"
SIGNED_ANSWER_MEDIA_TYPE = f"application/{SIGNED_ANSWER_TYP}"

# RFC 7662 §2.2: what an access token says of itself, as far as it says it.
_ANSWERED_CLAIMS = (
    "scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "auth_time", "acr", "amr", "cnf",
)  # fmt: skip

Answer = dict[str, object]


class IntrospectionEndpoint:
    """`POST /introspect`: says whether a token is good now, to whom it was issued and for whom.

    A client sees its own tokens. A resource server, registered with no grant types and with its own
    identifiers as `audiences`, sees access tokens for one of these. Everything else is inactive, unexplained.
    """

    def __init__(
        self,
        *,
        database: Database,
        authenticator: ClientAuthenticator,
        registry: ClientRegistry,
        keyring: Keyring,
        keys: GrantTokenKeys,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._registry = registry
        self._keyring = keyring
        self._keys = keys
        self._issuer = settings.issuer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        parameters = await read_form(request)
        now = self._clock()
        caller = await self._authenticator.authenticate(request, parameters, now=now)
        # RFC 7662 §2.1, §4: who proves nothing could try out tokens.
        if caller.is_public:
            raise InvalidClient(REFUSAL, detail="a public client may not introspect")
        answer = await self._answer(parameters.require("token"), caller, now=now)
        # RFC 7662 §2.2: an inactive token has no other members, so that it tells nothing.
        return self._response(request, answer or {"active": False}, caller, now=now)

    async def _answer(self, token: str, caller: Client, *, now: datetime) -> Answer | None:
        family = grant_token.open_token(self._keys, token)
        if family is not None:
            return await self._refresh_token(family, caller, now=now)
        claims = read_access_token(token, keyring=self._keyring, issuer=self._issuer, now=now)
        if claims is None or not may_see(caller, claims) or not await self._is_alive(claims, now=now):
            return None
        return _of_access_token(claims)

    async def _refresh_token(self, token: PresentedToken, caller: Client, *, now: datetime) -> Answer | None:
        grant = await self._database.read_prepared(grants.find_alive, grant_id=token.grant_id, now=now)
        if grant is None or grant.client_id != caller.id or grant.secret_sha256 != token.secret_sha256:
            return None
        # Only the newest generation is a token; generation 0 is a code.
        if token.generation != grant.generation or token.generation == 0 or grant.idle_expires_at <= now:
            return None
        return _of_refresh_token(grant, issuer=self._issuer)

    async def _is_alive(self, claims: VerifiedClaims, *, now: datetime) -> bool:
        grant_id = access_token.grant_id_of(claims["jti"])
        if grant_id is not None:
            grant = await self._database.read_prepared(grants.find_alive, grant_id=grant_id, now=now)
            return grant is not None
        client = await self._registry.find(claims["client_id"], now=now)
        # A client's own token lives in the epoch that it was made in.
        if client is None or client.is_disabled:
            return False
        if access_token.client_epoch_of(claims["jti"]) != client.token_epoch:
            return False
        return not await self._database.read(
            replayed_ids.is_known,
            kind="revoked_access_token",
            id_sha256=opaque_token.sha256(claims["jti"]),
        )

    def _response(self, request: Request, answer: Answer, caller: Client, *, now: datetime) -> Response:
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        if not wants_signed_answer(request.headers.getlist("accept")):
            return JSONResponse(answer, headers=headers)
        # RFC 9701 §5: for this caller alone; without exp and sub, so that it is never taken for a token.
        claims = {
            "iss": self._issuer,
            "aud": caller.id,
            "iat": int(now.timestamp()),
            "token_introspection": answer,
        }
        signed = signing.sign(self._keyring, claims, typ=SIGNED_ANSWER_TYP, now=now)
        return Response(signed, media_type=SIGNED_ANSWER_MEDIA_TYPE, headers=headers)


def may_see(caller: Client, claims: VerifiedClaims) -> bool:
    """Whether an access token was issued to the caller, or for it.

    An application's `audiences` are the APIs that it may call: they show it nobody else's tokens. Only one
    that can get no token at all is taken for the API itself.
    """
    if claims["client_id"] == caller.id:
        return True
    presented = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return not caller.metadata.grant_types and bool(set(presented) & set(caller.metadata.audiences))


def wants_signed_answer(accept: list[str]) -> bool:
    """Whether an Accept header names the media type of RFC 9701 §4; a wildcard does not."""
    offers = (offer.partition(";") for line in accept for offer in line.split(","))
    return any(
        media_type.strip().lower() == SIGNED_ANSWER_MEDIA_TYPE and parameters.replace(" ", "") != "q=0"
        for media_type, _, parameters in offers
    )


def _of_access_token(claims: VerifiedClaims) -> Answer:
    answer: Answer = {"active": True, "token_type": "DPoP" if "cnf" in claims else "Bearer"}
    return answer | {name: claims[name] for name in _ANSWERED_CLAIMS if name in claims}


def _of_refresh_token(grant: Grant, *, issuer: str) -> Answer:
    answer: Answer = {
        "active": True,
        "scope": grant.scope,
        "client_id": grant.client_id,
        "sub": grant.account_id,
        # A refresh token is for the provider alone (RFC 6749 §1.5).
        "aud": issuer,
        "iss": issuer,
        "exp": int(min(grant.expires_at, grant.idle_expires_at).timestamp()),
        "auth_time": int(grant.auth_time.timestamp()),
        "acr": grant.acr,
        "amr": grant.amr,
    }
    if grant.rotated_at is not None:
        answer["iat"] = int(grant.rotated_at.timestamp())
    if grant.proof_key_thumbprint not in {None, grants.ANY_PROOF_KEY}:
        answer["cnf"] = {"jkt": grant.proof_key_thumbprint}
    return answer
