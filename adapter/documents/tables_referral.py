"""Henvisning 2.0 as a table: every part in the order of its schema (HIS 80517:2017)."""

from __future__ import annotations

from adapter.documents import names
from adapter.documents.tables import BOOL, DATE, DATE_TIME, PQ, STRING, YEAR, Field, Node, cs, cs_short, cv
from adapter.documents.tables_people import FK1_PERSON, FK1_PROFESSIONAL, FK1_UNIT

_H = names.REFERRAL_2_0
_PO = names.PO_2017
_NOTE = Field("note", "Merknad", STRING)

PATIENT_DETAILS = Node(
    _PO,
    Field("civil_status", "SivilStatus", cs()),
    Field("lives_alone", "BorAlene", BOOL),
    Field("language", "Sprak", cs("3303")),
    Field("municipal_services", "MottarKommunaleTjenester", BOOL),
    _NOTE,
)
RELATIVE = Node(
    _PO,
    Field("relation", "Slektskap", cs("9033")),
    Field("care_function", "Omsorgsfunksjon", cs("9050")),
    Field("birth_year", "FodselsarMindrearigParorende", YEAR),
    Field("closest", "NarmesteParorende", BOOL),
    Field("person", "Referanseperson", FK1_PERSON),
    _NOTE,
)
CONTACT_UNIT = Node(_PO, Field("unit", "Kontaktenhet", FK1_UNIT), _NOTE)
CONTACT = Node(_PO, Field("professional", "Kontaktperson", FK1_PROFESSIONAL), _NOTE)
RESPONSIBLE = Node(
    _PO,
    Field("professional", "AnsvarligRapport", FK1_PROFESSIONAL),
    Field("approved_on", "GodkjentDato", DATE),
    Field("relation", "TypeRelasjon", cv("8254")),
    _NOTE,
)
SENT_DOCUMENT = Node(
    _PO,
    Field("information", "Opplysning", cv("8329")),
    Field("sent", "JaNei", BOOL),
    Field("sent_on", "DatoSendt", DATE),
    Field("receiver_type", "TypeMottaker", cv("8330")),
    Field("receiver_name", "NavnMottaker", STRING),
    _NOTE,
)
CONTENT = Node(_PO, Field("type", "TypeInnhold", cv("8455")), _NOTE)
ASSISTANCE = Node(
    _PO,
    Field("person", "PersonTolkebehov", FK1_PERSON),
    Field("hearing_loss", "Horselsvikt", BOOL),
    Field("vision_loss", "Synsvikt", BOOL),
    Field("language", "BehovTolkSprak", cs("3303")),
    Field("interpreter", "PreferertTolk", FK1_PERSON),
    Field("needed_until", "BehovOpphortDato", DATE),
    _NOTE,
)
PLAN = Node(
    _PO,
    Field("exists", "IndividuellPlanForeligger", BOOL),
    Field("coordinator", "KoordinatorOppnevnt", BOOL),
    _NOTE,
)
PATIENT_CONTACT = Node(
    _PO,
    Field("position", "StillingRolle", STRING),
    Field("workplace", "Arbeidssted", STRING),
    Field("person", "Referanseperson", FK1_PERSON),
    _NOTE,
)
MEDICATION_REVIEW = Node(
    _PO,
    Field("reviewed_on", "DatoLegemiddelgjennomgang", DATE),
    Field("reconciled_on", "DatoSamstemming", DATE),
    _NOTE,
)
_PERIOD = (Field("start", "StartDateTime", DATE_TIME), Field("end", "EndDateTime", DATE_TIME))
PRECAUTION = Node(_H, Field("text", "Precaution", STRING), *_PERIOD)
OBSERVATION = Node(_H, Field("description", "Description", STRING), Field("comment", "Comment", STRING))
MEDICATION = Node(
    _H,
    Field("drug", "DrugId", cv("7180")),
    Field("comment", "Comment", STRING),
    Field("status", "Status", cs("9101")),
    Field("duration", "IntendedDuration", PQ),
    Field("supplied", "QuantitySupplied", PQ),
    Field("dose", "UnitDose", PQ),
    Field("dosage", "DosageText", STRING),
)
TEXT_RESULT = Node(
    _H,
    Field("heading", "Heading", cs("8243")),
    Field("text", "TextResultValue", STRING),
    Field("code", "TextCode", cv()),
)
RESULT = Node(
    _H,
    Field("value", "Result", TEXT_RESULT, via="TextResult", kind="text"),
    Field("value", "Interval", Node(_H, Field("low", "Low", PQ), Field("high", "High", PQ)), kind="interval"),
    Field("value", "DateResult", Node(_H, Field("value", "DateResultValue", DATE)), kind="date"),
    Field(
        "value",
        "NumResult",
        Node(_H, Field("comparison", "ArithmeticComp", cs("8239")), Field("value", "NumResultValue", PQ)),
        kind="number",
    ),
    Field("service_type", "ServType", cs("7309")),
    Field("investigated_at", "InvDate", DATE_TIME),
    Field("comment", "Comment", STRING),
    Field("deviation", "DevResultInd", cs("8244")),
    Field(
        "investigation",
        "ClinInv",
        Node(_H, Field("id", "Id", cv("7280")), Field("specimens", "Spec", cv(), many=True)),
    ),
)
ITEM = Node(
    _H,
    Field("content", "ResultItem", RESULT, kind="result"),
    Field("content", "Medication", MEDICATION, kind="medication"),
    Field("content", "Observation", OBSERVATION, kind="observation"),
    Field("type", "Type", cv("8233")),
    *_PERIOD,
    Field("origin", "OrgDate", DATE_TIME),
)
REASON = Node(
    _H,
    Field("heading", "Heading", cv("8231")),
    Field("text", "TextResultValue", STRING),
    Field("codes", "TextCode", cv(), many=True),
)
DIAGNOSIS = Node(
    _H,
    Field("concept", "Concept", cv()),
    Field(
        "modifiers",
        "Modifier",
        Node(_H, Field("name", "Name", cs("7305")), Field("values", "Value", cv(), many=True)),
        many=True,
    ),
)
REQUEST = Node(
    _H,
    Field("service_type", "ServType", cs("7309")),
    Field("wanted_on", "ReqDate", DATE),
    Field("priority", "Priority", cs("8306")),
    Field("comment", "Comment", STRING),
)
COMMENT = Node(
    _H,
    Field("heading", "Heading", cv("8234")),
    Field("text", "TextResultValue", STRING),
    Field("codes", "CodedComment", cv(), many=True),
)
# Only read: it belongs to the forwarded referral (HIS 1208), and no word of the model can hold it.
ASSESSMENT = Node(
    _H,
    Field(
        "dates",
        "DatoMottakOgVurdering",
        Node(_H, Field("type", "TypeDato", cv("9147")), Field("date", "Dato", DATE)),
        many=True,
    ),
    Field(
        "details",
        "Opplysninger",
        Node(
            _H,
            Field("free_choice", "FrittSykehusvalg", BOOL),
            Field("waiting_end", "VentetidSluttkode", cv("8445")),
            Field("course_id", "ForlopsId", STRING),
            Field("right_to_care", "RettTilHelsehjelp", BOOL),
            Field("outcome", "UtfallAvVurdering", cv("8485")),
        ),
    ),
)
PATHWAY = Node(_H, Field("code", "Pakkeforlopskode", cv("8480")), _NOTE)
CONSENT = Node(
    _H,
    Field("status", "ConsentStatus", cv("9064")),
    Field("given_on", "ConsentDate", DATE),
    _NOTE,
    Field("given_by", "GivenBy", STRING),
)


def _po(name: str) -> str:
    return f"{{{_PO}}}{name}"


REFERRAL = Node(
    _H,
    Field("service_type", "ServType", cs_short("7309")),
    Field("issued_at", "IssueDate", DATE_TIME),
    Field("payment", "PaymentCat", cs("4101")),
    Field("comment", "ReqComment", STRING),
    Field("document_id", "DocumentId", STRING),
    Field("basis", "BasisForHealthServices", cs("8246")),
    Field("patient_details", _po("TilleggsopplysningPasient"), PATIENT_DETAILS),
    Field("relatives", _po("ParorendeForesatt"), RELATIVE, many=True),
    Field("units", _po("TilknyttetEnhet"), CONTACT_UNIT, many=True),
    Field("contacts", _po("KontaktpersonHelsepersonell"), CONTACT, many=True),
    Field("responsible", _po("AnsvarForRapport"), RESPONSIBLE, many=True),
    Field("sent_documents", _po("SendtDokument"), SENT_DOCUMENT, many=True),
    Field("content", _po("TypeInnholdIMelding"), CONTENT),
    Field("assistance", _po("AssistertKommunikasjon"), ASSISTANCE, many=True, via=_po("InfoAssistertKommunikasjon")),
    Field("individual_plan", _po("OpplysningerOmIndividuellPlan"), PLAN),
    Field("patient_contacts", _po("PasientrelatertKontaktperson"), PATIENT_CONTACT, many=True),
    Field("medication_review", _po("Legemiddelgjennomgang"), MEDICATION_REVIEW),
    Field("precautions", "PatientPrecaution", PRECAUTION, many=True),
    Field("items", "InfItem", ITEM, many=True),
    Field("reasons", "ReasonAsText", REASON, many=True),
    Field("diagnoses", "Diagnosis", DIAGNOSIS, many=True),
    Field("request", "ReqServ", REQUEST),
    Field("comments", "Comment", COMMENT, many=True),
    Field("assessment", "VurderingAvHenvisning", ASSESSMENT),
    Field("pathways", "Pakkeforlop", PATHWAY, many=True),
    Field("consents", "Consent", CONSENT, many=True),
)
