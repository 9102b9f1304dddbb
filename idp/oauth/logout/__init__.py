"""Signing out, as a relying party may ask for it."""
