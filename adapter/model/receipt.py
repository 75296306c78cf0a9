"""The application receipt (AppRec), as we give it and as we get it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapter.codes import Coded


class ReceiptStatus(StrEnum):
    """List 8258."""

    OK = "1"
    REJECTED = "2"
    PARTIAL = "3"  # only Behandlerkrav to Helfo sends it; we read it


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the application leg decided: status and one error per fault (codes from list 8221)."""

    status: ReceiptStatus
    errors: tuple[Coded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSeen:
    """A receipt from a partner, by whichever way it came (status list or document in the inbox)."""

    original_msg_id: str
    acknowledger_her_ids: tuple[int, ...]  # level 2 first, then level 1
    verdict: Verdict
    receipt_id: str | None = None
    via: str = "status"  # "status" | "document"
