"""The referral (Henvisning 2.0 "ny tilstand"), everything that may be sent of it.

Names follow the standard's parts (HIS 80517:2017, HIS 1207:2018); the list that a coded field takes is named beside it.
A bare code is enough where that list is the only one; diagnoses, drugs and investigations name their list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, Literal

from adapter.codes import Coded
from adapter.model.coding import Code
from adapter.model.party import Person, Professional, Unit


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PatientDetails:
    """More about the patient: ``civil_status`` and ``language`` (list 3303) are codes."""

    civil_status: Code | None = None
    lives_alone: bool | None = None
    language: Code | None = None
    municipal_services: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Relative:
    """Next of kin: ``relation`` from list 9033, ``care_function`` from 9050, ``birth_year`` of a minor."""

    person: Person
    relation: Code | None = None
    care_function: Code | None = None
    birth_year: int | None = None
    closest: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ContactUnit:
    """A unit that can be asked, or the wanted place of treatment (say so in ``note``)."""

    unit: Unit
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ContactProfessional:
    """A professional around the patient; ``professional.role`` from list 9034 (6 GP, 23 wanted clinician)."""

    professional: Professional
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Responsible:
    """Who answers for the referral: ``relation`` from list 8254, HHE is the referring professional (mandatory once)."""

    professional: Professional
    relation: Code | None = "HHE"
    approved_on: date | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SentDocument:
    """Whether another document was sent: ``information`` from list 8329, ``receiver_type`` from 8330."""

    information: Code
    sent: bool
    sent_on: date | None = None
    receiver_type: Code | None = None
    receiver_name: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReferralContent:
    """What the referral asks for: ``type`` from list 8455 (10 examination/treatment, 11 advice, 99 other)."""

    type: Code
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AssistedCommunication:
    """Need of an interpreter or other help: ``language`` from list 3303."""

    person: Person | None = None
    hearing_loss: bool | None = None
    vision_loss: bool | None = None
    language: Code | None = None
    interpreter: Person | None = None
    needed_until: date | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IndividualPlan:
    """Whether there is an individual plan and a coordinator."""

    exists: bool | None = None
    coordinator: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PatientContact:
    """Somebody outside the health service, such as a teacher."""

    person: Person
    position: str | None = None
    workplace: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MedicationReview:
    reviewed_on: date | None = None
    reconciled_on: date | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Precaution:
    """A caution that is not critical; critical information goes into an item of type CAVE."""

    text: str
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Quantity:
    """A number with its unit."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Observation:
    kind: Literal["observation"] = "observation"
    description: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Medication:
    """A drug: ``drug`` from ATC (list 7180), ``status`` from list 9101."""

    kind: Literal["medication"] = "medication"
    drug: Code
    status: Code
    comment: str | None = None
    duration: Quantity | None = None
    supplied: Quantity | None = None
    dose: Quantity | None = None
    dosage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TextResult:
    """``heading`` from list 8243."""

    kind: Literal["text"] = "text"
    heading: Code | None = None
    text: str | None = None
    code: Coded | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IntervalResult:
    kind: Literal["interval"] = "interval"
    low: Quantity | None = None
    high: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DateResult:
    kind: Literal["date"] = "date"
    value: date


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NumberResult:
    """``comparison`` from list 8239."""

    kind: Literal["number"] = "number"
    value: Quantity
    comparison: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Investigation:
    """What was examined: ``id`` from NLK (list 7280) or NCRP (7270)."""

    id: Code
    specimens: tuple[Coded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """A finding: ``deviation`` from list 8244."""

    kind: Literal["result"] = "result"
    value: TextResult | IntervalResult | DateResult | NumberResult
    investigation: Investigation
    service_type: Code | None = None
    investigated_at: datetime | None = None
    comment: str | None = None
    deviation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClinicalItem:
    """Clinical information: ``type`` from list 8233 (ANAM, FUNN, CAVE, MEDB …)."""

    type: Code
    content: Observation | Medication | Result
    start: datetime | None = None
    end: datetime | None = None
    origin: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reason:
    """Text under a heading from list 8231; PROB (the problem) is mandatory once."""

    heading: Code | None = None
    text: str | None = None
    codes: tuple[Coded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Modifier:
    """``name`` from list 7305."""

    name: Code
    values: tuple[Coded, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Diagnosis:
    """``concept`` names its list: 7110 ICD-10, 7170 ICPC-2, 7171 ICPC-2-B. The first one is the main condition."""

    concept: Coded
    modifiers: tuple[Modifier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestedService:
    """``priority`` from list 8306 (0 emergency, 3 urgent, N ordinary, PK cancer pathway)."""

    priority: Code
    service_type: Code = "N"
    wanted_on: date | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReferralComment:
    """``heading`` from list 8234; text or codes must be there."""

    heading: Code | None = None
    text: str | None = None
    codes: tuple[Coded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CarePathway:
    """A cancer pathway code (list 8480 and its likes); only from the specialist health service."""

    code: Coded
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Consent:
    """``status`` from list 9064."""

    status: Code
    given_on: date | None = None
    note: str | None = None
    given_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Referral:
    """A referral: new (N), changed (M) or cancelled (C).

    ``document_id`` and ``issued_at`` stay the same when it is changed or cancelled (HISD 1154:2018); a change carries
    the full content, a cancel the mandatory parts and a PROB text.
    """

    MSG_TYPE: ClassVar[str] = "HENVISNING_NYTILSTAND"
    kind: Literal["referral"] = "referral"
    service_type: Literal["N", "M", "C"] = "N"
    issued_at: datetime
    document_id: str
    content: ReferralContent
    request: RequestedService
    responsible: tuple[Responsible, ...]
    reasons: tuple[Reason, ...]
    payment: Code | None = None
    comment: str | None = None
    basis: Code | None = None
    patient_details: PatientDetails | None = None
    relatives: tuple[Relative, ...] = ()
    units: tuple[ContactUnit, ...] = ()
    contacts: tuple[ContactProfessional, ...] = ()
    sent_documents: tuple[SentDocument, ...] = ()
    assistance: tuple[AssistedCommunication, ...] = ()
    individual_plan: IndividualPlan | None = None
    patient_contacts: tuple[PatientContact, ...] = ()
    medication_review: MedicationReview | None = None
    precautions: tuple[Precaution, ...] = ()
    items: tuple[ClinicalItem, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    comments: tuple[ReferralComment, ...] = ()
    pathways: tuple[CarePathway, ...] = ()
    consents: tuple[Consent, ...] = ()

    @property
    def msg_type(self) -> str:
        return self.MSG_TYPE

    @property
    def coded_theme(self) -> Coded | None:
        """A referral has no theme; its process is named by the type alone."""
        return None
