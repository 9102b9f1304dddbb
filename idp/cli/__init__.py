"""The `idp` command: one file a command group, each command a few lines over the packages below."""
