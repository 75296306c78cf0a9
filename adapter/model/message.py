"""An outgoing message as a caller gives it, and the head that the journey adds. Its JSON form is read by ``shapes``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from adapter.model.dialogue import (
    DialogueAnswer,
    DialogueDeviation,
    DialogueNote,
    DialogueQuestion,
    HealthDialogue,
    NavAnswer,
    NavInquiry,
    NavMeetingAnswer,
    ReferralStatus,
)
from adapter.model.document import ConversationRef
from adapter.model.party import Party, Patient
from adapter.model.referral import Referral

Body = (
    Referral
    | DialogueQuestion
    | DialogueAnswer
    | DialogueNote
    | DialogueDeviation
    | HealthDialogue
    | ReferralStatus
    | NavInquiry
    | NavAnswer
    | NavMeetingAnswer
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Attachment:
    """A file beside the business document: raw bytes (base64 in JSON), MIME type, short text shown to the user."""

    content: bytes
    mime_type: str
    description: str
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverChoice:
    """Whom it is for: a level 2 HER-id, or a service found by municipality, level 1 HER-id or its number (P24).

    ``service_list`` and ``service_code`` name the service type (list 8663 KX04 is Frisklivssentral).
    """

    her_id: int | None = None
    municipality: str | None = None
    organisation: int | None = None
    organisation_number: str | None = None
    service_list: int = 8663
    service_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerClaim:
    """Who signs: the name of a key in the settings, and what the caller states of the person (P14, P15)."""

    key: str
    fnr: str | None = field(default=None, repr=False)
    profession: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutgoingMessage:
    """A message to be sent: ``sender`` is our level 2 HER-id; ``processing_status`` from list 8113."""

    sender: int
    receiver: ReceiverChoice
    body: Body
    patient: Patient | None = None
    copies: tuple[ReceiverChoice, ...] = ()
    conversation: ConversationRef | None = None
    attachments: tuple[Attachment, ...] = ()
    signer: SignerClaim | None = None
    processing_status: str | None = None

    @property
    def msg_type(self) -> str:
        """MsgInfo/Type, a code of list 8279; the body decides it."""
        return self.body.msg_type

    @property
    def code_list(self) -> str | None:
        """The number of the list that the theme or question code is from; None for a referral."""
        theme = self.body.coded_theme
        return theme.system if theme else None

    @property
    def code(self) -> str | None:
        """The theme or question code; None for a referral."""
        theme = self.body.coded_theme
        return theme.code if theme else None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Head:
    """What the journey decides: ids, time (Norwegian local time without zone), parties from the register.

    ``marker_seed`` makes the attachment markers; any text that is new for every message.
    """

    msg_id: str
    gen_date: datetime
    sender: Party
    receiver: Party
    copies: tuple[Party, ...] = ()
    marker_seed: str
