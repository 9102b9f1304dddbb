"""The master key and the signing keys: encryption at rest, keyring, rotation and RS256 signing.

It owns what is secret on the server's side, and alone imports PyJWT. It knows no claims: what a token says is
for `oauth/tokens`, and whom it lets in is for whoever reads it.
"""
