"""A client's DPoP key and the proofs it makes, by another library than the server's."""

import base64
import hashlib
import json
import secrets
from datetime import datetime

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

Key = ECKey | OKPKey | RSAKey
Value = str | int | float | bool | list[str] | dict[str, str] | None


class ProofKey:
    """One key, and proofs right in every word but those that a test changes."""

    def __init__(self, key: Key | None = None, *, algorithm: str = "ES256") -> None:
        self.key = key or ECKey.generate_key("P-256")
        self.algorithm = algorithm

    @property
    def thumbprint(self) -> str:
        return self.key.thumbprint()

    def proof(
        self,
        method: str,
        uri: str,
        *,
        now: datetime,
        access_token: str | None = None,
        nonce: str | None = None,
        header: dict[str, object] | None = None,
        **changes: Value,
    ) -> str:
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": uri,
            "iat": int(now.timestamp()),
        }
        if access_token is not None:
            claims["ath"] = digest(access_token)
        if nonce is not None:
            claims["nonce"] = nonce
        claims |= changes
        members = {
            "typ": "dpop+jwt",
            "alg": self.algorithm,
            "jwk": self.key.as_dict(private=False),
        } | (header or {})
        return sign({k: v for k, v in members.items() if v is not None}, claims, self.key)


def sign(header: dict[str, object], claims: dict[str, object], key: Key) -> str:
    """Sign a JWT with any header; claims that are None are left out."""
    payload = json.dumps({name: value for name, value in claims.items() if value is not None})
    registry = jws.JWSRegistry(algorithms=["ES256", "PS256", "RS256", "Ed25519"], strict_check_header=False)
    return jws.serialize_compact(header, payload, key, registry=registry)


def digest(token: str) -> str:
    """The `ath` of a token (RFC 9449 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
