"""Dialogue messages: questions, answers, notes, and NAV's own (Dialogmelding 1.0 and 1.1).

The class decides MsgInfo/Type, the version and the list of the theme. A note's text is plain (``text``) or formatted
(``xhtml``, HISD 1155:2008), never both; send plain text unless the receiver is known to show XHTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

from adapter.codes import Coded
from adapter.model.coding import Code, complete
from adapter.model.party import Person, Professional
from adapter.model.referral import ContactUnit


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RelatedRole:
    """A person or unit of a note: ``function`` from list 9057 (1 author), ``role`` to the patient from list 9034.

    One of ``professional`` and ``person``; ``unit`` only in version 1.1.
    """

    function: Code | None = None
    role: Code | None = None
    unit: ContactUnit | None = None
    professional: Professional | None = None
    person: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DialogueQuestion:
    """DIALOG_FORESPORSEL 1.0: ``type`` from list 9152 or 9153 in municipal cooperation (99: ``text`` is mandatory).

    ``urgency`` from list 9067, ``purpose`` from 9068. Between the health services the optional fields from ``purpose``
    to ``journal_part`` are not in use (HISD 80903:2009).
    """

    MSG_TYPE: ClassVar[str] = "DIALOG_FORESPORSEL"
    VERSION: ClassVar[str] = "1.0"
    kind: Literal["dialogue_question"] = "dialogue_question"
    type: Coded
    text: str | None = None
    purpose: Code | None = None
    grounds: str | None = None
    urgency: Code | None = None
    from_date: date | None = None
    to_date: date | None = None
    journal_part: Coded | None = None
    document_id: str | None = None
    roles: tuple[RelatedRole, ...] = ()

    @property
    def msg_type(self) -> str:
        return self.MSG_TYPE

    @property
    def coded_theme(self) -> Coded | None:
        """The question's type with its list."""
        return complete(self.type, None)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Note:
    """What every note has."""

    MSG_TYPE: ClassVar[str] = "DIALOG_NOTAT"
    VERSION: ClassVar[str] = "1.0"
    THEMES: ClassVar[str] = "7321"
    theme: Code
    text: str | None = None
    xhtml: str | None = None

    @property
    def msg_type(self) -> str:
        return self.MSG_TYPE

    @property
    def coded_theme(self) -> Coded | None:
        """The theme with its list."""
        return complete(self.theme, self.THEMES)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _FullNote(_Note):
    heading: str | None = None
    remark: str | None = None
    document_id: str | None = None
    written_on: date | None = None
    roles: tuple[RelatedRole, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DialogueNote(_FullNote):
    """DIALOG_NOTAT 1.0: ``theme`` from list 7321."""

    kind: Literal["dialogue_note"] = "dialogue_note"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DialogueAnswer(_FullNote):
    """DIALOG_SVAR 1.0: ``theme`` from list 9069, normally 5; the question that is answered goes with it."""

    MSG_TYPE: ClassVar[str] = "DIALOG_SVAR"
    THEMES: ClassVar[str] = "9069"
    kind: Literal["dialogue_answer"] = "dialogue_answer"
    theme: Code = "5"
    question: DialogueQuestion | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DialogueDeviation(_Note):
    """DIALOG_AVVIK 1.0: feedback about a fault in a received message; ``theme`` from list 8117 (HIS 1151)."""

    MSG_TYPE: ClassVar[str] = "DIALOG_AVVIK"
    THEMES: ClassVar[str] = "8117"
    kind: Literal["dialogue_deviation"] = "dialogue_deviation"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HealthDialogue(_FullNote):
    """DIALOG_HELSEFAGLIG 1.1: ``theme`` from list 7322, ``heading`` and a contact are mandatory (HIS 1077)."""

    MSG_TYPE: ClassVar[str] = "DIALOG_HELSEFAGLIG"
    VERSION: ClassVar[str] = "1.1"
    THEMES: ClassVar[str] = "7322"
    kind: Literal["health_dialogue"] = "health_dialogue"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReferralStatus(_FullNote):
    """DIALOG_STATUS_HENVISNING 1.1: ``theme`` from list 9148; needs a reference to the referral (HIS 1206)."""

    MSG_TYPE: ClassVar[str] = "DIALOG_STATUS_HENVISNING"
    VERSION: ClassVar[str] = "1.1"
    THEMES: ClassVar[str] = "9148"
    kind: Literal["referral_status"] = "referral_status"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NavInquiry(_FullNote):
    """Henvendelse from a doctor to NAV: ``theme`` from list 8128 (1 sick leave, 2 not on sick leave)."""

    THEMES: ClassVar[str] = "8128"
    kind: Literal["nav_inquiry"] = "nav_inquiry"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NavAnswer(_FullNote):
    """Answer to NAV's request about a patient (ForesporselSvar): ``theme`` from list 9069, 5."""

    MSG_TYPE: ClassVar[str] = "DIALOG_SVAR"
    THEMES: ClassVar[str] = "9069"
    kind: Literal["nav_answer"] = "nav_answer"
    theme: Code = "5"
    question: DialogueQuestion | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NavMeetingAnswer(_FullNote):
    """Answer to NAV's invitation (MoteRespons): ``theme`` from list 8126 (1 I come, 2 new time, 3 I cannot)."""

    MSG_TYPE: ClassVar[str] = "DIALOG_SVAR"
    THEMES: ClassVar[str] = "8126"
    kind: Literal["nav_meeting_answer"] = "nav_meeting_answer"
    question: DialogueQuestion | None = None


Note = (
    DialogueNote
    | DialogueAnswer
    | DialogueDeviation
    | HealthDialogue
    | ReferralStatus
    | NavInquiry
    | NavAnswer
    | NavMeetingAnswer
)
Dialogue = DialogueQuestion | Note
