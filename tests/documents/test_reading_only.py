"""Parts that are read and never built: forwarded referrals, questions in version 1.1, receipts as content."""

from __future__ import annotations

import json
from typing import Any

from adapter.documents import build_apprec, build_document, read_facts, read_message
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.xmlio import Element, parse, serialise
from tests.documents import everything
from tests.documents.corpus import needs_corpus, one

H = "http://ehelse.no/xmlstds/henvisning/2017-11-30"
DIALOGUE = "http://www.kith.no/xmlstds/dialog/2013-01-23"


def body(root: Element) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(read_message(root, read_facts(root))["body"]))
    return found


def test_the_assessment_of_a_forwarded_referral_is_read() -> None:
    root = build_document(everything.message(everything.REFERRAL), everything.head()).root
    (referral,) = root.iter(f"{{{H}}}Henvisning")
    referral.append(
        parse(
            f"""<VurderingAvHenvisning xmlns="{H}"><DatoMottakOgVurdering><TypeDato V="1"
 S="2.16.578.1.12.4.1.1.9147" DN="Ansiennitetsdato"/><Dato>2026-11-01</Dato></DatoMottakOgVurdering>
<Opplysninger><FrittSykehusvalg>false</FrittSykehusvalg><ForlopsId>f-1</ForlopsId>
<RettTilHelsehjelp>true</RettTilHelsehjelp><UtfallAvVurdering V="2"/></Opplysninger>
</VurderingAvHenvisning>""".encode()
        )
    )
    assert body(root)["assessment"] == {
        "dates": [{"type": {"code": "1", "system": "9147", "name": "Ansiennitetsdato"}, "date": "2026-11-01"}],
        "details": {
            "free_choice": False,
            "course_id": "f-1",
            "right_to_care": True,
            "outcome": {"code": "2", "system": "8485"},
        },
    }


@needs_corpus
def test_a_real_forwarded_referral_keeps_its_dates_and_pathways() -> None:
    name = "Viderehenvisning_v2-0_Rettighetsvurdert_etter_ventetid_pakkeforlop_Ny.xml"
    found = body(parse(one(name).read_bytes()))
    assert [entry["type"]["code"] for entry in found["assessment"]["dates"]] == ["1", "2", "3", "4"]
    assert [pathway["code"]["code"] for pathway in found["pathways"]] == ["A16A", "A16S", "A16CK"]


def test_a_question_of_version_1_1_has_its_subject_its_formatted_text_and_all_journal_parts() -> None:
    root = build_document(everything.message(everything.FORMATTED), everything.head()).root
    (dialogue,) = root.iter(f"{{{DIALOGUE}}}Dialogmelding")
    dialogue[:] = [
        parse(
            f"""<Foresporsel xmlns="{DIALOGUE}"><TypeForesp V="5" S="2.16.578.1.12.4.1.1.8331" DN="Fritekst"/>
<EmneSporsmal>Emne</EmneSporsmal><Sporsmal><p xmlns="http://www.w3.org/1999/xhtml">Hva?</p></Sporsmal>
<TypeJournalinfo V="1"/><TypeJournalinfo V="2"/><KodetOpplysning V="9"/><DokIdForesp>d</DokIdForesp>
</Foresporsel>""".encode()
        )
    ]
    (question,) = body(root)["questions"]
    assert (question["subject"], question["text"]) == ("Emne", "Hva?")
    assert question["xhtml"] == '<div xmlns="http://www.w3.org/1999/xhtml"><p>Hva?</p></div>'
    assert question["journal_parts"] == [{"code": "1"}, {"code": "2"}]
    assert question["coded"] == {"code": "9"}


def test_a_receipt_as_content_says_what_it_answers() -> None:
    root = parse(serialise(build_document(everything.message(everything.REFERRAL), everything.head()).root))
    receipt = build_apprec(
        read_facts(root),
        verdict=Verdict(status=ReceiptStatus.OK),
        receipt_id="8f0f3c3e-1a1f-4a57-9a0a-0d5a2b6b7c01",
        gen_date=everything.WHEN,
        version="1.1",
    )
    found = body(receipt)
    assert (found["kind"], found["status"], found["msg_id"]) == ("receipt", "1", everything.head().msg_id)
