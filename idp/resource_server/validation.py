from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from idp.resource_server.access_token import AccessToken
from idp.resource_server.authorization_server import AuthorizationServer
from idp.resource_server.errors import InvalidRequestError, InvalidTokenError, NoTokenError
from idp.resource_server.proof import check_proof
from idp.resource_server.signed_document import LONGEST, read_signed

Scheme = Literal["Bearer", "DPoP"]
_TYPES = frozenset({"at+jwt"})
_SCHEMES: dict[str, Scheme] = {"bearer": "Bearer", "dpop": "DPoP"}
# RFC 9068 §2.2.
_REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedToken:
    """A token as a request brings it. `uri` is the service's own spelling of the address that was asked."""

    token: str = field(repr=False)
    scheme: Scheme
    proofs: Sequence[str] = field(repr=False)
    method: str
    uri: str


def read_presented(
    *, authorizations: Sequence[str], proofs: Sequence[str], method: str, uri: str
) -> PresentedToken:
    """Read a request's Authorization and DPoP headers. Raises NoTokenError or InvalidRequestError."""
    if len(authorizations) > 1:
        raise InvalidRequestError("use one Authorization header")
    scheme_name, _, token = authorizations[0].partition(" ") if authorizations else ("", "", "")
    scheme = _SCHEMES.get(scheme_name.lower())
    if scheme is None or not token.strip():
        raise NoTokenError("no access token was presented")
    return PresentedToken(token=token.strip(), scheme=scheme, proofs=proofs, method=method, uri=uri)


async def validate_access_token(
    presented: PresentedToken, *, server: AuthorizationServer, audience: str
) -> AccessToken:
    """Answer the token if it is the provider's, for this audience, good now and presented by its holder.

    RFC 9068 §4, RFC 9449 §7, Token Status List §8.3. Raises an AccessTokenError.
    """
    if len(presented.token) > LONGEST:
        raise InvalidTokenError("the token is too long")
    now = server.clock()
    claims = await read_signed(
        presented.token, types=_TYPES, keys=server.keys, leeway_seconds=server.leeway_seconds, now=now
    )
    _check_claims(claims, issuer=server.issuer, audience=audience)
    bound_to = _bound_to(claims)
    # RFC 9449 §7.2: a bound token never passes as a bearer token, nor the other way round.
    if (presented.scheme == "DPoP") != (bound_to is not None):
        raise InvalidTokenError("the token is not to be presented in this way")
    if "status" in claims:
        await server.status_lists.check(claims["status"])
    if bound_to is not None:
        await check_proof(
            presented.proofs,
            method=presented.method,
            uri=presented.uri,
            access_token=presented.token,
            bound_to=bound_to,
            used=server.used_proofs,
            now=now,
        )
    scope = claims.get("scope", "")
    return AccessToken(
        subject=claims["sub"],
        client_id=claims["client_id"],
        scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
        claims=claims,
        checked_at=now,
    )


# Any: a claim is whatever JSON can hold.
def _check_claims(claims: dict[str, Any], *, issuer: str, audience: str) -> None:
    if not all(name in claims for name in _REQUIRED):
        raise InvalidTokenError("the token lacks a claim that RFC 9068 requires")
    if claims["iss"] != issuer:
        raise InvalidTokenError("the token is another provider's")
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if audience not in audiences:
        raise InvalidTokenError("the token is for another service")
    if not all(isinstance(claims[name], str) and claims[name] for name in ("sub", "client_id", "jti")):
        raise InvalidTokenError("the token has a claim of the wrong type")


# Any: as above.
def _bound_to(claims: dict[str, Any]) -> str | None:
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    bound_to = cnf.get("jkt") if isinstance(cnf, dict) else None
    # RFC 7800 §3.1: bound in a way that is not understood here is not unbound.
    if not isinstance(bound_to, str):
        raise InvalidTokenError("the token is bound in a way that is not supported here")
    return bound_to
