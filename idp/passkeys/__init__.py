"""WebAuthn ceremonies: enrolment, sign-in, adding a passkey. The only importer of `webauthn`."""
