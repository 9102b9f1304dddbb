"""The demo: an app that people sign in to and an API that it calls, started by `idp dev`.

Built as a stranger would build it, on Authlib's Starlette client and PyJWT: it knows the provider by its
issuer and a client registration alone. The app is a backend-for-frontend: the browser holds one HttpOnly
cookie, tokens stay in the backend. What it remembers is in memory, so a restart signs everybody out of it.
"""
