"""What a message is called on the wire, and which receipt answers it (P13; HISD 1209:2018, HIS 1168 8.3)."""

from __future__ import annotations

import pytest

from adapter.model.process import Process, Signing, apprec_version, national, nav, nav_pairs

TO_NAV = [
    ("DIALOG_SVAR", "8126", "1", "DialogmoteInnkalling", "MoteRespons"),
    ("DIALOG_SVAR", "8126", "3", "DialogmoteInnkalling", "MoteRespons"),
    ("DIALOG_SVAR", "9069", "5", "ForesporselFraSaksbehandler", "ForesporselSvar"),
    ("DIALOG_NOTAT", "8128", "1", "HenvendelseFraLege", "Henvendelse"),
    ("DIALOG_NOTAT", "8128", "2", "HenvendelseFraLege", "Henvendelse"),
]
FROM_NAV = [
    *(("DIALOG_FORESPORSEL", "8125", code, "DialogmoteInnkalling", "MoteInnkalling") for code in "1234"),
    *(("DIALOG_FORESPORSEL", "8129", code, "ForesporselFraSaksbehandler", "Foresporsel") for code in "12"),
    *(("DIALOG_NOTAT", "8127", code, "HenvendelseFraSaksbehandler", "Henvendelse") for code in "2345689"),
    ("DIALOG_NOTAT", "8127", "1", "Oppfolgingsplan", "Plan"),
]


@pytest.mark.parametrize(("msg_type", "code_list", "code", "service", "action"), TO_NAV)
def test_p13_p14_a_doctors_message_to_nav_has_navs_names_and_is_signed_by_a_person(
    msg_type: str, code_list: str, code: str, service: str, action: str
) -> None:
    process = nav(msg_type, code_list, code)
    assert process is not None
    assert (process.service, process.action) == (service, action)
    assert (process.from_role, process.to_role) == ("Sykmelder", "Saksbehandler")
    assert (process.apprec_action, process.signing) == ("Bekreftelse", Signing.PERSON)


@pytest.mark.parametrize(("msg_type", "code_list", "code", "service", "action"), FROM_NAV)
def test_p13_a_message_from_nav_is_known_and_answered_with_kvittering(
    msg_type: str, code_list: str, code: str, service: str, action: str
) -> None:
    process = nav(msg_type, code_list, code)
    assert process is not None
    assert (process.service, process.action) == (service, action)
    assert (process.from_role, process.to_role) == ("Saksbehandler", "Sykmelder")
    assert (process.apprec_action, process.signing) == ("Kvittering", Signing.NONE)


@pytest.mark.parametrize(
    ("msg_type", "code_list", "code"),
    [
        ("DIALOG_NOTAT", None, None),
        ("DIALOG_NOTAT", "8125", "1"),
        ("DIALOG_SVAR", "8128", "1"),
        ("DIALOG_HELSEFAGLIG", "8128", "1"),
        ("HENVISNING_NYTILSTAND", None, None),
    ],
)
def test_p13_what_nav_has_no_process_for_has_none(msg_type: str, code_list: str | None, code: str | None) -> None:
    assert nav(msg_type, code_list, code) is None


def test_p13_the_pairs_that_nav_takes_are_the_three_from_doctors() -> None:
    assert nav_pairs() == {
        ("DialogmoteInnkalling", "MoteRespons"),
        ("ForesporselFraSaksbehandler", "ForesporselSvar"),
        ("HenvendelseFraLege", "Henvendelse"),
    }


@pytest.mark.parametrize("msg_type", ["HENVISNING_NYTILSTAND", "DIALOG_HELSEFAGLIG", "EPIKRISE", "DIALOG_AVVIK"])
def test_p13_national_names_follow_the_formula(msg_type: str) -> None:
    assert national(msg_type) == Process(
        name=msg_type,
        service=f"S-{msg_type}",
        action=msg_type,
        from_role=f"{msg_type}sender",
        to_role=f"{msg_type}receiver",
        apprec_action="APPREC",
        signing=Signing.NONE,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("H", "HENVISNING"), ("E", "EPIKRISE"), ("H_REHAB", "HENVISNING_REHAB"), ("T", "TILBAKEMELD")],
)
def test_old_codes_are_named_by_the_codes_that_took_their_place(old: str, new: str) -> None:
    assert national(old) == national(new)
    assert national(old).service == f"S-{new}"


@pytest.mark.parametrize(
    ("namespace", "version"),
    [
        ("http://www.kith.no/xmlstds/epikrise/2006-09-23", "1.0"),
        ("http://www.kith.no/xmlstds/epikrise/2012-02-15", "1.1"),
        ("http://www.kith.no/xmlstds/henvisning/2005-07-08", "1.0"),
        ("http://www.kith.no/xmlstds/henvisning/2012-02-15", "1.1"),
        ("http://ehelse.no/xmlstds/henvisning/2017-11-30", "1.1"),
        ("http://www.kith.no/xmlstds/dialog/2006-10-11", "1.0"),
        ("http://www.kith.no/xmlstds/dialog/2013-01-23", "1.1"),
        ("http://www.kith.no/xmlstds/po/medisinskeopplysninger/2009-06-30", "1.0"),
        ("http://www.kith.no/xmlstds/po/medisinskeopplysninger/2017-11-30", "1.1"),
        ("urn:unknown", "1.1"),
        ("", "1.1"),
    ],
)
def test_the_message_standard_decides_which_apprec_answers_it(namespace: str, version: str) -> None:
    assert apprec_version(namespace) == version
