"""Which `acr` a client hears (OIDC Core §2, §5.5.1.1), among those that the sign-in truly reached."""

from collections.abc import Sequence


def reached(session_acr: str, *, ranking: Sequence[str]) -> tuple[str, ...]:
    """Name what a sign-in of that `acr` also fulfils: itself and all weaker. `ranking`: weakest first."""
    if session_acr not in ranking:
        return (session_acr,)
    return tuple(ranking[: ranking.index(session_acr) + 1])


def told(session_acr: str, *, asked: Sequence[str], ranking: Sequence[str]) -> str:
    """Answer the sign-in's own `acr`, or the strongest of those asked for that it fulfils.

    A client that asked for `phr` compares with that word, and a hardware key (`phrh`) fulfils it.
    """
    if not asked or session_acr in asked:
        return session_acr
    fulfilled = [acr for acr in reached(session_acr, ranking=ranking) if acr in asked]
    return fulfilled[-1] if fulfilled else session_acr
