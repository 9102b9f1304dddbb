"""OAuth 2.1 and OpenID Connect, one folder a door; `grant.py` is the heart they share."""
