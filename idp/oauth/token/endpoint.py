from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clients.client import Client
from idp.clients.origins import ClientOrigins
from idp.clock import Clock
from idp.errors import InvalidGrant, InvalidRequest, InvalidTarget, UnauthorizedClient, UnsupportedGrantType
from idp.keys.keyring import Keyring
from idp.notifications.outbox import Sealer
from idp.oauth import grant_token
from idp.oauth.authorization.client_rules import rules_of
from idp.oauth.authorization.request import check_resources
from idp.oauth.grant import Presenter, settle_code, settle_refresh
from idp.oauth.grant_token import GrantTokenKeys, PresentedToken
from idp.oauth.token import authorization_code_grant, refresh_token_grant
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.oauth.tokens import access_token, id_token, scope
from idp.settings import Settings
from idp.storage import grants
from idp.storage.database import Database
from idp.storage.grants import Grant
from idp.web.parameters import Parameters, form_parameters
from idp.web.rate_limit import RateLimiter

GRANT_TYPES = ("authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What one access token is asked to carry: part of the grant, checked before anything is written."""

    scopes: tuple[str, ...]
    resources: tuple[str, ...]


class TokenEndpoint:
    """`POST /token`: exchanges codes and refresh tokens for tokens."""

    def __init__(
        self,
        *,
        database: Database,
        authenticator: ClientAuthenticator,
        origins: ClientOrigins,
        keyring: Keyring,
        keys: GrantTokenKeys,
        sealer: Sealer,
        rate_limiter: RateLimiter,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._origins = origins
        self._keyring = keyring
        self._keys = keys
        self._sealer = sealer
        self._rate_limiter = rate_limiter
        self._settings = settings
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="POST", now=self._clock())

    async def post(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("token")
        # OAuth 2.1 §2.4.1: secrets and codes in an address end in logs.
        if request.scope["query_string"]:
            raise InvalidRequest("parameters belong in the body, not in the address")
        parameters = await form_parameters(request)
        if parameters.repeated(except_for="resource") is not None:
            raise InvalidRequest("a parameter is repeated")
        now = self._clock()
        # No key to sign with would waste a rotation.
        self._keyring.signing_key(now=now)
        client = await self._authenticator.authenticate(request, parameters, now=now)
        grant_type = parameters.require("grant_type")
        if grant_type not in GRANT_TYPES:
            raise UnsupportedGrantType("grant_type must be authorization_code or refresh_token")
        if grant_type not in client.metadata.grant_types:
            raise UnauthorizedClient(f"the client is not registered for the {grant_type} grant")
        if grant_type == "authorization_code":
            answer = await self._redeem(client, parameters, now=now)
        else:
            answer = await self._refresh(client, parameters, now=now)
        response = JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
        self._origins.allow(request, response, client.metadata.redirect_uris)
        return response

    async def _redeem(self, client: Client, parameters: Parameters, *, now: datetime) -> dict[str, object]:
        code = authorization_code_grant.read_code(parameters, keys=self._keys)
        presenter = Presenter(client_id=client.id, thumbprint=None)
        asked = await self._check_asked(client, parameters, code.token, with_scope=False)
        rules = self._settings.tokens
        grant = await self._database.single(
            authorization_code_grant.redeem, code, presenter, rules=rules, now=now
        )
        if grant is None:
            settlement = await self._database.transact(settle_code, code, presenter, rules=rules, now=now)
            if settlement.grant is None:
                raise InvalidGrant(authorization_code_grant.REFUSAL, detail=settlement.case.name)
            grant = settlement.grant
        return self._mint(client, grant, asked, secret=code.token.secret, nonce=grant.nonce, now=now)

    async def _refresh(self, client: Client, parameters: Parameters, *, now: datetime) -> dict[str, object]:
        token = refresh_token_grant.read_refresh_token(parameters, keys=self._keys)
        presenter = Presenter(client_id=client.id, thumbprint=None)
        asked = await self._check_asked(client, parameters, token, with_scope=True)
        rules = self._settings.tokens
        grant = await self._database.single(
            refresh_token_grant.rotate, token, presenter, rules=rules, now=now
        )
        if grant is None:
            settlement = await self._database.transact(
                settle_refresh, token, presenter, rules=rules, sealer=self._sealer, now=now
            )
            if settlement.grant is None:
                raise InvalidGrant(refresh_token_grant.REFUSAL, detail=settlement.case.name)
            grant = settlement.grant
        # OIDC Core §12.2: the nonce belongs to the first ID Token.
        return self._mint(client, grant, asked, secret=token.secret, nonce=None, now=now)

    async def _check_asked(
        self, client: Client, parameters: Parameters, token: PresentedToken, *, with_scope: bool
    ) -> _Asked:
        """Check what is asked of a grant before anything is written; the usual request asks for nothing.

        A grant that is not the presenter's is passed over here: redeeming or rotating it will refuse.
        """
        requested_scopes = scope.parse(parameters.get("scope")) if with_scope else ()
        requested_resources = parameters.get_all("resource")
        if requested_resources:
            check_resources(requested_resources, rules_of(client, issuer=self._settings.issuer))
        if requested_scopes or requested_resources:
            grant = await self._database.read(grants.find, grant_id=token.grant_id)
            if grant and grant.secret_sha256 == token.secret_sha256 and grant.client_id == client.id:
                scope.narrow(requested_scopes, granted=grant.scope.split())
                # RFC 8707 §2.2: a subset of what was granted, never another resource.
                if not set(requested_resources) <= set(grant.resources):
                    raise InvalidTarget("resource was not part of the authorization")
        return _Asked(scopes=requested_scopes, resources=requested_resources)

    def _mint(
        self, client: Client, grant: Grant, asked: _Asked, *, secret: bytes, nonce: str | None, now: datetime
    ) -> dict[str, object]:
        scopes = asked.scopes or tuple(grant.scope.split())
        token = access_token.mint(
            grant,
            scopes=scopes,
            audience=asked.resources or grant.resources,
            keyring=self._keyring,
            settings=self._settings,
            now=now,
        )
        answer: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._settings.tokens.access_token_lifetime_seconds,
            "scope": " ".join(scopes),
        }
        if "refresh_token" in client.metadata.grant_types:
            answer["refresh_token"] = grant_token.seal(
                self._keys, grant_id=grant.id, generation=grant.generation, secret=secret
            )
        if scope.OPENID in scopes:
            answer["id_token"] = id_token.mint(
                grant,
                access_token=token,
                nonce=nonce,
                keyring=self._keyring,
                settings=self._settings,
                now=now,
            )
        return answer
