"""Where a token's status stands (draft-ietf-oauth-status-list): a place in one of many lists of one size."""

# 16 KiB of bits: some hundred bytes when few are set, and one document for the sign-ins of days or weeks.
INDICES_IN_A_LIST = 1 << 17


def claim_of(status_index: int, *, issuer: str) -> dict[str, object]:
    """Answer the `status` claim of the tokens of a grant (draft §6.1)."""
    number, index = divmod(status_index, INDICES_IN_A_LIST)
    return {"status_list": {"idx": index, "uri": uri_of_list(number, issuer=issuer)}}


def uri_of_list(number: int, *, issuer: str) -> str:
    """Name a list by its address."""
    return f"{issuer}/status-lists/{number}"
