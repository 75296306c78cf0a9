from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from adapter.ebxml.build import build, build_fault
from adapter.ebxml.check_outgoing import refuse_outgoing
from adapter.ebxml.compose import acknowledgment, message_error, pong, question, status_response
from adapter.ebxml.moments import has_zone, read_duration_s, read_moment, write_moment
from adapter.ebxml.names import EB, SOAP, Kind, Road, eb
from adapter.ebxml.read import read, signed_references
from adapter.ebxml.words import (
    EbError,
    Envelope,
    ErrorReport,
    Participant,
    PartyId,
    Receipt,
    Software,
    cpa_id_without_agreement,
    read_software,
)
from adapter.errors import InputError, RefusedError
from adapter.xmlio import parse, serialise
from tests.ebxml.making import CONVERSATION, MESSAGE_ID, NOW, REFERENCES, SIGNAL_ID, SOFTWARE, payload


def again(envelope: Envelope) -> Envelope:
    return read(parse(serialise(build(envelope))))


ACK = acknowledgment(payload(), REFERENCES, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
ERROR = message_error(
    payload(),
    [EbError(code="SecurityFailure", text="the signature does not hold", location="//ds:Signature")],
    message_id=SIGNAL_ID,
    now=NOW,
    software=SOFTWARE,
)
PING = question(
    Kind.PING,
    sender=1,
    receiver=2,
    cpa_id="1_2",
    conversation_id=CONVERSATION,
    message_id=SIGNAL_ID,
    now=NOW,
    software=SOFTWARE,
)
ASKING = question(
    Kind.STATUS_REQUEST,
    sender=1,
    receiver=2,
    cpa_id="1_2",
    conversation_id=CONVERSATION,
    message_id=SIGNAL_ID,
    now=NOW,
    software=SOFTWARE,
    asked_message_id=MESSAGE_ID,
)
EVERY_KIND = {
    "payload": payload(),
    "payload to NAV": payload(ref_to_message_id=SIGNAL_ID, time_to_live=NOW + timedelta(hours=2)),
    "payload over HTTP": payload(acknowledge=False),
    "Acknowledgment": ACK,
    "MessageError": ERROR,
    "Ping": PING,
    "Pong": pong(PING, message_id=MESSAGE_ID, now=NOW, software=SOFTWARE),
    "StatusRequest": ASKING,
    "StatusResponse": status_response(ASKING, "Received", message_id=MESSAGE_ID, now=NOW, software=SOFTWARE),
}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_what_is_built_is_read_back_unchanged(name: str) -> None:
    before = EVERY_KIND[name]
    after = again(before)
    if after.report:
        assert after.report.written_severity == "Error"
        after = replace(after, report=replace(after.report, written_severity=None))
    assert after == before


def test_a_business_message_has_its_children_in_the_order_of_the_schema() -> None:
    root = build(payload(time_to_live=NOW, ref_to_message_id=SIGNAL_ID))
    names = [etree.QName(one).localname for one in root[0][0]]
    assert names == [
        "From",
        "To",
        "CPAId",
        "ConversationId",
        "Service",
        "Action",
        "MessageData",
        "DuplicateElimination",
        "Description",
    ]
    assert [etree.QName(one).localname for one in root[0][0][6]] == [
        "MessageId",
        "Timestamp",
        "RefToMessageId",
        "TimeToLive",
    ]


def test_attributes_are_in_the_namespace_of_their_standard() -> None:
    root = build(payload())
    header, asked = root[0]
    assert set(header.attrib) == {f"{{{SOAP}}}mustUnderstand", f"{{{EB}}}version"}
    assert set(asked.attrib) == {f"{{{SOAP}}}mustUnderstand", f"{{{EB}}}version", f"{{{EB}}}signed", f"{{{SOAP}}}actor"}
    assert root.find(f".//{eb('Service')}").get(f"{{{EB}}}type") == "string"  # type: ignore[union-attr]


def test_an_acknowledgment_repeats_every_reference_and_names_its_message_once() -> None:
    root = build(ACK)
    assert [line.get("URI") for line in root.iter("{*}Reference")] == ["", "cid:att-1@example.no"]
    assert [one.getparent().tag for one in root.iter(eb("RefToMessageId"))] == [eb("Acknowledgment")]  # type: ignore[union-attr]
    assert not list(root.iter(eb("Role"))), "HITS 1171: a signal has no roles"
    assert root.find(f".//{eb('Service')}").get(f"{{{EB}}}type") is None  # type: ignore[union-attr]


def test_the_references_of_an_acknowledgment_are_not_taken_for_its_own_signature() -> None:
    assert signed_references(build(ACK)) == ()


def test_references_prove_receipt_only_when_uri_method_and_digest_agree() -> None:
    root, part = REFERENCES
    assert root.proves(replace(root, transforms=()))
    assert not root.proves(part)
    assert not part.proves(replace(part, digest="AAAA"))


def test_only_warnings_make_a_report_a_receipt_whatever_the_partner_wrote() -> None:
    warning, error = EbError(code="Inconsistent", severity="Warning"), EbError(code="Unknown")
    assert ErrorReport((warning,), written_severity="Error").severity == "Warning"
    assert ErrorReport((warning, error), written_severity="Warning").severity == "Error"
    assert ErrorReport(()).severity == "Error"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (replace(ACK, ref_to_message_id=MESSAGE_ID), "ref_to_message_id"),
        (replace(ACK, receipt=None), "receipt"),
        (replace(ACK, ack_request=payload().ack_request), "ack_request"),
        (replace(ACK, time_to_live=NOW), "time_to_live"),
        (replace(ACK, manifest=payload().manifest), "manifest"),
        (replace(ACK, duplicate_elimination=True), "duplicate_elimination"),
        (replace(ACK, action="Acknowledgement"), "service"),
        (replace(ACK, sender=Participant.of(1, "EPIKRISEsender")), "sender.role"),
        (replace(ERROR, ref_to_message_id=None), "ref_to_message_id"),
        (replace(ERROR, report=ErrorReport((EbError(code="UnableToDecrypt"),))), "report.errors[0]"),
        (replace(payload(), manifest=()), "manifest"),
        (replace(payload(), receipt=Receipt(ref_to_message_id="x")), "receipt"),
        (replace(payload(), sender=Participant.of(1)), "sender.role"),
        (replace(payload(), sender=Participant((), "a")), "sender.ids"),
        (replace(payload(), receiver=Participant((PartyId("1"), PartyId("2")), "a")), "receiver.ids"),
        (replace(payload(), receiver=Participant((PartyId("1", None),), "a")), "receiver.ids"),
        (replace(payload(), message_id="not an id"), "message_id"),
        (replace(payload(), cpa_id=" "), "cpa_id"),
        (replace(payload(), action="a\x01b"), "action"),
        (replace(payload(), timestamp=datetime(2026, 1, 1)), "timestamp"),
        (replace(payload(), manifest=(replace(payload().manifest[0], href="att-1"),)), "manifest.href"),  # type: ignore[index]
        (replace(EVERY_KIND["StatusResponse"], message_status="Lost"), "message_status"),
        (Envelope(kind=None), "kind"),
    ],
)
def test_what_the_matrix_forbids_is_not_built(wrong: Envelope, where: str) -> None:
    with pytest.raises(InputError) as caught:
        build(wrong)
    assert caught.value.where == where


def test_a_signal_is_never_acknowledged_and_never_reported_on() -> None:
    for signal in (ACK, ERROR):
        with pytest.raises(InputError):
            acknowledgment(signal, REFERENCES, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
        with pytest.raises(InputError):
            message_error(signal, [EbError(code="Unknown")], message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    with pytest.raises(InputError):
        message_error(payload(), [], message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    with pytest.raises(InputError):
        acknowledgment(replace(payload(), message_id=None), (), message_id=SIGNAL_ID, now=NOW, software=SOFTWARE)
    with pytest.raises(InputError):
        message_error(
            replace(payload(), message_id=None), ERROR.report.errors, message_id=SIGNAL_ID, now=NOW, software=SOFTWARE
        )  # type: ignore[union-attr]
    with pytest.raises(InputError):
        question(
            Kind.PONG,
            sender=1,
            receiver=2,
            cpa_id="1_2",
            conversation_id="c",
            message_id=SIGNAL_ID,
            now=NOW,
            software=SOFTWARE,
        )


def test_the_monitoring_text_is_one_line_of_json_with_the_national_keys() -> None:
    text = SOFTWARE.text()
    assert text == '{"MSH-system":"Prøve-MSH","MSH-versjon":"1.0","fagsystem":"Journal","fagsystem-versjon":"7"}'
    assert (
        Software(msh="a", msh_version="b", middleware="m", middleware_version="2")
        .text()
        .endswith('"mellomvare-versjon":"2"}')
    )
    assert read_software(text)["MSH-system"] == "Prøve-MSH"
    assert read_software('{"MSH-system": 1, "Fagsystem": "x", "MSH-versjon": " "}') == {}
    for broken in (None, "", "{", "[1]", "[" * 15_000, "x" * 30_000):
        assert read_software(broken) == {}


def test_without_an_agreement_the_cpa_id_is_the_lowest_and_the_highest_number() -> None:
    assert cpa_id_without_agreement(133735, 94866) == cpa_id_without_agreement(94866, 133735) == "94866_133735"
    with pytest.raises(InputError):
        cpa_id_without_agreement(0, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-17T10:08:35Z", datetime(2023, 11, 17, 10, 8, 35, tzinfo=UTC)),
        ("2023-11-30T13:15:29", datetime(2023, 11, 30, 13, 15, 29, tzinfo=UTC)),
        ("2023-08-29T10:56:50.3069479Z", datetime(2023, 8, 29, 10, 56, 50, 306947, tzinfo=UTC)),
        ("2006-07-11T12:45:32+02:00", datetime(2006, 7, 11, 10, 45, 32, tzinfo=UTC)),
        (" 2006-07-11T12:45:32-0130 \n", datetime(2006, 7, 11, 14, 15, 32, tzinfo=UTC)),
        ("2026-12-31T24:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2023-02-30T10:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2023-11-30", None),
        ("2023-11-30T10:00:00+25:99", None),
        (None, None),
    ],
)
def test_times_are_read_in_every_form_seen(text: str | None, expected: datetime | None) -> None:
    assert read_moment(text) == expected


def test_times_are_written_in_utc_to_the_second() -> None:
    assert write_moment(datetime.fromisoformat("2026-11-21T12:00:05.9+01:00")) == "2026-11-21T11:00:05Z"
    assert has_zone("2023-11-17T10:08:35Z")
    assert not has_zone("2023-11-17T10:08:35")
    assert not has_zone("then")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT720M", 43_200),
        ("P4D", 345_600),
        ("PT4H", 14_400),
        ("PT30S", 30),
        ("P1DT1H1M1.5S", 90_061),
        ("P180M", None),
        ("P", None),
        ("PT", None),
        (None, None),
        ("P1Y", None),
    ],
)
def test_durations_of_unknown_length_are_no_durations(text: str | None, seconds: int | None) -> None:
    assert read_duration_s(text) == seconds


def test_faults_are_built_and_recognised() -> None:
    found = read(parse(serialise(build_fault("Client", "not interpretable as ebXML"))))
    assert found.kind is None
    assert found.fault is not None
    assert found.fault.code == "Client"
    with pytest.raises(InputError):
        build_fault("Sender", "SOAP 1.2 has that")


def test_a_party_is_its_one_her_id_or_its_organisation_number() -> None:
    assert Participant((PartyId("79768"), PartyId("889640782", "ENH"))).her_id == 79768
    assert Participant((PartyId("1"), PartyId("2"))).her_id is None
    assert Participant((PartyId("x1"),)).her_id is None
    assert Participant((PartyId("889640782", "orgnummer"),)).organisation_number == "889640782"
    assert not Participant((PartyId("54353453453", "ENH"), PartyId("CN=x", "DN"))).known


def test_prefixes_mean_nothing_and_unqualified_attributes_are_others() -> None:
    xml = (
        serialise(build(payload()))
        .replace(b"eb:", b"q:")
        .replace(b"xmlns:eb=", b"xmlns:q=")
        .replace(b"q:type=", b"type=")
    )
    found = read(parse(xml))
    assert found.kind is Kind.PAYLOAD
    assert found.service_type is None
    assert found.sender.ids == (PartyId("80225", None),)


def test_an_expired_message_is_one_past_its_time_to_live() -> None:
    assert payload(time_to_live=NOW).expired(NOW + timedelta(seconds=1))
    assert not payload(time_to_live=NOW).expired(NOW)
    assert not payload().expired(NOW)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_what_we_build_passes_the_last_look(name: str) -> None:
    refuse_outgoing(build(EVERY_KIND[name]), Road.HTTP if "HTTP" in name else Road.SMTP)


def test_what_partners_are_forgiven_we_are_not() -> None:
    for wrong in (
        replace(payload(), duplicate_elimination=False),
        replace(payload(), ack_request=None),
        replace(payload(), description=None),
        replace(payload(), action="HENVISNING"),
        replace(ACK, receipt=Receipt(ref_to_message_id=MESSAGE_ID, timestamp=NOW)),
    ):
        if wrong.action == "HENVISNING":
            wrong = replace(wrong, manifest=(replace(wrong.manifest[0], version="9.9"),))  # type: ignore[index]
        with pytest.raises(RefusedError) as caught:
            refuse_outgoing(build(wrong), Road.SMTP)
        assert caught.value.findings
    with pytest.raises(RefusedError):
        refuse_outgoing(build(EVERY_KIND["payload over HTTP"]), Road.SMTP)
    with pytest.raises(RefusedError):
        refuse_outgoing(build_fault("Client", "no"), Road.SMTP)
