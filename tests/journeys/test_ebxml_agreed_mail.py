"""Agreements on the mail road: the agreed address, the agreed plan, and what is too large for a mail."""

from __future__ import annotations

import base64
import json
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.errors import RefusedError, SettingsError
from adapter.flow.agreements import Agreements
from adapter.security.keys import SigningKey
from adapter.simulator import world as place
from tests.ebxml.agreed import Cpa, Side
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.journeys.rig import referral

TYPE = "HENVISNING_NYTILSTAND"
AGREED = "agreed@edi.simulator.invalid"


@pytest.fixture
def rig(make_mail: Make) -> MailRig:
    return make_mail()


def agree(rig: MailRig, address: str = AGREED, **changes: Any) -> None:
    folder: Path = rig.folder / "cpa"
    folder.mkdir()
    keys: dict[str, Any] = {"signing": der(rig.ours), "encryption": der(rig.opening)}
    us = Side(her_id=place.SOLVANG_GP, role=f"{TYPE}sender", sends=[TYPE], **keys)
    keys = {"signing": der(rig.clinic.signing), "encryption": der(rig.clinic.opening)}
    them = Side(her_id=CLINIC, role=f"{TYPE}receiver", receives=[TYPE], mail=f"mailto://{address}", **keys)
    start = rig.clock() - timedelta(days=1)
    made = Cpa(one=us, other=them, service=f"S-{TYPE}", cpa_id="nav:test:1", start=start, **changes)
    (folder / "a.xml").write_bytes(made.text())
    object.__setattr__(rig.adapter.parts, "agreements", Agreements(folder, clock=rig.clock))


def der(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(Encoding.DER)


def attached(size_bytes: int) -> dict[str, Any]:
    """A referral with one PDF of that size."""
    content = base64.b64encode(b"%PDF-1.4\n" + b"x" * size_bytes).decode()
    file = {"mime_type": "application/pdf", "description": "Bilde", "content": content}
    return {**referral(CLINIC), "attachments": [file]}


def test_a_mail_goes_to_the_agreements_address_and_the_registers_is_for_those_without_one(rig: MailRig) -> None:
    rig.send(referral(CLINIC))
    rig.dispatch()
    rig.poll()
    agree(rig)
    rig.send(referral(CLINIC))
    rig.dispatch()
    assert [mail.receiver for mail in rig.sink.taken] == [edi_address(CLINIC), AGREED]
    assert [got.words.cpa_id for got in rig.clinic.got] == [f"{CLINIC}_{place.SOLVANG_GP}", "nav:test:1"]


def test_without_an_edi_address_a_mail_receiver_is_refused_at_submit(rig: MailRig) -> None:
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    for party in book["parties"]:
        party.pop("ediAddress", None)
    file.write_text(json.dumps(book))
    with pytest.raises(SettingsError) as caught:
        rig.send(referral(CLINIC))
    assert (caught.value.code, caught.value.where) == ("EBXML.ADDRESS", f"HER-id {CLINIC}")
    assert caught.value.cure


def test_p22_an_agreed_address_of_the_other_environment_is_refused(rig: MailRig) -> None:
    agree(rig, address="clinic@edi.nhn.no")
    with pytest.raises(SettingsError) as caught:
        rig.send(referral(CLINIC))
    assert caught.value.code == "SETTINGS.MIX"


def test_by_mail_the_agreed_plan_of_four_resends_begins_with_a_whole_interval(rig: MailRig) -> None:
    agree(rig)
    rig.clinic.script = ["silent"] * 9
    sent = rig.send(referral(CLINIC))
    seen = []
    for hour in range(70):
        before = len(rig.sink.taken)
        rig.dispatch()
        if len(rig.sink.taken) > before:
            seen.append(hour)
        if rig.state(sent)[0][0] == "abandoned":
            break
        rig.advance(hours=1)
    assert seen == [0, 12, 24, 36, 48]
    assert hour == 60
    heads = [re.search(rb"(?im)^message-id:\s*(\S+)", mail.content) for mail in rig.sink.taken]
    assert len({head[1] for head in heads if head is not None}) == 5, "a fresh Message-Id each time"
    assert len({got.octets for got in rig.clinic.got}) == 1
    assert rig.attention()[0] == "abandoned"


def test_p25_more_than_a_mail_holds_is_refused_at_submit(rig: MailRig) -> None:
    (road,) = rig.adapter.parts.mails
    limit = 2_000_000
    object.__setattr__(road.settings.smtp, "mail_limit_bytes", limit)
    rig.send(attached(900_000))
    with pytest.raises(RefusedError) as caught:
        rig.send(attached(1_200_000))
    assert (caught.value.code, caught.value.where) == ("P25.SIZE", f"HER-id {CLINIC}")
    rig.dispatch()
    assert len(rig.sink.taken[0].content) < limit


def test_p25_attachments_over_five_and_a_half_megabytes_warn_for_a_mail_receiver(
    rig: MailRig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="adapter.flow"):
        rig.send(attached(5_400_000))
        assert warned(caplog) == set()
        rig.send(attached(5_600_000))
    assert warned(caplog) == {"V11.SIZE"}


def warned(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {str(record.rule) for record in caplog.records if hasattr(record, "rule")}
