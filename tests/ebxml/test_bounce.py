from __future__ import annotations

from adapter.ebxml.bounce import Bounce, read_bounce
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
