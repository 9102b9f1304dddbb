"""The authorization endpoint: request, decision, consent and the response to the client."""
