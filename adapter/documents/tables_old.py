"""Henvisning 1.0 and 1.1 as tables for reading (HIS 80517:2005 and :2014), with the names of 2.0 where they meet."""

from __future__ import annotations

from adapter.documents import names
from adapter.documents.tables import BOOL, MOMENT, PQ, STRING, V_BOOL, V_TEXT, YEAR, Field, Node, cs, cs_short, cv
from adapter.documents.tables_people import FK1_PERSON

_NOTE = Field("note", "Merknad", STRING)


def _period() -> tuple[Field, Field]:
    return Field("start", "StartDateTime", MOMENT), Field("end", "EndDateTime", MOMENT)


def _address(ns: str) -> Node:
    return Node(
        ns,
        Field("type", "Type", cs_short("3401")),
        Field("street", "StreetAdr", STRING),
        Field("postal_code", "PostalCode", STRING),
        Field("city", "City", STRING),
        Field("county", "County", cs_short()),
        Field("country", "Country", cs_short()),
        Field("district", "CityDistr", cs_short()),
        Field("telecoms", "TeleAddress", V_TEXT, many=True),
    )


def _hcp(ns: str) -> Node:
    more = Field(
        "more_ids",
        "AdditionalId",
        Node(ns, Field("id", "Id", STRING), Field("type", "Type", cs_short())),
        many=True,
    )
    named = (Field("name", "Name", STRING), Field("id", "Id", STRING), Field("id_type", "TypeId", cs_short()), more)
    department = Node(ns, Field("type", "Type", cs()), *named)
    professional = Node(ns, Field("profession", "Type", cs_short("9060")), *named)
    return Node(
        ns,
        Field(
            "organisation",
            "Inst",
            Node(
                ns,
                *named,
                Field("persons", "HCPerson", Node(ns, *named), many=True),
                Field("departments", "Dept", department, many=True),
            ),
        ),
        Field("professional", "HCProf", professional),
        Field("speciality", "MedSpeciality", cv()),
        Field("address", "Address", _address(ns)),
    )


def _items(ns: str) -> Node:
    text = Node(
        ns,
        Field("heading", "Heading", cs("8243")),
        Field("text", "TextResultValue", STRING),
        Field("code", "TextCode", cv()),
    )
    number = Node(ns, Field("comparison", "ArithmeticComp", cs("8239")), Field("value", "NumResultValue", PQ))
    result = Node(
        ns,
        Field("value", "Result", text, via="TextResult", kind="text"),
        Field("value", "Interval", Node(ns, Field("low", "Low", PQ), Field("high", "High", PQ)), kind="interval"),
        Field("value", "DateResult", Node(ns, Field("value", "DateResultValue", MOMENT)), kind="date"),
        Field("value", "NumResult", number, kind="number"),
        Field("service_type", "ServType", cs("7309")),
        Field("investigated_at", "InvDate", MOMENT),
        Field("comment", "Comment", STRING),
        Field("deviation", "DevResultInd", cs("8244")),
        Field(
            "investigation",
            "ClinInv",
            Node(ns, Field("id", "Id", cv("7280")), Field("specimens", "Spec", cv(), many=True)),
        ),
    )
    medication = Node(
        ns,
        Field("drug", "DrugId", cv("7180")),
        Field("comment", "Comment", STRING),
        Field("status", "Status", cs("7307")),
        Field("duration", "IntendedDuration", PQ),
        Field("supplied", "QuantitySupplied", PQ),
        Field("dose", "UnitDose", PQ),
        Field("dosage", "DosageText", STRING),
    )
    observation = Node(ns, Field("description", "Description", STRING), Field("comment", "Comment", STRING))
    return Node(
        ns,
        Field("content", "ResultItem", result, kind="result"),
        Field("content", "Medication", medication, kind="medication"),
        Field("content", "Observation", observation, kind="observation"),
        Field("type", "Type", cs("8233")),
        *_period(),
        Field("origin", "OrgDate", MOMENT),
    )


def _consent(ns: str, older: bool) -> Node:
    return Node(
        ns,
        Field("status", "ConsentStatus", cv("3109" if older else "9064")),
        Field("given_on", "ConsentDate", MOMENT),
        _NOTE,
        Field("given_by", "GivenBy", STRING),
    )


def _relative_1_0(ns: str) -> Node:
    relation = Node(
        ns,
        Field("guardian", "Guardien", V_BOOL),
        Field("code", "RelationCode", cs("9033")),
        Field("description", "Description", STRING),
    )
    return Node(
        ns,
        Field("note", "Description", STRING),
        Field("born", "DateOfBirth", MOMENT),
        Field("sex", "Sex", cs_short("3101")),
        Field("occupation", "Occupation", cs()),
        Field("role", "Role", STRING),
        Field("ethnic_belonging", "EthnicBelonging", cs()),
        Field("name", "Name", STRING),
        Field("id", "OffId", STRING),
        Field("id_type", "TypeOffId", cs_short("8327")),
        Field("relation", "Relation", relation),
        Field("address", "Address", _address(ns)),
        Field("consent", "Consent", _consent(ns, older=True)),
    )


def _patient_1_0(ns: str) -> tuple[Field, ...]:
    """The parts that only version 1.0 has."""
    interpreter = Node(
        ns,
        Field("person", "Person", STRING),
        Field("hearing_loss", "IsDeaf", V_BOOL),
        Field("vision_loss", "IsBlind", V_BOOL),
        Field("language", "Language", cs("3303")),
        Field("interpreter", "PreferredTranslator", STRING),
        Field("needed_until", "TranslatorEndDate", MOMENT),
        Field("note", "Note", STRING),
    )
    care = Node(
        ns,
        Field("description", "Description", STRING),
        Field("custody", "CustodyType", cs()),
        Field("custody_owner", "CustodyOwner", STRING),
        Field("care", "CareSituationType", cs()),
        Field("language", "NativeLanguage", cs("3303")),
    )
    institution = Node(
        ns,
        Field("name", "NameInst", STRING),
        Field("working_time", "WorkingTime", STRING),
        Field("contact", "ContactPerson", STRING),
        Field("address", "Address", _address(ns)),
    )
    return (
        Field("assistance", "NeedTranslator", interpreter, many=True),
        Field("care_situation", "CareSituation", care),
        Field("relatives", "PatRelperson", _relative_1_0(ns), many=True),
        Field("institutions", "PatRelInst", institution, many=True),
    )


def _patient_1_1(ns: str) -> tuple[Field, ...]:
    """The parts that only version 1.1 has."""
    po = names.PO_2009
    assistance = Node(
        po,
        Field("person", "PersonTolkebehov", FK1_PERSON),
        Field("hearing_loss", "Horselsvikt", BOOL),
        Field("vision_loss", "Synsvikt", BOOL),
        Field("language", "BehovTolkSprak", cs("3303")),
        Field("interpreter", "PreferertTolk", FK1_PERSON),
        Field("needed_until", "BehovOpphortDato", MOMENT),
        _NOTE,
    )
    relative = Node(
        po,
        Field("relation", "Slektskap", cs("9033")),
        Field("care_function", "Omsorgsfunksjon", cs("9050")),
        Field("birth_year", "FodselsarMindrearigParorende", YEAR),
        Field("person", "Referanseperson", FK1_PERSON),
        _NOTE,
    )
    contact = Node(
        ns,
        Field("position", "OccupationRole", STRING),
        Field("workplace", "WorkingPlace", STRING),
        Field("person", "Referanseperson", FK1_PERSON),
        _NOTE,
    )
    institution = Node(
        ns,
        Field("name", "NameInst", STRING),
        Field("role", "RoleInst", STRING),
        Field("contact", "ContactPerson", STRING),
        _NOTE,
    )
    return (
        Field("assistance", f"{{{po}}}AssistertKommunikasjon", assistance, many=True),
        Field("relatives", f"{{{po}}}ParorendeForesatt", relative, many=True),
        Field("patient_contacts", "ContactPerson", contact, many=True),
        Field("institutions", "PatRelInst", institution, many=True),
    )


def _patient(ns: str, older: bool) -> Node:
    related = Node(
        ns, Field("relation", "Relation", cs("7319" if older else "8254")), *_period(), Field("party", "HCP", _hcp(ns))
    )
    return Node(
        ns,
        Field("basis", "BasisForHealthServices", cs("8246")),
        Field("died", "DateOfDeath", MOMENT),
        Field("patient_local_id", "IdByRequester", STRING),
        Field("precautions", "PatientPrecaution", Node(ns, Field("text", "Precaution", STRING), *_period()), many=True),
        Field("items", "InfItem", _items(ns), many=True),
        Field("related_parties", "PatRelHCP", related, many=True),
        *(_patient_1_0(ns) if older else _patient_1_1(ns)),
        Field("consents", "Consent", _consent(ns, older), many=True),
    )


def _request(ns: str) -> Node:
    service = Node(
        ns,
        Field("id", "ServId", cv()),
        Field("speciality", "MedSpeciality", cv()),
        Field("category", "AdmCat", cs("8240")),
    )
    return Node(
        ns,
        Field("service_type", "ServType", cs("7309")),
        Field("purpose", "Purpose", cs()),
        Field("wanted_on", "ReqDate", MOMENT),
        Field("priority", "Priority", cs("8304")),
        Field("comment", "Comment", STRING),
        Field("service", "Service", service),
    )


def _referral(ns: str) -> Node:
    reason = Node(
        ns,
        Field("heading", "Heading", cs("8231")),
        Field("text", "TextResultValue", STRING),
        Field("codes", "TextCode", cv(), many=True),
    )
    modifier = Node(ns, Field("name", "Name", cs("7305")), Field("values", "Value", cv(), many=True))
    diagnosis = Node(ns, Field("concept", "Concept", cv()), Field("modifiers", "Modifier", modifier, many=True))
    comment = Node(
        ns,
        Field("heading", "Heading", cs("8234")),
        Field("text", "TextResultValue", STRING),
        Field("codes", "CodedComment", cv(), many=True),
    )
    return Node(
        ns,
        Field("service_type", "ServType", cs_short("7309")),
        Field("issued_at", "IssueDate", MOMENT),
        Field("payment", "PaymentCat", cs("4101")),
        Field("comment", "ReqComment", STRING),
        Field("content_type", "MsgDescr", cs("8455")),
        Field("document_id", "Id", STRING),
        Field("patient", "Patient", _patient(ns, ns == names.REFERRAL_1_0)),
        Field("reasons", "ReasonAsText", reason, many=True),
        Field("diagnoses", "Diagnosis", diagnosis, many=True),
        Field("request", "ReqServ", _request(ns)),
        Field("comments", "Comment", comment, many=True),
    )


OLD_REFERRALS = {ns: _referral(ns) for ns in (names.REFERRAL_1_0, names.REFERRAL_1_1)}
