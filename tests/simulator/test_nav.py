from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from adapter.security.keys import SigningKey
from adapter.security.xmldsig import sign_document
from adapter.simulator import Simulation, VirtualClock, start
from adapter.simulator.nav import PROCESSES, TEXTS
from adapter.simulator.world import NAV, NAV_NEW, NAV_NEW_SERVICE, SOLVANG, SOLVANG_GP
from adapter.validation.schema import check_schema
from adapter.xmlio import parse
from tests.simulator.caller import Caller, message

US = (SOLVANG, SOLVANG_GP)
LETTER = ("HenvendelseFraLege", "Henvendelse")
ANSWER = ("ForesporselFraSaksbehandler", "ForesporselSvar")
MEETING = ("DialogmoteInnkalling", "MoteRespons")
OID = "2.16.578.1.12.4.1.1."


@pytest.fixture(scope="module")
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="module")
def simulation(clock: VirtualClock) -> Iterator[Simulation]:
    with start(clock=clock) as running:
        yield running


@pytest.fixture
def doctor(simulation: Simulation) -> SigningKey:
    return simulation.keys.persons[("solvang", "lege")]


def _patient(number: str | None = "03829010150", kind: str = "FNR") -> str:
    ident = f'<Ident><Id>{number}</Id><TypeId V="{kind}" S="{OID}8116" DN="-"/></Ident>' if number else ""
    return f"<Patient><FamilyName>Prøve</FamilyName><GivenName>Pål</GivenName>{ident}</Patient>"


def _note(theme: tuple[str, str] = ("8128", "1"), words: str | None = None, question: str = "") -> str:
    words = f"Tekst {uuid.uuid4()}" if words is None else words
    return (
        '<d:Dialogmelding xmlns:d="http://www.kith.no/xmlstds/dialog/2006-10-11"><d:Notat>'
        f'<d:TemaKodet V="{theme[1]}" S="{OID}{theme[0]}" DN="-"/>'
        f"<d:TekstNotatInnhold>{words}</d:TekstNotatInnhold>{question}</d:Notat></d:Dialogmelding>"
    )


def _send(
    caller: Caller,
    key: SigningKey | None,
    process: tuple[str, str] = LETTER,
    *,
    to: tuple[int, int | None] = (NAV, None),
    msg_type: str = "DIALOG_NOTAT",
    change: bytes | None = None,
    overrides: dict[str, Any] | None = None,
    **more: Any,
) -> tuple[str, str]:
    msg_id = str(uuid.uuid4())
    more.setdefault("content", _note())
    more.setdefault("patient", _patient())
    document = message(US, to, msg_type=msg_type, msg_id=msg_id, **more)
    if key is not None:
        document = sign_document(document, key)
    if change is not None:
        document = document.replace(b"Avsender", change)
    names = {"service": process[0], "action": process[1]} if overrides is None else overrides
    answer = caller.send(document, ebXmlOverrides=names)
    assert answer.status_code == 201, answer.text
    return msg_id, answer.json()


def _errors(simulation: Simulation, msg_id: str) -> list[tuple[str, str]]:
    (receipt,) = simulation.receipts(msg_id)
    return list(receipt.errors)


def test_p13_only_the_three_pairs_are_known_and_others_are_parked_without_a_word(
    simulation: Simulation, caller: Caller, doctor: SigningKey
) -> None:
    assert len(PROCESSES) == 3
    for names in ({}, {"service": "S-DIALOG_NOTAT", "action": "DIALOG_NOTAT"}, {"service": "HenvendelseFraLege"}):
        msg_id, id_ = _send(caller, doctor, overrides=names)
        assert simulation.receipts(msg_id) == []
        assert id_ in simulation.navs[NAV].parked
        (status,) = simulation.statuses(msg_id)
        assert (status["transport"], status["apprec"]) == ("Acknowledged", None)


@pytest.mark.parametrize(
    ("process", "theme"),
    [(LETTER, ("8128", "2")), (ANSWER, ("9069", "5")), (ANSWER, ("8129", "1")), (MEETING, ("8126", "3"))],
)
def test_p15_a_good_message_signed_by_a_person_is_accepted(
    simulation: Simulation, caller: Caller, doctor: SigningKey, process: tuple[str, str], theme: tuple[str, str]
) -> None:
    msg_id, _ = _send(caller, doctor, process, content=_note(theme))
    (receipt,) = simulation.receipts(msg_id)
    assert (receipt.status, receipt.acknowledger, receipt.errors) == ("Ok", NAV, ())
    document = simulation.document(receipt.remote_id)
    assert b"apprec/2004-11-21" in document


def test_p14_a_signature_must_be_there_be_sound_and_be_a_persons(
    simulation: Simulation, caller: Caller, doctor: SigningKey
) -> None:
    unsigned, _ = _send(caller, None)
    assert _errors(simulation, unsigned)[0][0] == "S01"
    altered, _ = _send(caller, doctor, change=b"Utsender")
    assert _errors(simulation, altered)[0][0] == "S01"
    company, _ = _send(caller, simulation.keys.companies["solvang"])
    assert _errors(simulation, company)[0][0] == "S02"
    stranger, _ = _send(caller, simulation.keys.issuing.issue_person("Ukjent", "Person", "9578-1"))
    assert _errors(simulation, stranger)[0][0] == "S02"


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        (["patient"], {"patient": ""}),
        (["patient"], {"patient": _patient(None)}),
        (["patient"], {"patient": _patient("0382901015")}),
        (["patient"], {"patient": _patient("03829010150", "HPR")}),
        (["text"], {"content": _note(words="  ")}),
        (["codes"], {"content": _note(("8127", "1"))}),
        (["codes"], {"content": _note(("8128", "9"))}),
        (
            ["codes"],
            {
                "content": '<d:Dialogmelding xmlns:d="http://www.kith.no/xmlstds/dialog/2006-10-11"/>',
                "process": MEETING,
            },
        ),
        (["check"], {"patient": _patient("03829010151")}),
        (["check"], {"patient": _patient("abcdefghijk")}),
        (["same"], {"patient": _patient("11857120150")}),
    ],
)
def test_p15_a_broken_rule_is_an_error_x99(
    simulation: Simulation, caller: Caller, doctor: SigningKey, rules: list[str], more: dict[str, Any]
) -> None:
    msg_id, _ = _send(caller, doctor, **more)
    assert _errors(simulation, msg_id) == [("X99", TEXTS[name]) for name in rules]


def test_p15_an_answer_may_not_quote_a_meeting_call(simulation: Simulation, caller: Caller, doctor: SigningKey) -> None:
    quoted = f'<d:Foresporsel><d:TypeForesp V="1" S="{OID}8125" DN="-"/></d:Foresporsel>'
    msg_id, _ = _send(caller, doctor, ANSWER, content=_note(("9069", "5"), question=quoted))
    assert _errors(simulation, msg_id) == [("X99", TEXTS["codes"])]


def test_p15_every_rule_about_persons_speaks(simulation: Simulation, caller: Caller) -> None:
    from dataclasses import replace

    key = simulation.keys.issuing.issue_person("Syk", "Pleier", "9578-2")
    person = replace(simulation.tenants["solvang"].spec.persons[0], fnr="03829010151", profession="SP")
    simulation.keys.signers[(key.certificate.issuer.rfc4514_string(), key.certificate.serial_number)] = person
    msg_id, _ = _send(caller, key, patient=_patient("03829010151"))
    assert _errors(simulation, msg_id) == [("X99", TEXTS[name]) for name in ("check", "signer", "same", "profession")]


def test_the_same_content_is_refused_as_a_duplicate_even_under_another_msg_id(
    simulation: Simulation, caller: Caller, doctor: SigningKey
) -> None:
    content = _note(words="Akkurat det samme")
    attachment = (
        "</Content></RefDoc></Document><Document><RefDoc><Content>"
        '<b:Base64Container xmlns:b="http://www.kith.no/xmlstds/base64container">JVBERi0%s=</b:Base64Container>'
    )
    first, _ = _send(caller, doctor, content=content + attachment % "x")
    again, _ = _send(caller, doctor, content=content + attachment % "x")
    other, _ = _send(caller, doctor, content=content + attachment % "y")
    assert _errors(simulation, first) == []
    assert _errors(simulation, again)[0][1].startswith("Duplikat!")
    assert _errors(simulation, other) == []


def test_the_new_service_takes_national_names(simulation: Simulation, caller: Caller, doctor: SigningKey) -> None:
    msg_id, _ = _send(caller, doctor, to=(NAV_NEW, NAV_NEW_SERVICE), overrides={})
    (receipt,) = simulation.receipts(msg_id)
    assert receipt.status == "Ok"
    parked, id_ = _send(caller, doctor, to=(NAV_NEW, NAV_NEW_SERVICE), overrides={}, content="<other/>")
    assert simulation.receipts(parked) == []
    assert id_ in simulation.navs[NAV_NEW_SERVICE].parked


def _questions(simulation: Simulation) -> list[Any]:
    return [entry for entry in simulation.ledger if entry.sender == NAV and not entry.is_apprec]


def test_nav_asks_about_the_patient_and_reminds_when_nobody_answers(
    clock: VirtualClock, simulation: Simulation, caller: Caller, doctor: SigningKey
) -> None:
    simulation.script(NAV, "judge", "remind 86400")
    before = len(_questions(simulation))
    _send(caller, doctor)
    (question,) = _questions(simulation)[before:]
    assert question.overrides["service"] == "ForesporselFraSaksbehandler"
    assert question.overrides["action"] == "Foresporsel"
    document = simulation.document(question.remote_id)
    assert check_schema(parse(document)) == []
    assert f'V="1" S="{OID}8129"'.encode() in document
    clock.advance(86_400)
    (reminder,) = _questions(simulation)[before + 1 :]
    document = simulation.document(reminder.remote_id)
    assert f'V="2" S="{OID}8129"'.encode() in document
    assert f"<RefToParent>{question.msg_id}</RefToParent>".encode() in document


def test_an_answer_in_the_conversation_stops_the_reminder(
    clock: VirtualClock, simulation: Simulation, caller: Caller, doctor: SigningKey
) -> None:
    simulation.script(NAV, "judge", "remind 86400")
    before = len(_questions(simulation))
    _send(caller, doctor)
    (question,) = _questions(simulation)[before:]
    conversation = simulation.document(question.remote_id).decode().split("<RefToConversation>")[1].split("<")[0]
    references = (
        f"<ConversationRef><RefToParent>{question.msg_id}</RefToParent>"
        f"<RefToConversation>{conversation}</RefToConversation></ConversationRef>"
    )
    simulation.script(NAV, "judge")
    answer = message(US, (NAV, None), content=_note(("9069", "5")), patient=_patient())
    answer = answer.replace(b"</MsgId>", b"</MsgId>" + references.encode())
    caller.send(sign_document(answer, doctor), ebXmlOverrides={"service": ANSWER[0], "action": ANSWER[1]})
    clock.advance(86_400)
    assert len(_questions(simulation)) == before + 1
