from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.documents import read_facts, read_message
from adapter.xmlio import parse
from tests.documents.corpus import needs_corpus, one

OLDER = "http://www.kith.no/xmlstds/henvisning/2005-07-08"
NEWER = "http://www.kith.no/xmlstds/henvisning/2012-02-15"

PATIENT_1_0 = """
<Patient>
  <Sex V="2"/><DateOfBirth V="1968-03-14"/><DateOfDeath V="2026"/><Name>Fjellbekk, Tindra</Name>
  <IdByRequester>77</IdByRequester><OffId>14836831285</OffId><TypeOffId V="FNR"/>
  <PatientPrecaution><Precaution>Redd</Precaution><StartDateTime V="2026-01"/></PatientPrecaution>
  <InfItem><ResultItem><TextResult><Result><Heading V="AN"/><TextResultValue>Fint</TextResultValue></Result>
    </TextResult><InvDate V="2026-02-03"/><ClinInv><Id V="1" S="2.16.578.1.12.4.1.1.7280"/></ClinInv></ResultItem>
    <Type V="FUNN"/></InfItem>
  <PatRelHCP><Relation V="HHE" DN="Henvisende helsepersonell"/><HCP><HCProf><Type V="LE"/><Name>Sol Vangsnes</Name>
    <Id>9311001</Id><TypeId V="HPR"/></HCProf><Address><Type V="WP"/><TeleAddress V="tel:55512301"/>
    <TeleAddress V="mailto:sol@example.invalid"/></Address></HCP></PatRelHCP>
  <NeedTranslator><Person>1</Person><IsDeaf V="true"/><IsBlind V="false"/><Language V="se" DN="Nordsamisk"/>
    <PreferredTranslator>2</PreferredTranslator><TranslatorEndDate V="2027-01-01"/><Note>Skrivetolk</Note>
  </NeedTranslator>
  <CareSituation><Description>Delt</Description><CustodyType V="1"/><CareSituationType V="2"/></CareSituation>
  <PatRelperson><Name>Runa Fjellbekk</Name><Relation><Guardien V="true"/><RelationCode V="MO"/></Relation>
    <Address><Type V="H"/><City>Prøvevik</City></Address></PatRelperson>
  <PatRelInst><NameInst>Skolen</NameInst><ContactPerson>Lærer</ContactPerson></PatRelInst>
  <Consent><ConsentStatus V="1" S="2.16.578.1.12.4.1.1.3109"/><ConsentDate V="2026-01-02"/><Merknad>Ja</Merknad>
  </Consent>
  <AdditionalId><Id>9</Id><Type V="XXX"/></AdditionalId>
</Patient>"""


def document(namespace: str, patient: str) -> bytes:
    return f"""<Message xmlns="{namespace}" xmlns:po="http://www.kith.no/xmlstds/po/poKomponent/2009-06-30"
 xmlns:fk1="http://www.kith.no/xmlstds/felleskomponent1"><MsgId>m-1</MsgId><ServReq>
<ServType V="N"/><IssueDate V="2026-11-20"/><MsgDescr V="2" DN="Behandling"/><Id>r-1</Id>{patient}
<ReasonAsText><Heading V="PROB"/><TextResultValue>Plager</TextResultValue></ReasonAsText>
<Diagnosis><Concept V="T90" S="2.16.578.1.12.4.1.1.7170" DN="Diabetes"/></Diagnosis>
<ReqServ><ServType V="N"/><Priority V="14" DN="Innen to uker"/><Service><ServId V="x" OT="Noe"/></Service></ReqServ>
<Comment><Heading V="MERK"/><TextResultValue>Ring</TextResultValue><CodedComment V="1"/></Comment>
</ServReq></Message>""".encode()


def body(xml: bytes) -> dict[str, Any]:
    root = parse(xml)
    read = json.loads(json.dumps(read_message(root, read_facts(root))))
    found: dict[str, Any] = read["body"]
    return found


def test_a_referral_1_0_is_handed_over_with_all_it_says_of_the_patient() -> None:
    found = body(document(OLDER, PATIENT_1_0))
    assert found["kind"] == "referral"
    assert found["died"] == "2026"
    assert found["precautions"] == [{"text": "Redd", "start": "2026-01"}]
    assert found["items"][0]["content"]["value"] == {
        "kind": "text",
        "heading": {"code": "AN", "system": "8243"},
        "text": "Fint",
    }
    party = found["related_parties"][0]["party"]
    assert party["professional"] == {
        "profession": "LE",
        "name": "Sol Vangsnes",
        "id": "9311001",
        "id_type": "HPR",
    }
    assert party["address"]["telecoms"] == ["tel:55512301", "mailto:sol@example.invalid"]
    assert found["assistance"] == [
        {
            "person": "1",
            "hearing_loss": True,
            "vision_loss": False,
            "language": {"code": "se", "system": "3303", "name": "Nordsamisk"},
            "interpreter": "2",
            "needed_until": "2027-01-01",
            "note": "Skrivetolk",
        }
    ]
    assert found["care_situation"]["description"] == "Delt"
    assert found["relatives"][0]["relation"]["guardian"] is True
    assert found["institutions"] == [{"name": "Skolen", "contact": "Lærer"}]
    assert found["consents"][0]["given_on"] == "2026-01-02"


def test_what_is_asked_for_and_why_has_the_names_of_the_newer_referral() -> None:
    found = body(document(OLDER, PATIENT_1_0))
    assert found["content"] == {"type": {"code": "2", "system": "8455", "name": "Behandling"}}
    assert found["reasons"][0]["text"] == "Plager"
    assert found["request"]["priority"]["code"] == "14"
    assert found["request"]["service"] == {"id": {"code": "x", "text": "Noe"}}
    assert found["diagnoses"][0]["concept"]["system"] == "7170"
    assert found["comments"][0]["codes"] == [{"code": "1"}]


def test_a_referral_1_1_has_its_interpreter_relatives_and_contacts() -> None:
    patient = """<Patient><Name>Fjellbekk, Tindra</Name>
<po:AssistertKommunikasjon><po:Horselsvikt>true</po:Horselsvikt><po:BehovOpphortDato V="2027-01-01"/>
<po:Merknad>Tegn</po:Merknad></po:AssistertKommunikasjon>
<po:ParorendeForesatt><po:Slektskap V="MO" DN="Mor"/><po:Referanseperson><fk1:FamilyName>Fjellbekk</fk1:FamilyName>
</po:Referanseperson></po:ParorendeForesatt>
<ContactPerson><OccupationRole>Lærer</OccupationRole><Referanseperson><fk1:GivenName>Ola</fk1:GivenName>
</Referanseperson></ContactPerson><PatRelInst><NameInst>Skolen</NameInst><RoleInst>SFO</RoleInst></PatRelInst>
<Consent><ConsentStatus V="1" S="2.16.578.1.12.4.1.1.9064"/><ConsentDate>2026-01-02</ConsentDate></Consent></Patient>"""
    found = body(document(NEWER, patient))
    assert found["assistance"] == [{"hearing_loss": True, "needed_until": "2027-01-01", "note": "Tegn"}]
    assert found["relatives"][0]["person"] == {"family_name": "Fjellbekk"}
    assert found["patient_contacts"][0]["position"] == "Lærer"
    assert found["institutions"] == [{"name": "Skolen", "role": "SFO"}]
    assert found["consents"][0]["given_on"] == "2026-01-02"


def test_a_truth_value_of_another_form_is_handed_on_as_it_is_written() -> None:
    patient = '<Patient><NeedTranslator><IsDeaf V="ja"/><IsBlind/></NeedTranslator></Patient>'
    assert body(document(OLDER, patient))["assistance"] == [{"hearing_loss": "ja"}]


def test_an_old_referral_without_content_is_still_a_referral() -> None:
    assert body(f'<Message xmlns="{OLDER}"/>'.encode()) == {"kind": "referral"}


@needs_corpus
@pytest.mark.parametrize("name", ["henvisning_strukturert_v1.1_n.xml", "henvisning_strukturert_v1.0_n.xml"])
def test_real_structured_referrals_keep_diagnoses_findings_and_drugs(name: str) -> None:
    found = body(one(name).read_bytes())
    kinds = {item["content"]["kind"] for item in found["items"]}
    assert {"observation", "medication"} <= kinds
    assert found["diagnoses"]
    assert any(reason["text"] for reason in found["reasons"])
