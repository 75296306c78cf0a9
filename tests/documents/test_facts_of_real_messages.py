from __future__ import annotations

import json

import pytest

from adapter.documents import read_facts, read_message, unwrap
from adapter.errors import UnreadableError
from adapter.model.document import Facts, Family
from adapter.xmlio import parse
from tests.documents.corpus import CORPUS, expected, needs_corpus, one

pytestmark = needs_corpus
READABLE = sorted(name for name, known in expected().items() if known["readable"])
UNREADABLE = sorted(name for name, known in expected().items() if not known["readable"])


def facts_of(name: str) -> Facts:
    return read_facts(unwrap(parse(one(name).read_bytes())))


@pytest.mark.parametrize("name", READABLE)
def test_kind_type_and_id_of_every_readable_file_are_found(name: str) -> None:
    known = expected()[name]
    facts = read_facts(unwrap(parse((CORPUS / name).read_bytes())))
    assert (facts.kind, facts.msg_type, facts.msg_id) == (known["kind"], known["msg_type"], known["msg_id"])
    assert facts.namespace == known["namespace"]


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_file_never_reaches_the_readers(name: str) -> None:
    with pytest.raises(UnreadableError):
        parse((CORPUS / name).read_bytes())


def test_a_referral_2_0_gives_both_levels_and_what_the_journeys_need() -> None:
    facts = facts_of("Henvisning_ny_tilstand_v2-0_Uten_rettighetsvurdering_Kansellering.xml")
    assert facts.sender is not None
    assert facts.receiver is not None
    assert (facts.sender.her_id(1), facts.sender.her_id(2)) == ("127731", "999998")
    assert facts.receiver.service is not None
    assert facts.receiver.service.name == "Oral kirurgi og medisin"
    assert (facts.family, facts.version) == (Family.MSGHEAD, "2.0")
    assert (facts.service_type, facts.priority) == ("C", "N")
    assert facts.document_id == "47f22b00-1f18-11e9-b56e-0800200c9a66"
    assert facts.conversation is not None
    assert facts.conversation.conversation == "dc90b9b0-1f14-11e9-b56e-0800200c9a66"
    assert facts.receipt_id == facts.msg_id


def test_a_copy_receiver_and_a_doctor_as_level_2_are_found() -> None:
    facts = facts_of("Status_paa_henvisning-InnkaltEtterViderehenvisning.xml")
    assert [(copy.her_id(1), copy.her_id(2)) for copy in facts.copies] == [("56704", "258521")]
    assert facts.copies[0].person is not None
    assert facts.copies[0].person.role is not None
    assert facts.copies[0].person.role.code == "6"


def test_a_referral_1_0_is_answered_by_its_document_id() -> None:
    facts = facts_of("henvisning_v1.0_n.xml")
    assert facts.family is Family.HCP
    assert facts.receipt_id == facts.document_id
    assert facts.receipt_id != facts.msg_id


def test_a_referral_1_1_is_answered_by_its_message_id_and_shows_an_emergency() -> None:
    facts = facts_of("henvisning_strukturert_v1.1_n.xml")
    assert facts.receipt_id == facts.msg_id
    assert facts.emergency
    assert facts.sender is not None
    assert facts.sender.person is not None
    assert facts.sender.person.family_name == "Rita Lin"
    assert (facts.sender.her_id(1), facts.sender.her_id(2)) == ("56704", "258521")
    assert facts.gen_date == "2017-01-21T11:11:41"


def test_an_epikrise_1_1_is_sent_by_the_provider_and_answered_by_its_own_id() -> None:
    facts = facts_of("epikrise_v1.1_n.xml")
    assert facts.receipt_id == "05900740-46cb-11e7-9598-0800200c9a66"
    assert facts.version == "1.1"
    assert facts.sender is not None
    assert facts.receiver is not None


def test_a_file_for_us_as_copy_shows_the_copy() -> None:
    assert len(facts_of("TestcaseHenvisningMottak/Case1-26.xml").copies) == 1


def test_references_in_the_wrong_order_are_read_all_the_same() -> None:
    facts = facts_of("padm2/dialogmelding_dialog_notat.xml")
    assert facts.conversation is not None
    assert facts.conversation.parent
    assert facts.conversation.conversation.startswith("37340D30")


def test_an_emptied_sender_is_no_party() -> None:
    assert facts_of("Testcase-Dialogmeldingen/Case1-16b.xml").sender is None
    assert facts_of("TestcaseHenvisningMottak/Case1-21-a.xml").sender is None
    assert facts_of("TestcaseHenvisningMottak/Case1-21-b.xml").sender is None


def test_an_emptied_patient_is_present_without_name_and_number() -> None:
    facts = facts_of("Testcase-Dialogmeldingen/Case1-14a.xml")
    assert facts.patient_present
    assert facts.patient is not None
    assert not facts.patient.family_name
    assert [ident.id for ident in facts.patient.idents] == [""]


def test_a_birth_date_with_one_digit_is_understood() -> None:
    facts = facts_of("padm2/dialogmelding_dialog_svar_innkalling_dialogmote.xml")
    assert facts.patient is not None
    assert facts.patient.born is not None
    assert facts.patient.born.isoformat() == "1991-12-04"


def test_attachments_come_in_their_order_with_type_and_text() -> None:
    facts = facts_of("Viderehenvisning_v2-0_Uten_rettighetsvurdering_Ny.xml")
    assert [item.mime_type for item in facts.attachments] == ["application/pdf"]
    assert facts.attachments[0].base64_chars > 100
    assert facts.attachments[0].path == "/MsgHead/Document[2]/RefDoc/Content/Base64Container"


def test_an_application_receipt_names_what_it_answers_and_who_answers() -> None:
    facts = facts_of("app-rec/1.1/example-avvist.xml")
    original = facts.original
    assert original is not None
    assert original.status == "2"
    assert original.errors
    assert all(error.system == "8221" for error in original.errors)
    assert original.acknowledger is not None
    assert original.apprec_version == "1.1"


def test_a_receipt_with_hardly_anything_in_it_is_still_read() -> None:
    facts = facts_of("app-rec/unknown-migversion.xml")
    assert facts.original is not None
    assert (facts.original.status, facts.original.msg_id, facts.original.errors) == (None, None, ())
    assert facts.mig_version == "123"


@pytest.mark.parametrize("name", READABLE)
def test_the_content_of_every_readable_file_is_json(name: str) -> None:
    root = unwrap(parse((CORPUS / name).read_bytes()))
    facts = read_facts(root)
    found = json.loads(json.dumps(read_message(root, facts)))
    assert found["msg_id"] == facts.msg_id
    kinds = {"Henvisning": "referral", "Dialogmelding": "dialogue", "AppRec": "receipt"}
    if facts.kind in kinds:
        assert found["body"]["kind"] == kinds[facts.kind]
        assert len(found["body"]) > 1
    assert [entry["index"] for entry in found["attachments"]] == list(range(len(facts.attachments)))
