"""Who is asking, known to everything that a request runs: the log and the audit trail carry it."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request under way: its id, the short reference that pages show, and the caller's address."""

    request_id: str
    reference: str
    address: str


request_context: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
