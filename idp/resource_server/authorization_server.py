import time
from collections.abc import Callable

from idp.resource_server.documents import OpenHttp, open_http
from idp.resource_server.proof import UsedProofs, UsedProofsInMemory
from idp.resource_server.signing_keys import SigningKeys
from idp.resource_server.status_lists import StatusLists, WhenUnknown


class AuthorizationServer:
    """The provider as a service knows it: its issuer, and what was read there so far. One for a process.

    `when_status_unknown`: what to do with a token whose status list is out of reach and has expired (see
    StatusLists). `used_proofs`: shared by the processes of a service, or a proof is good once in each.
    """

    def __init__(
        self,
        issuer: str,
        *,
        when_status_unknown: WhenUnknown = "refuse",
        used_proofs: UsedProofs | None = None,
        leeway_seconds: float = 10,
        http: OpenHttp = open_http,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.leeway_seconds = leeway_seconds
        self.clock = clock
        self.used_proofs = used_proofs or UsedProofsInMemory()
        self.keys = SigningKeys(issuer=issuer, http=http, clock=clock)
        self.status_lists = StatusLists(
            issuer=issuer, keys=self.keys, when_unknown=when_status_unknown, http=http, clock=clock
        )
