class CeremonyError(Exception):
    """A ceremony proves nothing; `reason` is a fixed word for the audit log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
