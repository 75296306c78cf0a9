from __future__ import annotations

import base64
import time

import pytest

from adapter.ebxml.bounce import Bounce, read_bounce, read_plain_bounce
from adapter.ebxml.mime import unpack

REPORT = b"""From: MAILER-DAEMON@edi.nhn.no\r
Content-Type: multipart/report; report-type=delivery-status; boundary="q"\r
\r
--q\r
Content-Type: text/plain\r
\r
It could not be delivered.\r
--q\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; edi.nhn.no\r
Original-Envelope-Id: 7-3\r
\r
Final-Recipient: rfc822; nobody@edi.nhn.no\r
Action: failed\r
Status: 5.1.1 (no such box)\r
\r
--q\r
Content-Type: message/rfc822\r
\r
From: ours@edi.nhn.no\r
Message-ID: <17@edi.nhn.no>\r
\r
text\r
--q--\r
"""


def test_a_bounce_names_our_mail_and_says_whether_for_good() -> None:
    found = read_bounce(unpack(REPORT))
    assert found == Bounce(envelope_id="7-3", message_id="17@edi.nhn.no", action="failed", status="5.1.1")
    assert found.permanent


def test_a_delay_is_not_permanent() -> None:
    found = read_bounce(unpack(REPORT.replace(b"failed", b"Delayed").replace(b"5.1.1", b"4.4.1")))
    assert found is not None
    assert (found.action, found.status, found.permanent) == ("delayed", "4.4.1", False)
    assert Bounce(status="5.0.0").permanent
    assert not Bounce().permanent


def test_a_report_without_usable_parts_and_other_mail_are_borne() -> None:
    empty = unpack(
        b"From: <>\r\nContent-Type: multipart/report; boundary=q\r\n\r\n--q\r\nContent-Type: message/rfc822\r\n\r\n--q"
    )
    assert read_bounce(empty) == Bounce()
    assert read_bounce(unpack(b"From: a@b\r\nContent-Type: text/plain\r\n\r\nhello")) is None


def test_what_is_not_plain_or_too_large_is_not_taken() -> None:
    odd = REPORT.replace(b"Envelope-Id: 7-3", b"Envelope-Id: " + b"x" * 400).replace(b"<17@edi", b"<\xf8@edi")
    found = read_bounce(unpack(odd))
    assert found is not None
    assert (found.envelope_id, found.message_id) == (None, None)
    long = REPORT.replace(b"Reporting-MTA:", b"X: " + b"y" * 9_000 + b"\r\nReporting-MTA:")
    assert read_bounce(unpack(long)) == Bounce(message_id="17@edi.nhn.no")


# --- without a report -------------------------------------------------------------------------------------------------

DAEMON = b"From: Mail Delivery System <MAILER-DAEMON@relay.example>\r\n"
WORDS = (
    b"\r\nIt was not delivered.\r\n\r\n--- below is a copy ---\r\nReceived: x\r\nMessage-ID: <17@ours>\r\n\r\nbody\r\n"
)


def plain(mail: bytes) -> Bounce | None:
    return read_plain_bounce(unpack(mail), mail)


def test_plain_words_of_a_mail_server_name_the_mail_they_return() -> None:
    found = plain(DAEMON + WORDS)
    assert found == Bounce(mail_ids=("17@ours",))
    assert not found.harmless


@pytest.mark.parametrize(
    "head",
    [
        b"From: a@b\r\nReturn-Path: <>\r\n",
        b"From: postmaster@relay.example\r\n",
        b"From: a@b\r\nAuto-Submitted: auto-replied\r\nX-Failed-Recipients: c@d\r\n",
    ],
)
def test_every_sign_of_a_server_counts(head: bytes) -> None:
    found = plain(head + WORDS)
    assert found is not None
    assert found.names() == ("17@ours",)
    assert not found.harmless


def test_an_answer_while_somebody_is_away_is_no_failure() -> None:
    found = plain(b"From: a@b\r\nAuto-Submitted: auto-replied\r\nIn-Reply-To: <17@ours>\r\n\r\nI am away.\r\n")
    assert found is not None
    assert (found.names(), found.harmless) == (("17@ours",), True)


def test_a_persons_mail_is_no_bounce() -> None:
    assert plain(b"From: a@b\r\n" + WORDS) is None


def test_an_ebxml_message_is_no_bounce_though_a_machine_wrote_it() -> None:
    assert plain(DAEMON + b"Content-Type: text/xml\r\n\r\n<Message-ID/>") is None


def test_encoded_and_quoted_words_are_read_and_broken_ones_borne() -> None:
    text = base64.b64encode(WORDS)
    head = DAEMON + b"Content-Transfer-Encoding: base64\r\n\r\n"
    assert plain(head + text) == Bounce(mail_ids=("17@ours",))
    assert plain(head + b"!!" + text) == Bounce()
    assert plain(DAEMON + b"\r\n> > Message-ID:\r\n\t<17@ours>\r\n") == Bounce(mail_ids=("17@ours",))


def test_parts_of_a_multipart_are_searched_too() -> None:
    mixed = DAEMON + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n" + WORDS + b"--q--\r\n"
    assert plain(mixed) == Bounce(mail_ids=("17@ours",))


@pytest.mark.cost
def test_a_flood_of_names_costs_little_and_is_cut() -> None:
    flood = DAEMON + b"\r\n" + b"".join(b"Message-ID: <%d@x>\r\n" % number for number in range(5_000))
    began = time.process_time()
    found = plain(flood)
    assert found is not None
    assert len(found.mail_ids) <= 20
    assert plain(DAEMON + b"\r\n" + b"Message-ID:" + b"<" * 200_000) == Bounce()
    assert plain(DAEMON + b"\r\n" + b"Message-ID: " * 20_000) == Bounce()
    assert time.process_time() - began < 2


def test_a_returned_envelope_is_read_by_its_own_id() -> None:
    envelope = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        b'xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd"><s:Header>'
        b"<eb:MessageHeader><eb:MessageData><eb:MessageId>m-1</eb:MessageId></eb:MessageData></eb:MessageHeader>"
        b"</s:Header><s:Body/></s:Envelope>"
    )
    head = b"Message-ID: <17@edi.nhn.no>\r\n"
    whole = REPORT.replace(head + b"\r\ntext", head + b"Content-Type: text/xml\r\n\r\n" + envelope)
    found = read_bounce(unpack(whole))
    assert found is not None
    assert found.ebxml_id == "m-1"
    broken = read_bounce(
        unpack(whole.replace(b"@edi.nhn.no>\r\n\r\n", b"@edi.nhn.no>\r\n").replace(b"</s:Header>", b""))
    )
    assert broken is not None
    assert (broken.ebxml_id, broken.message_id) == (None, "17@edi.nhn.no")
