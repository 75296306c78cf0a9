"""The register's agreement service (CPPA) over REST: agreements by id, and between two HER-ids, as XML.

Agreements are shown to their parties only, so each tenant asks with tokens of its own (P23). No redirect is followed
and the answer's size is capped (P20).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from adapter.errors import AccessError, NotFoundError, RemoteRefusalError, TransportError
from adapter.transport.call import Answer, Limits
from adapter.transport.edi20 import Authoriser
from adapter.transport.urls import read_base_url

if TYPE_CHECKING:
    from adapter.transport.http import HttpClient

LIMITS = Limits(connect_timeout_s=5.0, read_timeout_s=15.0, total_timeout_s=30.0, response_limit_bytes=8_000_000)


class CpaRegister:
    """One tenant's view of the service. ``base_url`` holds the path of the version; threads may share it."""

    def __init__(self, base_url: str, tokens: Authoriser, *, client: HttpClient | None = None) -> None:
        self._base = read_base_url(base_url, "agreements.register_url")
        self._tokens = tokens
        self._client = client

    def agreement(self, cpa_id: str) -> bytes:
        """The agreement's octets; raises NotFoundError, AccessError, RemoteRefusalError or TransportError."""
        return self._ask(f"/Agreements/{quote(cpa_id, safe='')}")

    def agreement_between(self, ours: int, partner: int) -> bytes:
        """The newest agreement of two parties; raises as ``agreement``."""
        return self._ask(f"/Agreements/HerIds/{ours:d}/{partner:d}")

    def _ask(self, path: str) -> bytes:
        answer = self._once(path)
        if answer.status == 401:
            self._tokens.renew(answer.headers.get("Date"))
            answer = self._once(path)
        status = answer.status
        if status == 200 and not answer.broken:
            return bytes(answer.body)
        if status == 404:
            raise NotFoundError("the register has no such agreement", code="CPA.UNKNOWN")
        if status in (401, 403, 423):
            raise AccessError("the agreement register refuses us", status=status)
        if status == 200 or status >= 500 or status in (408, 429) or status < 400:
            raise TransportError(f"the agreement register answered with status {status}", code="CPA.REGISTER")
        raise RemoteRefusalError(f"the agreement register answered with status {status}", status=status)

    def _once(self, path: str) -> Answer:
        if self._client is None:
            from adapter.transport.http import HttpClient

            self._client = HttpClient(LIMITS)
        url = self._base + path
        headers = {"Accept": "application/xml", **self._tokens.authorise("GET", url)}
        return self._client.call("GET", url, headers=headers)
