"""WebAuthn ceremonies: enrolment, sign-in and adding a passkey, from the options to the signed-in browser.

Owns the challenges, the credentials and what counts as proof; `verification` holds the pure rules and is the
only importer of `webauthn`. Does not own people, their addresses or who may enrol (accounts), nor the
application's request that a sign-in serves (oauth): it knows that by its id and sends the person back to it.
"""
