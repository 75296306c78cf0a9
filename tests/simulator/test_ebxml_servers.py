"""The servers of the ebXML half: what they refuse, who is not at home, and that they stop by themselves."""

from __future__ import annotations

import smtplib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapter.errors import SettingsError
from adapter.simulator import EBXML_BEHAVIOURS, VirtualClock, start
from adapter.simulator import world as place
from adapter.simulator.ebxml_http import AGAIN_S, post_to
from adapter.simulator.ebxml_script import read_ebxml_script
from tests.simulator.ebxml_rig import HOUR_S, EbxmlRig

NEEDS_MORE = {"ack late": " 60", "error late": " 60 Unknown"}


def post(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "text/xml", "SOAPAction": '"ebXML"'})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_mail_to_an_address_that_nobody_has_is_refused(rig: EbxmlRig) -> None:
    with smtplib.SMTP("127.0.0.1", rig.side.smtp.port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("a@simulator.invalid", ["her1@edi.simulator.invalid"], "Subject: x\r\n\r\nx")
        (reply,) = refused.value.recipients.values()
        assert reply[0] == 550


def test_a_mail_that_is_no_ebxml_is_kept_in_the_ledger_and_not_answered(rig: EbxmlRig) -> None:
    address = f"her{place.MYRDAL_FRISKLIV}@edi.simulator.invalid"
    with smtplib.SMTP("127.0.0.1", rig.side.smtp.port, timeout=10) as client:
        client.sendmail("a@simulator.invalid", [address], "Subject: x\r\n\r\nnot ebXML")
    (entry,) = rig.side.entries()
    assert (entry.kind, entry.note) == (None, "unreadable")
    assert rig.side.mailroom.held("solvang") == []


def test_a_bounced_mail_tells_a_person_and_the_row_waits_on(rig: EbxmlRig) -> None:
    sent = rig.refer(place.MYRDAL_FRISKLIV, "bounce")
    rig.rounds(2)
    assert rig.side.entries() == []
    assert rig.state(sent)[0] == "unknown"
    assert rig.attention() == ["bounced"]


def test_a_refused_address_refuses_the_message(rig: EbxmlRig) -> None:
    sent = rig.refer(place.MYRDAL_FRISKLIV, "mail refused")
    rig.rounds(1)
    assert rig.state(sent)[0] == "refused"
    assert rig.attention() != []


def test_a_mail_server_that_cannot_now_is_asked_again(rig: EbxmlRig) -> None:
    sent = rig.refer(place.MYRDAL_FRISKLIV, "mail later")
    rig.rounds(1)
    assert rig.state(sent)[0] == "queued"
    rig.world.script(place.MYRDAL_FRISKLIV, "ack now")
    rig.advance(3600)
    rig.rounds(3)
    assert rig.state(sent) == ("confirmed", "accepted")


def test_each_tenant_has_a_mailbox_of_its_own(tmp_path: Path) -> None:
    rig = EbxmlRig(tmp_path, tenants=("solvang", "fjellglott"))
    try:
        rig.side.ping(place.MYRDAL_FRISKLIV, place.KLINIKK_SERVICE)
        assert [len(rig.side.mailroom.held(name)) for name in ("solvang", "fjellglott")] == [0, 1]
        rig.rounds(1)
        assert rig.seen(place.MYRDAL_FRISKLIV) == ["Pong"]
    finally:
        rig.close()


def test_faults_of_the_plan_hit_the_partners_endpoint_too(rig: EbxmlRig) -> None:
    rig.world.set_faults({"POST /ebxml/{herId}": [["503", 1], ["cut_after_commit", 2]]})
    sent = rig.refer(place.TINDVIK_FRISKLIV, "ack now")
    rig.rounds(1)
    assert rig.state(sent)[0] == "queued"
    rig.advance(3600)
    rig.rounds(1, seconds=1)
    assert rig.state(sent)[0] == "unknown"
    rig.advance(12 * HOUR_S)
    rig.rounds(2)
    assert rig.state(sent) == ("confirmed", "accepted")
    assert len({entry.digest for entry in rig.side.entries(place.TINDVIK_FRISKLIV, "in", "payload")}) == 1


def test_a_post_that_is_no_ebxml_gets_a_soap_fault(rig: EbxmlRig) -> None:
    url = rig.side.urls()["ebxml_url"]
    status, body = post(f"{url}/{place.TINDVIK_FRISKLIV}", b"<no/>")
    assert (status, b"Fault" in body) == (500, True)


@pytest.mark.parametrize("her_id", ["1", "x", str(place.GRANLI_FRISKLIV)])
def test_a_post_to_nobody_is_not_found(rig: EbxmlRig, her_id: str) -> None:
    assert post(f"{rig.side.urls()['ebxml_url']}/{her_id}", b"<no/>")[0] == 404


def test_what_finds_us_away_is_brought_again(rig: EbxmlRig) -> None:
    at_home = rig.side.courier.post
    rig.side.courier.post = post_to(f"http://127.0.0.1:{rig.side.our_port}/ebxml")  # nobody listens there
    asked = rig.side.ping(place.TINDVIK_FRISKLIV, place.SOLVANG_GP)
    assert rig.side.entries(way="in") == []
    rig.side.courier.post = at_home
    rig.advance(AGAIN_S)
    (pong,) = rig.side.entries(way="in")
    assert pong.about == asked


def test_an_answer_that_says_later_is_brought_again(rig: EbxmlRig) -> None:
    tries: list[bytes] = []
    at_home = rig.side.courier.post
    assert at_home is not None

    def busy_once(body: bytes, headers: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], bytes]:
        tries.append(body)
        if len(tries) == 1:
            raise ConnectionError
        return at_home(body, headers)

    rig.side.courier.post = busy_once
    rig.side.ping(place.NAV_HTTP, place.SOLVANG_GP)
    rig.advance(AGAIN_S)
    assert rig.seen(place.NAV_HTTP) == ["Pong"]


def test_everything_stops_by_itself() -> None:
    before = set(threading.enumerate())
    with start(clock=VirtualClock(), ebxml=True) as running:
        ports = (running.ebxml.smtp.port, running.ebxml.pop3.port)
        idle = [socket.create_connection(("127.0.0.1", port), timeout=5) for port in ports]
        for wire in idle:
            assert wire.recv(100)
    for wire in idle:
        wire.settimeout(5)
        assert wire.recv(100) == b""
        wire.close()
    for port in ports:
        with pytest.raises(OSError, match=r".*"):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    left = {thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("simulator-")}
    assert left == set()


def test_without_ebxml_there_is_none_of_it() -> None:
    with start(clock=VirtualClock()) as running:
        assert not running.has_ebxml
        assert "smtp" not in running.urls()
        assert place.MYRDAL_FRISKLIV not in running.world.units
        with pytest.raises(SettingsError):
            running.ebxml.run_due()


@pytest.mark.parametrize("name", sorted(EBXML_BEHAVIOURS))
def test_every_behaviour_can_be_set(name: str) -> None:
    set_to = read_ebxml_script([name + NEEDS_MORE.get(name, "")])
    assert (set_to == read_ebxml_script([])) == (name == "ack now")
