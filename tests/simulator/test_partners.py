from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from adapter.errors import SettingsError, Severity
from adapter.flow.check import CheckContext, check_document
from adapter.simulator import BEHAVIOURS, Simulation, VirtualClock, start
from adapter.simulator.addressing import read_envelope
from adapter.simulator.partners import read_script
from adapter.simulator.world import GRANLI, GRANLI_FRISKLIV, SOLVANG, SOLVANG_GP
from adapter.validation.schema import check_schema
from adapter.validation.subject import RuleContext
from adapter.xmlio import parse
from tests.simulator.caller import Caller, message

US, FRISKLIV = (SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV)
PATIENT = (
    "<Patient><FamilyName>Prøve</FamilyName><GivenName>Pål</GivenName><Ident><Id>03829010150</Id>"
    '<TypeId V="FNR" S="2.16.578.1.12.4.1.1.8116" DN="Fødselsnummer"/></Ident></Patient>'
)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def simulation(clock: VirtualClock) -> Iterator[Simulation]:
    with start(clock=clock) as running:
        yield running


def _status(caller: Caller, id_: str) -> tuple[str, str | None]:
    (line,) = caller.call("GET", f"/Messages/{id_}/status").json()
    return line["transportDeliveryState"], line["appRecStatus"]


def test_an_epikrise_is_receipted_by_its_report_number(simulation: Simulation, caller: Caller) -> None:
    document = HCP_REFERRAL.replace("henvisning/%s", "epikrise/2006-09-23") % ("E", "m")
    document = document.replace("ServReq>", "ServRprt>").replace("<Id>req-1</Id>", "<ServProvId>rep-1</ServProvId>")
    turned = document.replace("ServProvider>", "X>").replace("Requester>", "ServProvider>").replace("X>", "Requester>")
    assert caller.send(turned.encode()).status_code == 201
    (item,) = caller.unread(8091302)
    receipt = caller.fetch(item["id"]).decode()
    assert "<Id>rep-1</Id></OriginalMsgId>" in receipt
    assert "apprec/2004-11-21" in receipt


def _send(caller: Caller, *behaviours: str, **more: Any) -> str:
    caller.simulation.script(GRANLI_FRISKLIV, *behaviours)
    answer = caller.send(message(US, FRISKLIV, **more))
    assert answer.status_code == 201, answer.text
    return str(answer.json())


@pytest.mark.parametrize(
    ("behaviours", "expected", "waiting"),
    [
        (["ack now"], ("Acknowledged", "Ok"), 1),
        (["ack never"], ("Unconfirmed", None), 0),
        (["transport reject"], ("Rejected", None), 0),
        (["silent"], ("Acknowledged", None), 0),
        (["apprec rejected E21"], ("Acknowledged", "Rejected"), 1),
        (["apprec partial"], ("Acknowledged", "OkErrorInMessagePart"), 1),
        (["apprec twice"], ("Acknowledged", "Ok"), 2),
        (["apprec contradictory"], ("Acknowledged", "Ok"), 2),
        (["garbage"], ("Acknowledged", "Ok"), 2),
        (["reply"], ("Acknowledged", "Ok"), 2),
        (["reply", "duplicate"], ("Acknowledged", "Ok"), 3),
    ],
)
def test_each_behaviour_does_what_its_name_says(
    simulation: Simulation, caller: Caller, behaviours: list[str], expected: tuple[str, str | None], waiting: int
) -> None:
    id_ = _send(caller, *behaviours)
    assert _status(caller, id_) == expected
    assert len(caller.unread(SOLVANG_GP)) == waiting


def test_late_behaviours_follow_the_clock(clock: VirtualClock, caller: Caller) -> None:
    id_ = _send(caller, "ack late 60", "apprec late 3600")
    assert _status(caller, id_) == ("Unconfirmed", None)
    clock.advance(59)
    assert _status(caller, id_) == ("Unconfirmed", None)
    clock.advance(1)
    assert _status(caller, id_) == ("Acknowledged", None)
    clock.advance(3600)
    assert _status(caller, id_) == ("Acknowledged", "Ok")


def test_a_rejection_carries_its_code_and_words(caller: Caller) -> None:
    id_ = _send(caller, "apprec rejected E36 mangler navn")
    (line,) = caller.call("GET", f"/Messages/{id_}/apprec").json()
    (error,) = line["appRecErrorList"]
    assert (error["errorCode"], error["details"]) == ("E36", "mangler navn")
    (item,) = caller.unread(SOLVANG_GP)
    assert 'OT="mangler navn"' in caller.fetch(item["id"]).decode()


def test_a_script_may_be_for_one_message_only(simulation: Simulation, caller: Caller) -> None:
    special = str(uuid.uuid4())
    simulation.script(GRANLI_FRISKLIV, "silent", msg_id=special.upper())
    assert _status(caller, caller.send(message(US, FRISKLIV, msg_id=special)).json())[1] is None
    assert _status(caller, caller.send(message(US, FRISKLIV)).json())[1] == "Ok"


def test_a_repeat_is_passed_over_in_silence_or_refused_when_the_script_says_so(caller: Caller) -> None:
    msg_id = str(uuid.uuid4())
    first = _send(caller, "apprec ok", msg_id=msg_id)
    assert _status(caller, first) == ("Acknowledged", "Ok")
    second = _send(caller, "apprec ok", msg_id=msg_id)
    assert _status(caller, second) == ("Acknowledged", None)
    third = _send(caller, "refuse repeats", msg_id=msg_id)
    assert _status(caller, third) == ("Acknowledged", "Rejected")
    assert _status(caller, first) == ("Acknowledged", "Ok")
    refusal = caller.simulation.receipts(msg_id)[-1]
    assert refusal.errors[0][1].startswith("Duplikat!")


def test_a_duplicate_reply_has_the_same_bytes_under_two_ids(simulation: Simulation, caller: Caller) -> None:
    _send(caller, "reply", "duplicate", msg_type="HENVISNING_NYTILSTAND", patient=PATIENT)
    letters = [item for item in caller.unread(SOLVANG_GP) if not item["isAppRec"]]
    assert len({item["id"] for item in letters}) == 2
    assert len({caller.fetch(item["id"]) for item in letters}) == 1


QUESTION = (
    '<d:Dialogmelding xmlns:d="http://www.kith.no/xmlstds/dialog/2006-10-11"><d:Foresporsel>'
    '<d:TypeForesp V="1" S="2.16.578.1.12.4.1.1.9152" DN="Helseopplysninger"/><d:Sporsmal>Hva?</d:Sporsmal>'
    "<d:DokIdForesp>dok-1</d:DokIdForesp></d:Foresporsel></d:Dialogmelding>"
)


@pytest.mark.parametrize(
    ("msg_type", "content", "answered_with", "namespace"),
    [
        ("HENVISNING_NYTILSTAND", None, "DIALOG_STATUS_HENVISNING", "http://www.kith.no/xmlstds/dialog/2013-01-23"),
        ("DIALOG_HELSEFAGLIG", None, "DIALOG_HELSEFAGLIG", "http://www.kith.no/xmlstds/dialog/2013-01-23"),
        ("DIALOG_FORESPORSEL", QUESTION, "DIALOG_SVAR", "http://www.kith.no/xmlstds/dialog/2006-10-11"),
    ],
)
def test_a_reply_fits_the_message_passes_every_check_and_names_it_as_its_parent(
    caller: Caller, msg_type: str, content: str | None, answered_with: str, namespace: str
) -> None:
    msg_id = str(uuid.uuid4())
    more = {"content": content} if content else {}
    _send(caller, "reply", msg_type=msg_type, msg_id=msg_id, patient=PATIENT, **more)
    (item,) = (item for item in caller.unread(SOLVANG_GP) if not item["isAppRec"])
    assert item["senderHerId"] == GRANLI_FRISKLIV
    document = caller.fetch(item["id"])
    envelope = read_envelope(document)
    assert envelope is not None
    assert (envelope.msg_type, envelope.namespace) == (answered_with, namespace)
    directions: tuple[Literal["in", "out"], ...] = ("in", "out")
    for direction in directions:
        context = CheckContext(rules=RuleContext(direction=direction))
        checked = check_document(document, context, at=caller.simulation.clock())
        assert [f.rule for f in checked.findings if f.severity is not Severity.INFO] == []
    assert document.decode().count(msg_id) == 2, "parent and conversation"
    assert "<FamilyName>Prøve</FamilyName>" in document.decode()
    assert "03829010150" in document.decode()
    if answered_with == "DIALOG_SVAR":
        assert document.decode().count("dok-1") == 2, "the question is repeated and its id named"


@pytest.mark.parametrize("namespace", ["2004-11-21", "2012-02-15"])
def test_an_apprec_of_either_version_is_schema_valid(caller: Caller, namespace: str) -> None:
    dialogue = "2006-10-11" if namespace == "2004-11-21" else "2013-01-23"
    content = f'<d:Dialogmelding xmlns:d="http://www.kith.no/xmlstds/dialog/{dialogue}"/>'
    _send(caller, "apprec rejected X99 ord", content=content, patient=PATIENT)
    (item,) = caller.unread(SOLVANG_GP)
    root = parse(caller.fetch(item["id"]))
    assert root.tag == f"{{http://www.kith.no/xmlstds/apprec/{namespace}}}AppRec"
    assert check_schema(root) == []


HCP_REFERRAL = """<?xml version="1.0" encoding="UTF-8"?>
<Message xmlns="http://www.kith.no/xmlstds/henvisning/%s"><Type V="%s"/><MIGversion>v</MIGversion>
<GenDate V="2026-03-02T10:00:00"/><MsgId>%s</MsgId><ServReq><Id>req-1</Id>
<Patient><Name>Prøve, Pål</Name><OffId>03829010150</OffId><TypeOffId V="FNR"/></Patient>
<ServProvider><HCP><Inst><Name>Granli</Name><Id>8091100</Id><TypeId V="HER"/><Dept><Name>Friskliv</Name>
<Id>8.091.101</Id><TypeId V="HER"/></Dept></Inst></HCP></ServProvider>
<Requester><HCP><Inst><Name>Solvang</Name><Id>310045101</Id><TypeId V="ENH"/><AdditionalId><Id>8091300</Id>
<Type V="HER"/></AdditionalId><HCPerson><Name>Sol</Name><Id>9311001</Id><TypeId V="HPR"/><AdditionalId>
<Id>8091302</Id><Type V="HER"/></AdditionalId></HCPerson></Inst></HCP></Requester></ServReq></Message>"""


@pytest.mark.parametrize(
    ("namespace", "type_", "named"), [("2005-07-08", "H", "req-1"), ("2012-02-15", "HENVISNING", None)]
)
def test_a_referral_in_hcp_form_is_addressed_receipted_and_answered(
    caller: Caller, namespace: str, type_: str, named: str | None
) -> None:
    msg_id = str(uuid.uuid4())
    caller.simulation.script(GRANLI_FRISKLIV, "reply")
    sent = caller.send((HCP_REFERRAL % (namespace, type_, msg_id)).encode())
    assert sent.status_code == 201
    items = caller.unread(8091302)
    receipt = next(item for item in items if item["isAppRec"])
    document = caller.fetch(receipt["id"]).decode()
    assert f"<Id>{named or msg_id}</Id></OriginalMsgId>" in document
    assert "<AdditionalId><Id>8091302</Id>" in document
    assert check_schema(parse(document.encode())) == []
    letter = next(item for item in items if not item["isAppRec"])
    assert check_schema(parse(caller.fetch(letter["id"]))) == []


def test_an_epikrise_in_hcp_form_is_sent_by_its_provider() -> None:
    document = HCP_REFERRAL.replace("henvisning/%s", "epikrise/2006-09-23") % ("E", "m")
    document = document.replace("ServReq>", "ServRprt>").replace("<Id>req-1</Id>", "<ServProvId>rep-1</ServProvId>")
    envelope = read_envelope(document.encode())
    assert envelope is not None
    assert (envelope.sender.level2, envelope.receivers[0].level2, envelope.msg_type) == (8091101, 8091302, "EPIKRISE")
    nobody = b'<?xml version="1.0" encoding="UTF-8"?><Message xmlns="x"/>'
    assert read_envelope(nobody) is None


def test_every_named_behaviour_can_be_scripted_and_others_cannot() -> None:
    for name in BEHAVIOURS:
        argument = " 60" if name in ("ack late", "apprec late", "remind") else ""
        read_script([name + argument])
    for bad in ("dance", "ack late", "ack late soon", "acknowledge"):
        with pytest.raises(SettingsError):
            read_script([bad])


def test_an_apprec_to_a_partner_is_acknowledged_and_never_answered(simulation: Simulation, caller: Caller) -> None:
    inbound = simulation.inject(message(FRISKLIV, US), SOLVANG_GP)
    answer = caller.call("POST", f"/Messages/{inbound}/apprec/{SOLVANG_GP}", body={"appRecStatus": "Ok"})
    assert _status(caller, answer.json()) == ("Acknowledged", None)
    assert [item for item in caller.unread(SOLVANG_GP) if item["isAppRec"]] == []
