from datetime import datetime, timedelta

from starlette.requests import Request

from idp.clients.origins import ClientOrigins
from idp.clients.registry import ClientRegistry
from idp.errors import BearerError, InvalidDpopProof, InvalidToken, UseDpopNonce
from idp.keys import signing
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.oauth.inspection.bearer import PresentedAccessToken, read_access_token
from idp.oauth.proof_checker import ProofChecker

REFUSAL = "the access token is invalid, expired or revoked"


class AccessTokenGate:
    """Lets a request through to a resource of our own: a token of ours, presented by whom it is bound to.

    Whether the token's grant still lives is the endpoint's to ask.
    """

    def __init__(
        self,
        *,
        keyring: Keyring,
        proofs: ProofChecker,
        registry: ClientRegistry,
        origins: ClientOrigins,
        issuer: str,
    ) -> None:
        self._keyring = keyring
        self._proofs = proofs
        self._registry = registry
        self._origins = origins
        self._issuer = issuer

    async def admit(self, request: Request, *, path: str, now: datetime) -> signing.VerifiedClaims:
        """Answer the token's claims; raises BearerError. `path` is the endpoint's own."""
        try:
            presented = await read_access_token(request)
            claims = self._verify(presented, now=now)
        except BearerError:
            # Whose page it is, nobody knows; that its token is over, every registered one may read.
            await self._origins.allow_known(request, now=now)
            raise
        client = await self._registry.find(str(claims["client_id"]), now=now)
        if client is not None:
            self._origins.allow(request, client.metadata.redirect_uris)
        await self._check_possession(request, presented, claims, path=path, now=now)
        return claims

    def _verify(self, presented: PresentedAccessToken, *, now: datetime) -> signing.VerifiedClaims:
        try:
            return signing.verify(
                presented.token,
                keyring=self._keyring,
                expected_typ=signing.ACCESS_TOKEN_TYP,
                issuer=self._issuer,
                # RFC 9068 §4: a token for an API is not one for us, or any API could ask who its callers are.
                audience=self._issuer,
                now=now,
                leeway=timedelta(0),
            )
        except TokenError as error:
            raise BearerError(InvalidToken(REFUSAL, detail=str(error)), scheme=presented.scheme) from error

    async def _check_possession(
        self,
        request: Request,
        presented: PresentedAccessToken,
        claims: signing.VerifiedClaims,
        *,
        path: str,
        now: datetime,
    ) -> None:
        bound_to = claims["cnf"]["jkt"] if "cnf" in claims else None
        # RFC 9449 §7.2: a bound token is never good as a bearer token, and the other way round.
        if (presented.scheme == "DPoP") != (bound_to is not None):
            raise BearerError(
                InvalidToken("the token is not to be presented in this way"),
                scheme="DPoP" if bound_to else "Bearer",
            )
        if bound_to is None:
            return
        try:
            proof = await self._proofs.check(request, path=path, access_token=presented.token, now=now)
        except (InvalidDpopProof, UseDpopNonce) as error:
            raise BearerError(error, scheme="DPoP") from error
        if proof is None or proof.thumbprint != bound_to:
            raise BearerError(InvalidToken("the proof is not by the token's key"), scheme="DPoP")
