"""P15: NAV's own rules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapter.documents import read_facts
from adapter.validation.rules_nav import content_digest, number_valid
from adapter.xmlio import parse
from tests.validation.cases_base import (
    NAV_ANSWER,
    NAV_INQUIRY,
    NAV_MEETING,
    NOTE_10,
    NOW,
    QUESTION,
    REFERRAL,
    Change,
    cut,
    every,
    good,
    swap,
)
from tests.validation.judging import judged

NO_NUMBER = cut("(<Patient>.*?)<Ident>.*?</Ident>", r"\1")
NO_TEXT = cut("<TekstNotatInnhold>.*?</TekstNotatInnhold>", "<TekstNotatInnhold></TekstNotatInnhold>")
OTHER_THEME = swap("1.1.8128", "1.1.8127")
SIGNED = {"signer_fnr": "12859010081", "signer_profession": "LE"}


@pytest.mark.parametrize("base", [NAV_INQUIRY, NAV_ANSWER, NAV_MEETING])
def test_p15_a_good_message_to_nav_breaks_no_rule(base: str) -> None:
    found = judged(good(base), "out", earlier_content=lambda digest: None, **SIGNED)
    assert [finding.rule for finding in found.findings if finding.rule.startswith("N")] == []
    assert found.judgement.verdict == "accept"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (NO_NUMBER, "Pasienten er ikke funnet i dialogmeldingen eller fnr er ugyldig"),
        (NO_TEXT, "Dialogmeldingen er ikke gyldig: meldingstekst mangler."),
        (
            OTHER_THEME,
            "Dialogmeldingen er ikke gyldig: meldingstypen stemmer ikke med innholdet. Kontakt din EPJ-leverandør.",
        ),
    ],
)
@pytest.mark.parametrize("lang", ["nb", "en"])
def test_p15_the_receipt_has_x99_with_nav_s_own_text(change: Change, name: str, lang: str) -> None:
    found = judged(change(good(NAV_INQUIRY)), lang=lang)
    assert [(error.code, error.name) for error in found.judgement.errors] == [("X99", name)]
    assert found.line["apprec"] == {
        "version": "1.0",
        "status": "2",
        "errors": [{"code": "X99", "system": "8221", "text": name}],
    }


def test_p15_nav_stops_at_the_first_of_its_rules_1_to_8_and_a_sender_hears_of_all() -> None:
    document = every(NO_NUMBER, NO_TEXT, OTHER_THEME)(good(NAV_INQUIRY))
    inbound = {finding.rule for finding in judged(document).findings if finding.rule.startswith("N")}
    outbound = {finding.rule for finding in judged(document, "out", **SIGNED).findings if finding.rule.startswith("N")}
    assert inbound == {"N1"}
    assert {"N1", "N6", "N7"} <= outbound


def test_p15_rules_of_the_signer_all_report() -> None:
    context = {"signer_fnr": "02918542721", "signer_profession": "SP", "partner_is_nav": True}
    document = swap("02918542720", "02918542721")(good(NAV_INQUIRY))
    assert judged(document, **context).codes == ["X99"] * 4  # patient, signer, both the same, profession


def test_p15_a_repeat_is_refused_with_both_times_in_the_name() -> None:
    seen = datetime(2026, 11, 3, 9, 15, tzinfo=UTC)
    for lang in ("nb", "en"):
        found = judged(good(NAV_INQUIRY), lang=lang, earlier_content=lambda digest: seen)
        name = found.judgement.errors[0].name
        assert name == (
            "Duplikat! - Dialogmeldingen fra 2026-11-21T12:00:00 har vi tidligere mottatt den 2026-11-03T09:15:00. "
            "Skal ikke sendes på nytt."
        )


@pytest.mark.parametrize("base", [NOTE_10, QUESTION, REFERRAL])
def test_p15_other_receivers_are_not_judged_by_nav_s_rules(base: str) -> None:
    found = judged(NO_NUMBER(good(base)), "out")
    assert [finding.rule for finding in found.findings if finding.rule.startswith("N")] == []


def test_p15_a_partner_may_be_nav_without_saying_so() -> None:
    document = good(NAV_INQUIRY).replace("889640782", "310045101").replace("<Id>79768</Id>", "<Id>90128</Id>")
    assert not judged(document, "out").of("N16")
    assert judged(document, "out", partner_is_nav=True).of("N16")


def wrapped(document: str, **block: str) -> str:
    attributes = " ".join(f'{name}="{text}"' for name, text in block.items())
    inner = document.split("\n", 1)[1]
    block_ = f"<MottakenhetBlokk {attributes}/>"
    return f'<EI_fellesformat xmlns="http://www.nav.no/xml/eiff/2/">{inner}{block_}</EI_fellesformat>'


def test_p15_the_reception_block_tells_signer_and_action() -> None:
    same = judged(wrapped(good(NAV_INQUIRY), avsenderFnrFraDigSignatur="02918542720", ebAction="Henvendelse"))
    assert same.of("N13")[0].severity == "error"
    # The envelope says that it answers a meeting; the theme says that it answers a request.
    other = judged(wrapped(good(NAV_ANSWER), ebAction="MoteRespons"))
    assert other.of("N7")
    assert not judged(wrapped(good(NAV_ANSWER), ebAction="ForesporselSvar")).of("N7")


def test_p15_a_type_that_nav_does_not_know_is_not_judged_by_theme() -> None:
    document = good(QUESTION).replace("8091102", "79768").replace("8091100", "79768")
    found = judged(document, partner_is_nav=True, **SIGNED)
    assert not found.of("N7")
    assert not found.of("N6")


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("12859010081", True),
        ("41817010049", True),
        ("12859010082", False),
        ("12859010181", False),
        ("1285901008", False),
        ("00000000000", False),
        ("32859010081", False),
        ("30108299939", False),  # only right by the rule of 2032, which NAV does not have yet
    ],
)
def test_nav_checks_digits_by_the_old_rule(digits: str, valid: bool) -> None:
    assert number_valid(digits) is valid


def digest(document: str, pieces: tuple[bytes, ...] = ()) -> str:
    return content_digest(read_facts(parse(document.encode())), pieces)


def test_content_is_the_same_under_another_head_and_another_when_text_patient_or_attachment_differ() -> None:
    pdf = good("referral-frisklivssentral-pdf")
    again = cut("<MsgId>.*?</MsgId>", "<MsgId>0</MsgId>")(pdf)
    assert digest(pdf) == digest(again)
    assert digest(pdf) != digest(cut("(<TextResultValue>)", r"\1Nytt. ")(pdf))
    assert digest(pdf) != digest(cut("(<Patient>.*?<Id>)[0-9]+", r"\g<1>12859010081")(pdf))
    assert digest(pdf) != digest(pdf.replace("JVBERi0xLjQ", "JVBERi0xLjU"))


def test_content_is_the_same_before_and_after_the_attachments_are_put_in() -> None:
    import base64
    import re

    pdf = good("referral-frisklivssentral-pdf")
    raw = tuple(base64.b64decode(text) for text in re.findall("Base64Container[^>]*>([^<]+)<", pdf))
    skeleton = re.sub("(Base64Container[^>]*>)[^<]+<", r"\1TUFSS0VS<", pdf)
    assert digest(skeleton, raw) == digest(pdf)
    assert digest(skeleton) != digest(pdf)


def test_a_time_that_nobody_gave_is_the_earlier_one() -> None:
    found = judged(good(NAV_INQUIRY), now=None, earlier_content=lambda digest: NOW)
    assert "2026-11-21T12:00:00" in found.of("N2")[0].text
