"""Proof Key for Code Exchange (RFC 7636, OAuth 2.1 §7.5): S256 for every client, without exception."""

import base64
import hashlib
import re

from idp.errors import InvalidGrant, InvalidRequest

# RFC 7636 §4.2: base64url without padding of a SHA-256 digest is always 43 characters.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)
# RFC 7636 §4.1.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


def check_challenge(code_challenge: str | None, code_challenge_method: str | None) -> str:
    """Answer the challenge of an authorization request; anything but S256 raises InvalidRequest."""
    if code_challenge is None:
        raise InvalidRequest("code_challenge is required (S256)")
    # RFC 7636 §4.3: an absent method means plain, which is refused.
    if code_challenge_method != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(code_challenge):
        raise InvalidRequest("code_challenge must be the 43 characters of a base64url SHA-256 digest")
    return code_challenge


def challenge_of(code_verifier: str | None) -> str:
    """Answer the challenge that a presented verifier belongs to; a missing or malformed one is refused."""
    # RFC 9700 §4.8.2: every code here has a challenge, so a missing verifier is a downgrade.
    if code_verifier is None or not _VERIFIER.fullmatch(code_verifier):
        raise InvalidGrant("code_verifier is missing or malformed")
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
