"""The demo API: answers whoever brings an access token that the provider signed for it (RFC 9068)."""

import asyncio
import time
from typing import Any

import httpx
import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

# RFC 9068 §4: the algorithm is agreed with the provider, never taken from the token.
ALGORITHMS = ["RS256"]
ACCESS_TOKEN_TYPES = {"at+jwt", "application/at+jwt"}
REQUIRED_CLAIMS = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]  # RFC 9068 §2.2
KEYS_MAX_AGE_SECONDS = 300
# Tokens with invented key ids must not make us ask the provider again and again.
KEYS_MIN_AGE_SECONDS = 5
TIMEOUT_SECONDS = 10
LEEWAY_SECONDS = 10


class InvalidTokenError(Exception):
    """The token is none that this API accepts; the message tells the client's developer why."""


class KeysUnavailableError(Exception):
    """The provider's keys could not be read, so nothing can be said about any token."""


class ProviderKeys:
    """The provider's public keys, found by discovery, kept for a while, read again when one is unknown."""

    def __init__(self, *, issuer: str) -> None:
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Answer the key of that id, or None. Raises KeysUnavailableError."""
        async with self._reading:
            max_age = KEYS_MAX_AGE_SECONDS if key_id in self._keys else KEYS_MIN_AGE_SECONDS
            if self._read_at is None or time.monotonic() - self._read_at > max_age:
                self._keys = await self._read()
                self._read_at = time.monotonic()
        return self._keys.get(key_id)

    async def _read(self) -> dict[str, jwt.PyJWK]:
        try:
            # A proxy for the internet would not find what runs on this machine.
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                metadata = await _json(client, f"{self._issuer}/.well-known/openid-configuration")
                # OIDC Discovery §4.3: the document must be about the issuer that was asked for.
                if metadata["issuer"] != self._issuer:
                    raise KeysUnavailableError("the provider calls itself by another name")
                key_set = jwt.PyJWKSet.from_dict(await _json(client, metadata["jwks_uri"]))
        except (httpx.HTTPError, jwt.PyJWTError, ValueError, KeyError, TypeError) as fault:
            raise KeysUnavailableError("the provider's keys could not be read") from fault
        # RFC 7517 §4.2: a key for encryption proves no signature.
        return {key.key_id: key for key in key_set.keys if key.key_id and key.public_key_use in {None, "sig"}}


class AccessTokenVerifier:
    """Checks access tokens as RFC 9068 §4 asks: type, key, signature, issuer, audience and time."""

    def __init__(self, *, issuer: str, audience: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = ProviderKeys(issuer=issuer)

    async def verify(self, presented_token: str) -> dict[str, Any]:
        """Answer the token's claims. Raises InvalidTokenError or KeysUnavailableError."""
        try:
            header = jwt.get_unverified_header(presented_token)
        except jwt.PyJWTError as fault:
            raise InvalidTokenError("the token is not a JWT") from fault
        # An ID Token is signed by the same keys; only its type keeps it from opening an API.
        if str(header.get("typ", "")).lower() not in ACCESS_TOKEN_TYPES:
            raise InvalidTokenError("the token is not an access token")
        key = await self._keys.find(str(header.get("kid", "")))
        if key is None:
            raise InvalidTokenError("the token was signed with an unknown key")
        try:
            claims: dict[str, Any] = jwt.decode(
                presented_token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError as fault:
            raise InvalidTokenError("the token has expired") from fault
        except jwt.PyJWTError as fault:
            raise InvalidTokenError("the token is not valid here") from fault
        # RFC 9449 §7.2: a token that is bound to a key is worth nothing without proof of that key.
        if "cnf" in claims:
            raise InvalidTokenError("the token is bound to a key and needs a proof")
        return claims


class HelloEndpoint:
    """`GET /api/hello`: greets whoever the access token speaks for."""

    def __init__(self, *, verifier: AccessTokenVerifier) -> None:
        self._verifier = verifier

    async def get(self, request: Request) -> Response:
        scheme, _, presented_token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not presented_token:
            # RFC 6750 §3.1: nothing was presented, so there is no error to name.
            return JSONResponse({}, status_code=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            claims = await self._verifier.verify(presented_token.strip())
        except InvalidTokenError as fault:
            challenge = f'Bearer error="invalid_token", error_description="{fault}"'
            body = {"error": "invalid_token", "error_description": str(fault)}
            return JSONResponse(body, status_code=401, headers={"WWW-Authenticate": challenge})
        except KeysUnavailableError as fault:
            return JSONResponse({"error_description": str(fault)}, status_code=503)
        return JSONResponse(
            {
                "message": "Hello from the demo API.",
                "you_are": claims["sub"],
                "through": claims["client_id"],
                "scope": claims.get("scope", ""),
            }
        )


# Any: a JSON document.
async def _json(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    response = await client.get(address)
    response.raise_for_status()
    document: dict[str, Any] = response.json()
    return document
