"""Whose keys the ebXML road uses: what is missing, unreadable or known by its name alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.ebxml.opening import open_http
from adapter.errors import SettingsError
from tests.journeys.clinic import CLINIC, Clinic, EbxmlRig, beside
from tests.journeys.rig import letter, referral


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EbxmlRig]:
    with beside(tmp_path, EbxmlRig) as made:
        yield made


def write(rig: EbxmlRig, use: str, entry: dict[str, str] | None) -> None:
    """What the address book says of one certificate of the clinic's."""
    file = rig.folder / "addressbook.json"
    book = json.loads(file.read_text())
    for party in book["parties"]:
        if party["herId"] == CLINIC:
            party["_certificates"][use] = entry
    file.write_text(json.dumps(book))


def answer(rig: EbxmlRig, clinic: Clinic, **changes: Any) -> str:
    """How a note of the clinic's is answered: "Acknowledgment", or the MessageError's code."""
    reply = clinic.post(*clinic.note(letter(rig, sender=CLINIC), **changes))
    report = open_http(reply.headers, reply.body).envelope.report
    return report.errors[0].code or "" if report is not None else str(reply.kind)


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_certificate_that_is_known_by_its_thumbprint_alone_is_pinned_by_it(
    rig: EbxmlRig, clinic: Clinic, name: str
) -> None:
    der = clinic.signing.certificate.public_bytes(Encoding.DER)
    write(rig, "signing", {"thumbprint": hashlib.new(name, der, usedforsecurity=False).hexdigest()})
    assert answer(rig, clinic, signer=clinic.stranger) == "SecurityFailure"
    assert answer(rig, clinic) == "Acknowledgment"


def test_a_partner_without_a_registered_certificate_is_believed_nothing(rig: EbxmlRig, clinic: Clinic) -> None:
    write(rig, "signing", None)
    assert answer(rig, clinic) == "SecurityFailure"
    assert rig.steps() == []


def test_an_unreadable_certificate_of_a_partner_stops_its_messages_alone_and_is_told_at_submit(
    rig: EbxmlRig, clinic: Clinic
) -> None:
    noise = b"no certificate"
    thumbprint = hashlib.sha1(noise, usedforsecurity=False).hexdigest()
    write(rig, "encryption", {"thumbprint": thumbprint, "certificateValue": base64.b64encode(noise).decode()})
    with pytest.raises(SettingsError, match=rf"EBXML\.CERTIFICATE.*HER-id {CLINIC}.*address book"):
        rig.send(referral(CLINIC))
    assert rig.adapter.list() == []


def test_without_a_company_key_nothing_is_sealed_and_nothing_answered(rig: EbxmlRig, clinic: Clinic) -> None:
    sent = rig.send(referral(CLINIC))
    tenant = rig.settings.tenant[0]
    rig.settings = replace(rig.settings, tenant=(replace(tenant, sign_with=None),))
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.rounds(1)
    assert rig.state(sent) == [("refused", "awaited")]
    assert clinic.got == []
    with pytest.raises(SettingsError, match="company key"):
        clinic.post(*clinic.note(letter(rig, sender=CLINIC)))
    assert rig.steps() == []
