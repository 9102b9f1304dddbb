"""The token endpoint: client authentication, one file a grant, the token response."""
