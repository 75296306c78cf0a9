from __future__ import annotations

from datetime import datetime

import pytest

from adapter.simulator.addressing import Address, declares_utf8, read_envelope, when
from tests.simulator.caller import message

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
APPREC = """<AppRec xmlns="http://www.kith.no/xmlstds/apprec/%s"><GenDate>2026-03-02T10:00:00</GenDate><Id>a-1</Id>
<Sender><HCP><HCProf><Name>Sol</Name><Id>11</Id><TypeId V="HER"/></HCProf></HCP></Sender>
<Receiver><HCP><Inst><Id>9</Id><TypeId V="ENH"/><Dept><Id>22</Id><TypeId V="HER"/></Dept></Inst></HCP></Receiver>
<Status V="2"/><Error V="E21" DN="navn"/><Error V="X99" DN="navn" OT="ord"/>
<OriginalMsgId><Id>m-1</Id></OriginalMsgId></AppRec>"""


@pytest.mark.parametrize("version", ["2004-11-21", "2012-02-15"])
def test_an_apprec_tells_who_answers_whom_about_what(version: str) -> None:
    envelope = read_envelope((HEAD + APPREC % version).encode())
    assert envelope is not None
    assert (envelope.is_apprec, envelope.original_id, envelope.status) == (True, "m-1", "2")
    assert envelope.errors == (("E21", "navn"), ("X99", "ord"))
    assert envelope.sender == Address(None, 11)
    assert envelope.receivers == (Address(None, 22),)
    assert envelope.receivers[0].reached_at == 22


@pytest.mark.parametrize("digits", ["", "x", "0", "99999999999", "2147483648", "²"])
def test_what_is_no_her_id_is_no_address(digits: str) -> None:
    document = message((1, 2), (3, 4)).replace(b"<Id>4</Id>", f"<Id>{digits}</Id>".encode())
    envelope = read_envelope(document)
    assert envelope is not None
    assert envelope.receivers[0] == Address(3, None)
    assert envelope.receivers[0].reached_at == 3


def test_a_person_is_an_address_at_level_2() -> None:
    document = message((1, 2), (3, None)).replace(
        b"</Organisation></Receiver>",
        b'<HealthcareProfessional><Ident><Id>5</Id><TypeId V="HPR"/></Ident><Ident><Id>4</Id><TypeId V="HER"/></Ident>'
        b"</HealthcareProfessional></Organisation></Receiver>",
    )
    envelope = read_envelope(document)
    assert envelope is not None
    assert envelope.receivers[0] == Address(3, 4)


def test_a_head_without_a_body_has_no_business_namespace() -> None:
    for content in ("", "<plain xmlns=''/>"):
        envelope = read_envelope(message((1, 2), (3, 4), content=content))
        assert envelope is not None
        assert envelope.namespace == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T10:00:00", datetime(2026, 3, 2, 10)),
        ("2026-03-02T10:00:00.123456789+01:00", datetime(2026, 3, 2, 10, 0, 0, 123456)),
        ("2026-03-02T10:00:00Z", datetime(2026, 3, 2, 10)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_dates_come_in_many_forms(text: str | None, expected: datetime | None) -> None:
    assert when(text) == expected


def test_utf8_must_be_declared_in_the_first_line_and_true() -> None:
    assert declares_utf8(b'<?xml version="1.0" encoding="utf-8"?><a/>')
    assert declares_utf8(b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?><a/>")
    assert not declares_utf8(b'<?xml version="1.0"?><a/>')
    assert not declares_utf8(b'<?xml version="1.0" encoding="UTF-8"?><a>\xe5</a>')


@pytest.mark.parametrize("document", [b"", b"<a", b"<Other/>", b'<AppRec xmlns="x"/>', b'<MsgHead xmlns="x"/>'])
def test_other_documents_have_no_envelope(document: bytes) -> None:
    assert read_envelope(document) is None
