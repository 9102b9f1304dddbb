"""Public keys that others bring: a client's, a DPoP proof's. Strict where the libraries are lenient.

PyJWT takes keys that are too small, symmetric ones, private halves and `use` as it comes; here each key is
checked for kind, size, purpose and algorithm before it verifies anything (RFC 8725 §3.1, §3.2).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
from jwt.exceptions import InvalidKeyError

from idp import opaque_token

SignatureAlgorithm = Literal["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]
PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 4096
RSA_EXPONENT = 65_537
MAX_MEMBERS = 20
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# RFC 7638 §3.2, RFC 8037 §2: the members that make the thumbprint.
_REQUIRED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_FITTING: dict[tuple[str, str | None], tuple[SignatureAlgorithm, ...]] = {
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    # RFC 9864 §2.2: Ed25519 is the name that says it all; EdDSA is what clients still send.
    ("OKP", "Ed25519"): ("Ed25519", "EdDSA"),
}
# Any: PyJWT's own class parameter differs from algorithm to algorithm.
_VERIFIERS: dict[SignatureAlgorithm, Any] = {
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
    "Ed25519": OKPAlgorithm(),
    "EdDSA": OKPAlgorithm(),
}
_LOADERS: dict[str, type[Algorithm]] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


class ForeignKeyError(ValueError):
    """The key cannot be used; the message is fit for the developer who brought it."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A checked public key: who it says it is, what it may verify, and its RFC 7638 thumbprint."""

    kid: str | None
    algorithms: tuple[SignatureAlgorithm, ...]
    thumbprint: str
    public_key: PublicKey

    def verifies(self, message: bytes, signature: bytes, *, algorithm: str) -> bool:
        """Whether the signature is this key's over the message, by an algorithm that fits the key."""
        if algorithm not in self.algorithms:
            return False
        verified: bool = _VERIFIERS[algorithm].verify(message, self.public_key, signature)
        return verified


def read_jwk(jwk: Mapping[str, object]) -> ForeignKey:
    """Check a public JWK and load it. Raises ForeignKeyError."""
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _REQUIRED or len(jwk) > MAX_MEMBERS:
        raise ForeignKeyError("kty must be RSA, EC or OKP")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise ForeignKeyError("the key must be public; it holds a private member")
    members = {name: _canonical(jwk, name) for name in _REQUIRED[kty]}
    curve = members.get("crv")
    fitting = _FITTING.get((kty, curve))
    if fitting is None:
        raise ForeignKeyError("crv must be P-256 or Ed25519")
    # RFC 7517 §4.2, §4.3: a key for encryption verifies nothing.
    if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops", ["verify"])):
        raise ForeignKeyError("use or key_ops does not allow verifying signatures")
    alg, kid = jwk.get("alg"), jwk.get("kid")
    algorithms = tuple(name for name in fitting if alg is None or name == alg)
    if not algorithms:
        raise ForeignKeyError("alg does not fit the key")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= 255):  # noqa: PLR2004 - enough for a name
        raise ForeignKeyError("kid must be a short string")
    return ForeignKey(
        kid=kid, algorithms=algorithms, thumbprint=_thumbprint(members), public_key=_load(kty, members)
    )


def read_jwk_set(jwks: Mapping[str, object], *, most_keys: int) -> tuple[ForeignKey, ...]:
    """Check a JWK Set; keys for encryption, and of kinds that we do not know, are left out.

    Raises ForeignKeyError, also for a symmetric key or a private half in it.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= most_keys:
        raise ForeignKeyError(f"keys must be a list of 1 to {most_keys} keys")
    found: list[ForeignKey] = []
    for key in keys:
        if not isinstance(key, dict):
            raise ForeignKeyError("each key must be an object")
        if _PRIVATE_MEMBERS & key.keys():
            raise ForeignKeyError("the keys must be public; one holds a private member")
        if key.get("use") == "enc" or key.get("kty") not in _REQUIRED:
            continue
        found.append(read_jwk(key))
    kids = [key.kid for key in found if key.kid is not None]
    if len(set(kids)) != len(kids):
        raise ForeignKeyError("two keys have the same kid")
    return tuple(found)


def _canonical(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > 1400:  # noqa: PLR2004 - past any modulus that is accepted
        raise ForeignKeyError(f"{name} is missing or too long")
    if name not in {"kty", "crv"} and opaque_token.decode(value) is None:
        raise ForeignKeyError(f"{name} is not unpadded base64url")
    return value


def _may_verify(key_ops: object) -> bool:
    return isinstance(key_ops, list) and "verify" in key_ops


def _thumbprint(members: Mapping[str, str]) -> str:
    canonical = json.dumps(dict(sorted(members.items())), separators=(",", ":")).encode()
    return opaque_token.encode(hashlib.sha256(canonical).digest())


def _load(kty: str, members: dict[str, str]) -> PublicKey:
    if kty == "RSA":
        # Judged before any arithmetic: a giant key is a weapon.
        bits = len(opaque_token.decode(members["n"]) or b"") * 8
        if bits > LARGEST_RSA_BITS:
            raise ForeignKeyError(f"an RSA key has at most {LARGEST_RSA_BITS} bits")
    try:
        key = _LOADERS[kty].from_jwk(members)
    except (InvalidKeyError, ValueError, UnsupportedAlgorithm) as fault:
        raise ForeignKeyError("the key is malformed, or its point is not on its curve") from fault
    if isinstance(key, RSAPublicKey):
        if key.key_size < SMALLEST_RSA_BITS or key.public_numbers().e != RSA_EXPONENT:
            raise ForeignKeyError(f"an RSA key has at least {SMALLEST_RSA_BITS} bits and the exponent 65537")
        return key
    if isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey):
        return key
    raise ForeignKeyError("the key is not a public one")
