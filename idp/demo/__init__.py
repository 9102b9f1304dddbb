"""The demo relying party and API that `idp dev` starts, built as a stranger would."""
