"""Messages in which every field of every word has a value. All persons are made up; the numbers are synthetic."""

from __future__ import annotations

from datetime import date, datetime

from adapter.codes import Coded
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
    RelatedRole,
)
from adapter.model.document import ConversationRef
from adapter.model.message import Attachment, Body, Head, OutgoingMessage, ReceiverChoice, SignerClaim
from adapter.model.party import Address, Ident, Party, Patient, Person, Professional, Telecom, Unit
from adapter.model.referral import (
    AssistedCommunication,
    CarePathway,
    ClinicalItem,
    Consent,
    ContactProfessional,
    ContactUnit,
    DateResult,
    Diagnosis,
    IndividualPlan,
    IntervalResult,
    Investigation,
    Medication,
    MedicationReview,
    Modifier,
    NumberResult,
    Observation,
    PatientContact,
    PatientDetails,
    Precaution,
    Quantity,
    Reason,
    Referral,
    ReferralComment,
    ReferralContent,
    Relative,
    RequestedService,
    Responsible,
    Result,
    SentDocument,
    TextResult,
)

ADDRESS = Address(
    type="H",
    street="Prøveveien 4",
    postal_code="9990",
    city="Prøvevik",
    postbox="12",
    county="55",
    country="NO",
)
PHONE = Telecom(address="tel:55512345", type="MC")
FNR = Ident(id="14836831285", type="FNR", system="8116")
HPR = Ident(id="9311001", type="HPR", system="8116", name="HPR-nummer")
_NAMES = {"family_name": "Fjellbekk", "middle_name": "Ŋuov", "given_name": "Tindra"}
_REST = {
    "born": date(1968, 3, 14),
    "sex": "2",
    "nationality": "NO",
    "address": ADDRESS,
    "telecoms": (PHONE, Telecom(address="mailto:prove@example.invalid")),
}
PERSON = Person(**_NAMES, **_REST, idents=(FNR,))  # type: ignore[arg-type]
PATIENT = Patient(**_NAMES, **_REST, idents=(FNR,))  # type: ignore[arg-type]
PROFESSIONAL = Professional(**_NAMES, **_REST, idents=(HPR,), profession="LE", role=Coded("6"))  # type: ignore[arg-type]
UNIT = Unit(
    name="Prøveklinikken",
    idents=(Ident(id="8091601", type="HER"), Ident(id="311045202", type="ENH")),
    type=Coded("103"),
    address=ADDRESS,
    telecoms=(PHONE,),
)
SERVICE = Unit(name="Frisklivssentral, Prøve", idents=(Ident(id="8091101", type="HER"),))
WHEN = datetime(2026, 11, 20, 10, 0, 5)
DAY = date(2026, 11, 19)
MG = Quantity(value=2.5, unit="mg")
NLK = Investigation(id=Coded("NPU27300", "7280", "HbA1c"), specimens=(Coded("B", "8325", "Blod"),))


def _result(value: TextResult | IntervalResult | DateResult | NumberResult) -> ClinicalItem:
    content = Result(
        value=value,
        investigation=NLK,
        service_type="N",
        investigated_at=WHEN,
        comment="Fastende",
        deviation="1",
    )
    return ClinicalItem(type="FUNN", content=content, start=WHEN, end=WHEN, origin=WHEN)


MEDICATION = Medication(
    drug=Coded("A10BA02", None, "Metformin"),
    status="1",
    comment="Tas med mat",
    duration=Quantity(value=3, unit="mnd"),
    supplied=Quantity(value=100, unit="stk"),
    dose=MG,
    dosage="1 tablett morgen og kveld",
)
REFERRAL = Referral(
    service_type="M",
    issued_at=WHEN,
    document_id="5d0c8b1e-3f52-4a6e-9c0a-1b7f5a3e2c01",
    content=ReferralContent(type="99", note="Frisklivsresept"),
    request=RequestedService(priority="3", service_type="N", wanted_on=DAY, comment="Snarest"),
    responsible=(Responsible(professional=PROFESSIONAL, relation="HHE", approved_on=DAY, note="Til kl. 15"),),
    reasons=(
        Reason(heading="PROB", text="Vil bli mer aktiv.\nØnsker gruppe.", codes=(Coded("T90", "7170", "Diabetes"),)),
        Reason(heading=Coded(None, None, None, "Egen overskrift"), text="Mer"),
    ),
    payment="11",
    comment="Viktig",
    basis=Coded("1", None, "Grunnlag"),
    patient_details=PatientDetails(
        civil_status=Coded("2", None, "Gift"),
        lives_alone=False,
        language=Coded("nb", None, "Norsk, bokmål"),
        municipal_services=True,
        note="Trappeheis",
    ),
    relatives=(
        Relative(
            person=PERSON, relation="EF", care_function="1", birth_year=2012, closest=True, note="Ring etter kl. 16"
        ),
    ),
    units=(ContactUnit(unit=UNIT, note="Ønsket behandlingssted"),),
    contacts=(ContactProfessional(professional=PROFESSIONAL, note="Deltid"),),
    sent_documents=(
        SentDocument(
            information=Coded("1", None, "Epikrise"),
            sent=True,
            sent_on=DAY,
            receiver_type=Coded("2", None, "Fastlege"),
            receiver_name="Legekontoret",
            note="Per post",
        ),
    ),
    assistance=(
        AssistedCommunication(
            person=PERSON,
            hearing_loss=True,
            vision_loss=False,
            language=Coded("se", None, "Nordsamisk"),
            interpreter=PERSON,
            needed_until=DAY,
            note="Skrivetolk",
        ),
    ),
    individual_plan=IndividualPlan(exists=True, coordinator=False, note="Under arbeid"),
    patient_contacts=(PatientContact(person=PERSON, position="Lærer", workplace="Skolen", note="Dagtid"),),
    medication_review=MedicationReview(reviewed_on=DAY, reconciled_on=DAY, note="Gjort"),
    precautions=(Precaution(text="Redd for sprøyter", start=WHEN, end=WHEN),),
    items=(
        ClinicalItem(type="ANAM", content=Observation(description="Tre år med plager", comment="Etter fall")),
        ClinicalItem(type="MEDB", content=MEDICATION),
        _result(TextResult(heading="AN", text="Normalt", code=Coded("1", "8325", "Funn"))),
        _result(IntervalResult(low=MG, high=MG)),
        _result(DateResult(value=DAY)),
        _result(NumberResult(value=Quantity(value=52, unit="mmol/mol"), comparison="GT")),
    ),
    diagnoses=(
        Diagnosis(
            concept=Coded("E119", "7110", "Diabetes mellitus type 2"),
            modifiers=(Modifier(name="S", values=(Coded("H360", "7110", "Retinopati"),)),),
        ),
    ),
    comments=(ReferralComment(heading="MERK", text="Ring først", codes=(Coded("1", "7170", "Kode"),)),),
    pathways=(CarePathway(code=Coded("A16A", "8480", "Start pakkeforløp"), note="Ny"),),
    consents=(Consent(status="1", given_on=DAY, note="Muntlig", given_by="Pasienten"),),
)

ROLES = (
    RelatedRole(function="1", role="6", professional=PROFESSIONAL),
    RelatedRole(role="9", person=PERSON),
)
UNIT_ROLE = RelatedRole(role="21", unit=ContactUnit(unit=UNIT, note="Sentralbord"))
QUESTION = DialogueQuestion(
    type=Coded("99", "9152"),
    text="Når er neste kontroll?",
    purpose="2",
    grounds="Oppfølging",
    urgency="3",
    from_date=DAY,
    to_date=DAY,
    journal_part=Coded("1", "9065", "Hele"),
    document_id="c1d6a1f4-2b34-4a79-8b16-6f1f0f5a2b01",
    roles=ROLES,
)
_NOTE = {
    "text": "Første linje\nandre linje <ikke merke> & mer",
    "heading": "Kort",
    "remark": "Merk dette",
    "document_id": "b8a52c3e-5b92-4f9a-9a53-0c4b8d6e7f01",
    "written_on": DAY,
    "roles": ROLES,
}
_NEWER = {**_NOTE, "roles": (*ROLES, UNIT_ROLE)}
DIALOGUES: tuple[Body, ...] = (
    QUESTION,
    DialogueNote(theme="1", **_NOTE),  # type: ignore[arg-type]
    DialogueAnswer(theme="9", question=QUESTION, **_NOTE),  # type: ignore[arg-type]
    DialogueDeviation(theme="9", text="Feil mottaker"),
    HealthDialogue(theme="6", **_NEWER),  # type: ignore[arg-type]
    ReferralStatus(theme="1", **_NEWER),  # type: ignore[arg-type]
    NavInquiry(theme="1", **_NOTE),  # type: ignore[arg-type]
    NavAnswer(question=QUESTION, **_NOTE),  # type: ignore[arg-type]
    NavMeetingAnswer(theme="2", question=QUESTION, **_NOTE),  # type: ignore[arg-type]
)
FORMATTED = HealthDialogue(
    theme=Coded("6", "7322"),
    heading="Trening",
    xhtml="<p>Møt <b>kl. 10</b></p><table><tr><td colspan='2'>Timer</td></tr></table>",
)
BODIES: tuple[Body, ...] = (REFERRAL, *DIALOGUES, FORMATTED)

SENDER = Party(organisation=UNIT, person=PROFESSIONAL)
RECEIVER = Party(organisation=UNIT, service=SERVICE)


def head(**more: object) -> Head:
    known: dict[str, object] = {
        "msg_id": "1e9b0104-fd84-4d29-824f-154d7f501262",
        "gen_date": WHEN,
        "sender": SENDER,
        "receiver": RECEIVER,
        "copies": (SENDER,),
        "marker_seed": "prøve",
    }
    return Head(**{**known, **more})  # type: ignore[arg-type]


def message(body: Body, **more: object) -> OutgoingMessage:
    known: dict[str, object] = {
        "sender": 8091301,
        "receiver": ReceiverChoice(her_id=8091101),
        "body": body,
        "patient": PATIENT,
        "copies": (ReceiverChoice(her_id=8091302),),
        "conversation": ConversationRef(
            parent="2c2d4a39-87cb-4f3c-a3b1-9c5d7f0e1a01", conversation="2c2d4a39-87cb-4f3c-a3b1-9c5d7f0e1a00"
        ),
        "attachments": (
            Attachment(content=b"%PDF-1", mime_type="application/pdf", description="Brev", written_at=WHEN),
            Attachment(content=b"\x89PNG", mime_type="image/png", description="Bilde"),
        ),
        "signer": SignerClaim(key="lege", fnr="14836831285", profession="LE"),
        "processing_status": "P",
    }
    return OutgoingMessage(**{**known, **more})  # type: ignore[arg-type]
