from __future__ import annotations

from datetime import datetime

import pytest

from adapter.codes import Coded
from adapter.documents import build_apprec, read_apprec, read_facts, unwrap
from adapter.errors import InputError, UnsupportedError
from adapter.model.document import Facts, Family
from adapter.model.party import Ident, Party, Professional, Unit
from adapter.model.receipt import ReceiptStatus, Verdict
from adapter.validation.schema import check_schema
from adapter.xmlio import Element, parse, serialise
from tests.documents.corpus import expected, needs_corpus, one
from tests.documents.official import faults, needs_schemas

OK = Verdict(status=ReceiptStatus.OK)
REJECTED = Verdict(
    status=ReceiptStatus.REJECTED,
    errors=(Coded("T02"), Coded("X99", "8221", None, "Se feltet Sender.")),
)
RECEIPT_ID = "8f0f3c3e-1a1f-4a57-9a0a-0d5a2b6b7c01"
NOW = datetime(2026, 11, 20, 10, 15, 30)


def her(number: str) -> Ident:
    return Ident(id=number, type="HER", name="Identifikator fra registeret")


def enh(number: str) -> Ident:
    return Ident(id=number, type="ENH")


def doctor(*idents: Ident) -> Professional:
    return Professional(family_name="Vang", given_name="Sol", middle_name="Li", idents=idents)


SERVICE = Unit(name="Frisklivssentral", idents=(her("20"), Ident(id="20x", type="RSH")))
US = Party(organisation=Unit(name="Kommunen", idents=(her("2"), enh("312045303"))), service=SERVICE)
THEM = Party(
    organisation=Unit(name="Legekontoret", idents=(enh("310045101"), her("1"))),
    person=doctor(Ident(id="10", type="HER", system="8116"), Ident(id="9311001", type="HPR", system="8116")),
)


def facts(**more: object) -> Facts:
    known: dict[str, object] = {
        "family": Family.MSGHEAD,
        "kind": "Henvisning",
        "namespace": "http://ehelse.no/xmlstds/henvisning/2017-11-30",
        "msg_type": "HENVISNING_NYTILSTAND",
        "msg_type_name": "Henvisning ny tilstand",
        "gen_date": "2026-11-20T10:00:00.1234567+01:00",
        "receipt_id": "37340D30-FE14-42B5-985F-A8FF8FFA0CB5",
        "sender": THEM,
        "receiver": US,
    }
    return Facts(**{**known, **more})  # type: ignore[arg-type]


def build(message: Facts, verdict: Verdict = OK, version: str = "1.1", acknowledger: int = 0) -> Element:
    return build_apprec(
        message,
        acknowledger=acknowledger,
        verdict=verdict,
        receipt_id=RECEIPT_ID,
        gen_date=NOW,
        version=version,
        software=("adapter", "0.1.0"),
    )


def shape(element: Element | None) -> list[object]:
    """Names, texts and V of an element's tree, as nested lists."""
    assert element is not None
    return [[part.tag.rsplit("}", 1)[-1], shape(part) if len(part) else part.get("V") or part.text] for part in element]


def party(root: Element, name: str) -> list[object]:
    return shape(root.find(f"{{*}}{name}"))


def test_the_acknowledging_service_becomes_the_sender_with_all_its_ids() -> None:
    assert party(build(facts()), "Sender") == [
        ["Role", "PRIM"],
        [
            "HCP",
            [
                [
                    "Inst",
                    [
                        ["Name", "Kommunen"],
                        ["Id", "2"],
                        ["TypeId", "HER"],
                        [
                            "Dept",
                            [
                                ["Name", "Frisklivssentral"],
                                ["Id", "20"],
                                ["TypeId", "HER"],
                                ["AdditionalId", [["Id", "20x"], ["Type", "RSH"]]],
                            ],
                        ],
                        ["AdditionalId", [["Id", "312045303"], ["Type", "ENH"]]],
                    ],
                ]
            ],
        ],
    ]


def test_a_sending_doctor_becomes_a_person_and_the_order_of_ids_is_kept() -> None:
    assert party(build(facts()), "Receiver") == [
        ["Role", "AVS"],
        [
            "HCP",
            [
                [
                    "Inst",
                    [
                        ["Name", "Legekontoret"],
                        ["Id", "310045101"],
                        ["TypeId", "ENH"],
                        ["AdditionalId", [["Id", "1"], ["Type", "HER"]]],
                        [
                            "HCPerson",
                            [
                                ["Name", "Sol Li Vang"],
                                ["Id", "10"],
                                ["TypeId", "HER"],
                                ["AdditionalId", [["Id", "9311001"], ["Type", "HPR"]]],
                            ],
                        ],
                    ],
                ]
            ],
        ],
    ]


def test_a_her_id_is_always_named_her_id() -> None:
    root = build(facts())
    shown = {element.get("DN") for element in root.iter("{*}TypeId", "{*}Type") if element.get("V") == "HER"}
    assert shown == {"HER-id"}


def test_a_professional_who_only_signs_beside_a_service_is_not_mirrored() -> None:
    signing = Party(organisation=THEM.organisation, service=SERVICE, person=doctor(Ident(id="1", type="HPR")))
    root = build(facts(sender=signing))
    assert root.find("{*}Receiver//{*}HCPerson") is None
    assert root.find("{*}Receiver//{*}Dept") is not None


def test_a_person_who_carries_the_only_her_id_of_level_2_is_mirrored_beside_the_department() -> None:
    local = Unit(name="Medisinsk", idents=(Ident(id="8750", type="LAV"),))
    both = Party(organisation=THEM.organisation, service=local, person=doctor(Ident(id="10", type="HER")))
    assert build(facts(sender=both)).find("{*}Receiver//{*}HCPerson") is not None


def test_a_lone_professional_is_mirrored_as_such() -> None:
    alone = Party(organisation=Unit(name=""), person=doctor(Ident(id="9311001", type="HPR", system="8116")))
    assert party(build(facts(sender=alone)), "Receiver")[1] == [
        "HCP",
        [["HCProf", [["Name", "Sol Li Vang"], ["Id", "9311001"], ["TypeId", "HPR"]]]],
    ]


@pytest.mark.parametrize(
    ("version", "acknowledger", "more", "roles"),
    [
        ("1.1", 0, {}, ("PRIM", "AVS")),
        ("1.1", 1, {}, ("COP", "AVS")),
        ("1.0", 0, {}, ("SPR", "RECEIVER")),
        ("1.0", 1, {}, ("COP", "RECEIVER")),
        (
            "1.0",
            0,
            {"family": Family.HCP, "namespace": "http://www.kith.no/xmlstds/epikrise/2006-09-23"},
            ("REQ", "RECEIVER"),
        ),
        (
            "1.0",
            0,
            {"family": Family.HCP, "namespace": "http://www.kith.no/xmlstds/henvisning/2005-07-08"},
            ("SPR", "RECEIVER"),
        ),
    ],
)
def test_roles_follow_version_and_recipient(
    version: str, acknowledger: int, more: dict[str, object], roles: tuple[str, str]
) -> None:
    root = build(facts(copies=(THEM,), **more), version=version, acknowledger=acknowledger)
    found = tuple(root.find(f"{{*}}{name}/{{*}}Role").get("V") for name in ("Sender", "Receiver"))  # type: ignore[union-attr]
    assert found == roles


def test_the_original_is_named_byte_for_byte() -> None:
    original = read_apprec(build(facts()))
    assert original.issue_date == "2026-11-20T10:00:00.1234567+01:00"
    assert original.msg_id == "37340D30-FE14-42B5-985F-A8FF8FFA0CB5"
    assert original.msg_type == "HENVISNING_NYTILSTAND"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("H", "HENVISNING"),
        ("E", "EPIKRISE"),
        ("H_REHAB", "HENVISNING_REHAB"),
        ("T", "TILBAKEMELD"),
        ("HENVISNING", "HENVISNING"),
        (None, "HENVISNING"),
    ],
)
def test_one_letter_types_of_old_messages_get_their_long_names(written: str | None, named: str) -> None:
    old = facts(family=Family.HCP, namespace="http://www.kith.no/xmlstds/henvisning/2005-07-08", msg_type=written)
    root = build(old, version="1.0")
    assert read_apprec(root).msg_type == named
    assert root.find("{*}OriginalMsgId/{*}MsgType").get("DN")  # type: ignore[union-attr]


def test_an_epikrise_without_type_is_named_as_one() -> None:
    old = facts(family=Family.HCP, namespace="http://www.kith.no/xmlstds/epikrise/2006-09-23", msg_type=None)
    assert read_apprec(build(old, version="1.0")).msg_type == "EPIKRISE"


@pytest.mark.parametrize(
    ("written", "issued"),
    [("2026-11-20", "2026-11-20T00:00:00"), ("yesterday", "2026-11-20T10:15:30"), (None, "2026-11-20T10:15:30")],
)
def test_a_gen_date_that_is_no_time_still_gives_a_valid_receipt(written: str | None, issued: str) -> None:
    assert read_apprec(build(facts(gen_date=written))).issue_date == issued


def test_errors_carry_list_name_and_further_text() -> None:
    root = build(facts(), REJECTED)
    errors = read_apprec(root).errors
    assert [error.code for error in errors] == ["T02", "X99"]
    assert {error.system for error in errors} == {"8221"}
    assert errors[0].name == "XML validerer ikke"
    assert errors[1].text == "Se feltet Sender."
    assert root.find("{*}Error").get("S") == "2.16.578.1.12.4.1.1.8221"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(status=ReceiptStatus.REJECTED),
        Verdict(status=ReceiptStatus.OK, errors=(Coded("T02"),)),
        Verdict(status=ReceiptStatus.PARTIAL, errors=(Coded("T02"),)),
    ],
)
def test_a_contradictory_verdict_is_refused(verdict: Verdict) -> None:
    with pytest.raises(InputError):
        build(facts(), verdict)


def test_a_message_that_names_nobody_cannot_be_answered() -> None:
    for nobody in ({"sender": None}, {"receiver": None}):
        with pytest.raises(UnsupportedError) as caught:
            build(facts(**nobody))
        assert caught.value.code == "UNANSWERABLE"


def test_an_unknown_recipient_or_version_is_an_error_of_the_caller() -> None:
    with pytest.raises(InputError):
        build(facts(), acknowledger=1)
    with pytest.raises(InputError):
        build(facts(), version="2.0")


@needs_schemas
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("verdict", [OK, REJECTED])
def test_a_receipt_is_valid_by_the_official_schema(version: str, verdict: Verdict) -> None:
    root = build(facts(copies=(THEM,)), verdict, version, 1)
    assert faults(parse(serialise(root))) == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("verdict", [OK, REJECTED])
def test_a_receipt_is_valid_by_our_schema(version: str, verdict: Verdict) -> None:
    assert check_schema(parse(serialise(build(facts(), verdict, version)))) == []


@needs_corpus
@needs_schemas
@pytest.mark.parametrize("name", sorted(name for name, known in expected().items() if known["readable"]))
def test_every_real_message_that_names_its_parties_gets_a_valid_receipt(name: str) -> None:
    message = read_facts(unwrap(parse(one(name).read_bytes())))
    if message.family is Family.APPREC or message.sender is None or message.receiver is None:
        with pytest.raises((UnsupportedError, InputError)):
            build(Facts(family=Family.OTHER, kind="x", namespace="x"))
        return
    for version in ("1.0", "1.1"):
        for recipient in range(1 + len(message.copies)):
            root = build(message, version=version, acknowledger=recipient)
            assert faults(root) == []
            assert read_apprec(root).msg_id == message.receipt_id
