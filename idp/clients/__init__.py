"""Registered clients: metadata rules, redirect URI rules, registration and secrets."""
