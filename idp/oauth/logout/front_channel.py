"""The addresses that a browser loads in frames to sign out of apps (OIDC Front-Channel Logout 1.0 §2)."""

from urllib.parse import urlencode


def frame_address(uri: str, *, issuer: str, session_id: str) -> str:
    """Add `iss` and `sid` to a registered address, always both; its own query stays."""
    separator = "&" if "?" in uri else "?"
    return f"{uri}{separator}{urlencode({'iss': issuer, 'sid': session_id})}"
