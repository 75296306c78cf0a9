"""What a document says about itself, read once and then trusted.

``Facts`` is what reading gives for every kind of document; the rules, the store and the journeys act on nothing else.
``Built`` is an outgoing document before signing: small skeleton and large attachments apart, so that neither checking
nor signing walks through megabytes of base64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.codes import Coded
from adapter.model.party import Party, Person, Unit

if TYPE_CHECKING:
    from lxml.etree import _Element


class Family(StrEnum):
    """How a document carries its addresses."""

    MSGHEAD = "msghead"
    HCP = "hcp"  # Henvisning 1.x, Epikrise: root Message, parties as HCP
    APPREC = "apprec"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRef:
    """RefToParent and RefToConversation (HIS 80601:2006); both are MsgIds."""

    parent: str
    conversation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentFacts:
    """One attachment as found. ``element`` is its Base64Container; decode only when needed."""

    mime_type: str | None
    description: str | None
    path: str
    element: _Element | None = field(default=None, compare=False, repr=False)

    @property
    def base64_chars(self) -> int:
        """The length of the base64 text; asking costs a walk through it."""
        return len(self.element.text or "") if self.element is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Facts:
    """The facts of one business document, as written (strings untouched, absent is None).

    ``kind`` is the business document's root element name, ``namespace`` its namespace, ``version`` "1.0", "1.1", "2.0"
    or None when the namespace is not known. ``receipt_id`` is the id an AppRec must name (MsgId; Henvisning 1.0:
    ServReq/Id). ``business`` is the business root element within the parsed tree.
    """

    family: Family
    kind: str
    namespace: str
    version: str | None = None
    msg_type: str | None = None
    msg_type_name: str | None = None
    mig_version: str | None = None
    msg_id: str | None = None
    gen_date: str | None = None
    processing_status: str | None = None
    conversation: ConversationRef | None = None
    sender: Party | None = None
    receiver: Party | None = None
    copies: tuple[Party, ...] = ()
    patient: Person | None = None
    patient_present: bool = False
    receipt_id: str | None = None
    document_id: str | None = None  # stable over change and cancel (DocumentId, ServReq/Id)
    service_type: str | None = None  # 7309: N, M, C
    priority: str | None = None  # 8306/8304; "0" is an emergency
    theme: Coded | None = None  # TemaKodet or TypeForesp of a dialogue message: decides NAV's process (P13)
    attachments: tuple[AttachmentFacts, ...] = ()
    original: OriginalFacts | None = None  # AppRec only
    signatures: int = 0
    business: _Element | None = field(default=None, compare=False)

    @property
    def emergency(self) -> bool:
        """A readable referral with Priority 0 (P8)."""
        return self.priority == "0" and self.kind in ("Henvisning", "Message")


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalFacts:
    """What an AppRec says of the message it answers: status from list 8258, errors from 8221 or another list."""

    msg_type: str | None
    issue_date: str | None
    msg_id: str | None
    status: str | None
    errors: tuple[Coded, ...] = ()
    apprec_version: str | None = None
    acknowledger: Party | None = None
    acknowledger_unit: Unit | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Built:
    """An outgoing document: ``root`` with a marker (unique, valid base64) for each attachment, and the raw bytes.

    ``markers[i]`` stands in the tree where ``attachments[i]`` belongs; ``xmlio.splice`` puts them together.
    """

    root: _Element
    markers: tuple[bytes, ...] = ()
    attachments: tuple[bytes, ...] = ()
