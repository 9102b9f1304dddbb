"""Asking about tokens and taking them back: userinfo, introspection, revocation."""
