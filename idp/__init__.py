"""A standalone OAuth 2.1 and OpenID Connect identity provider whose sign-in step is a passkey."""

__version__ = "0.1.0"
