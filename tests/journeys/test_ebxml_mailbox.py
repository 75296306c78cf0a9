"""What becomes of a mail in our mailbox: kept, answered, deleted after its grace; and what one bad mail may not do."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ebxml.opening import open_message
from adapter.errors import TransportError
from adapter.flow import ebxml_mail, ebxml_round
from adapter.flow.ebxml_mail import poll_mailbox
from adapter.store import fence
from adapter.transport.line import MAIL_FULL
from adapter.worker import Service
from tests.journeys.clinic import CLINIC, edi_address
from tests.journeys.mailing import MailRig, Make
from tests.transport.mail_servers import MOST_MAILS, Scripted, Wire

KINDS = pytest.mark.parametrize("kind", ["imap", "pop3"])
JUNK = b"From: x@example.org\r\nTo: y@example.org\r\nContent-Type: text/plain\r\n\r\nhello\r\n"


# --- deleted at last --------------------------------------------------------------------------------------------------


@KINDS
def test_a_mail_is_deleted_when_it_was_stored_and_answered_longer_ago_than_the_grace(
    make_mail: Make, kind: str
) -> None:
    rig = make_mail(kind, delete_after_h=48.0)
    rig.deliver(rig.note())
    rig.rounds(2)
    rig.advance(hours=47)
    rig.rounds(2)
    assert rig.held() == 1
    rig.advance(hours=1)
    rig.rounds(2)
    assert (rig.held(), rig.kept(), rig.told(), rig.steps()) == (0, 1, ["Acknowledgment"], ["accepted"])


def test_a_mail_whose_signal_has_not_left_is_not_deleted(make_mail: Make) -> None:
    rig = make_mail()
    rig.sink.refuse[edi_address(CLINIC)] = "451 4.3.0 later"
    rig.deliver(rig.note())
    rig.rounds(1)
    rig.advance(hours=80)
    rig.rounds(2)
    assert rig.held() == 1
    rig.sink.refuse.clear()
    rig.advance(hours=2)
    rig.rounds(2)
    assert (rig.told(), rig.held()) == (["Acknowledgment"], 1)  # its grace begins when it was answered
    rig.advance(hours=73)
    rig.rounds(1)
    assert rig.held() == 0


@KINDS
def test_a_mail_that_was_never_stored_is_never_deleted(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind, box={"mail_limit_bytes": 2_000})
    rig.deliver(rig.note())
    rig.rounds(2)
    rig.advance(hours=1000)
    rig.rounds(2)
    assert (rig.held(), rig.kept(), rig.open_alarms()) == (1, 0, ["unread mail"])


def test_only_the_mails_past_their_grace_go_and_new_ones_stay(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.deliver(JUNK)
    rig.rounds(1)
    rig.advance(hours=73)
    rig.deliver(rig.note())
    rig.rounds(1)
    [left] = rig.dovecot.held(rig.user)
    assert b"multipart/related" in left
    assert rig.kept() == 3


def test_what_a_person_has_deleted_is_not_looked_for_again(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(1)
    for file in maildir(rig).rglob("*,S=*"):
        file.unlink()
    rig.advance(hours=73)
    rig.rounds(1)
    with rig.adapter.parts.store.reading() as db:
        assert db.exec_driver_sql("SELECT count(*) FROM mail WHERE deleted_at IS NULL").scalar() == 0
    assert rig.open_alarms() == []


# --- numbered anew ----------------------------------------------------------------------------------------------------


def maildir(rig: MailRig) -> Path:
    return rig.dovecot.mail / rig.user


@pytest.mark.parametrize("marks", ["kept", "lost"])
def test_a_renumbered_mailbox_has_nothing_taken_twice_and_is_cleaned_by_the_new_numbers(
    make_mail: Make, marks: str
) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(2)
    if marks == "lost":  # as when a backup is put back: the flags are in the files' names
        for file in (maildir(rig) / "cur").iterdir():
            file.rename(file.with_name(re.sub(r":2,.*", ":2,", file.name)))
    rig.dovecot.renumber(rig.user)
    rig.rounds(2)
    rig.deliver(rig.note())
    rig.rounds(2)
    assert (rig.told(), rig.kept(), rig.steps()) == (["Acknowledgment"] * 2, 2, ["accepted"] * 2)
    rig.advance(hours=73)
    rig.rounds(2)
    assert (rig.held(), rig.open_alarms()) == (0, [])


@KINDS
def test_another_mail_under_the_same_name_is_not_deleted_and_is_taken_in(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind)
    rig.deliver(rig.note())
    rig.rounds(2)
    rig.adapter.parts.mails[0].mailbox.close()
    [old] = list(maildir(rig).rglob("*,S=*"))
    content = rig.note()
    stem = old.name.partition(",")[0]
    new = old.with_name(f"{stem}x,S={len(content)}:2,")
    uidlist = maildir(rig) / "dovecot-uidlist"
    uidlist.write_text(uidlist.read_text().replace(old.name.partition(":")[0], new.name.partition(":")[0]))
    old.unlink()
    rig.dovecot.put(new, content)
    for index in maildir(rig).glob("dovecot.index*"):
        index.unlink()
    rig.advance(hours=73)
    rig.rounds(2)
    assert rig.held() == 1
    assert rig.open_alarms() == ["name given twice"]
    assert (rig.told(), rig.steps()) == (["Acknowledgment"] * 2, ["accepted"] * 2)


@KINDS
def test_the_same_mail_twice_in_the_mailbox_is_one_message_and_two_answers(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind)
    mail = rig.note()
    rig.deliver(mail)
    rig.deliver(mail)
    rig.rounds(2)
    assert (rig.told(), rig.steps(), rig.kept()) == (["Acknowledgment"] * 2, ["accepted"], 1)
    rig.advance(hours=73)
    rig.rounds(1)
    assert rig.held() == 0


# --- several workers --------------------------------------------------------------------------------------------------


def stalled(rig: MailRig, name: str, meanwhile: Any) -> list[str]:
    """Let this process hang in one of the mailbox's calls while something else happens; gives the marks it made."""
    box: Any = rig.adapter.parts.mailbox
    whole, mark, marked = getattr(box, name), box.mark, []
    again: list[int] = []

    def held_up(*arguments: Any, **named: Any) -> Any:
        found = whole(*arguments, **named)
        if not again:
            again.append(1)
            meanwhile()
        return found

    def noted(*items: Any) -> Any:
        marked.extend(item.identity.uid for item in items)
        return mark(*items)

    box.mark = noted
    setattr(box, name, held_up)
    return marked


def test_a_worker_that_lost_its_lease_stops_without_storing_or_marking(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.deliver(rig.note())
    second = rig.open()
    taken: list[int] = []

    def meanwhile() -> None:
        rig.advance(seconds=ebxml_round.LEASE_S + 1)
        taken.append(poll_mailbox(second.parts))

    marked = stalled(rig, "fetch", meanwhile)
    assert rig.poll() == 0
    second.close()
    assert (taken, marked) == ([2], [])
    assert (rig.told(), rig.kept(), rig.open_alarms()) == (["Acknowledgment"] * 2, 2, [])


def test_a_worker_without_the_lease_leaves_the_mailbox_alone(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    second = rig.open()
    stalled(rig, "fetch", lambda: counted.append(poll_mailbox(second.parts)))
    counted: list[int] = []
    assert rig.poll() == 1
    second.close()
    assert counted == [0]
    assert rig.told() == ["Acknowledgment"]


def test_two_threads_of_one_worker_do_not_share_a_lease(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    counted: list[int] = []
    stalled(rig, "fetch", lambda: counted.append(rig.poll()))
    assert (rig.poll(), counted) == (1, [0])


def test_a_lease_is_kept_while_the_work_lasts(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(3):
        rig.deliver(rig.note())
    box: Any = rig.adapter.parts.mailbox
    fetch = box.fetch

    def slow(item: Any) -> bytes:
        rig.advance(seconds=400)  # all of it lasts longer than a lease
        return bytes(fetch(item))

    box.fetch = slow
    assert (rig.poll(), len(rig.told())) == (3, 3)


def test_a_refused_login_is_not_repeated_at_once(make_mail: Make) -> None:
    rig = make_mail()
    password = rig.folder / "password"
    password.write_text("wrong")
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.rounds(1)
    assert rig.open_alarms() == ["job"]
    rig.rounds(1)
    with rig.adapter.parts.store.reading() as db:  # nobody has asked again
        assert db.exec_driver_sql("SELECT fence FROM lease WHERE name LIKE 'mailbox:%'").scalar() == 1
    password.write_text("hemmelig")
    rig.adapter.close()
    rig.adapter = rig.open()
    rig.deliver(rig.note())
    rig.advance(seconds=ebxml_round.ACCESS_PAUSE_S)
    rig.rounds(1)
    assert rig.told() == ["Acknowledgment"]


# --- one bad mail -----------------------------------------------------------------------------------------------------


def bomb(parts: int) -> bytes:
    return (
        b'From: a@b.no\r\nContent-Type: multipart/related; boundary="q"\r\n\r\n'
        + b"--q\r\n\r\nx\r\n" * parts
        + b"--q--"
    )


BAD = {
    "empty": b"",
    "noise": bytes(range(256)) * 40,
    "a head without end": b"From: a@b.no\r\nX: " + b"x" * 80_000,
    "a thousand headers": b"From: a@b.no\r\n" + b"X: y\r\n" * 1_500 + b"\r\n",
    "no boundary": b"From: a@b.no\r\nContent-Type: multipart/related\r\n\r\nx\r\n",
    "many parts": bomb(500),
    "nested parts": b'From: a@b.no\r\nContent-Type: multipart/mixed; boundary="q"\r\n\r\n'
    b'--q\r\nContent-Type: multipart/mixed; boundary="r"\r\n\r\n--r\r\n\r\nx\r\n--r--\r\n--q--\r\n',
    "broken base64": b"From: a@b.no\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
    "no XML": b"From: a@b.no\r\nContent-Type: text/xml\r\n\r\n<<<<\r\n",
    "entities": b'From: a@b.no\r\nContent-Type: text/xml\r\n\r\n<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>\r\n',
}


@KINDS
def test_bad_mails_of_every_kind_are_kept_and_do_not_stop_the_good_one(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind)
    for content in BAD.values():
        rig.deliver(content)
    rig.deliver(rig.note())
    rig.rounds(2)
    assert (rig.told(), rig.steps()) == (["Acknowledgment"], ["accepted"])
    assert rig.kept() == len(BAD) + 1
    rig.advance(hours=73)
    rig.rounds(1)
    assert rig.held() == 0
    assert rig.open_alarms() == []  # what nobody can do anything about any more


@KINDS
def test_a_mail_above_the_limit_is_told_looked_past_and_cleared_when_it_is_gone(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind, box={"mail_limit_bytes": 100_000})
    rig.deliver(JUNK + b"x" * 200_000)
    rig.deliver(rig.note())
    rig.rounds(3)
    assert (rig.told(), rig.open_alarms()) == (["Acknowledgment"], ["unread mail"])
    for file in maildir(rig).rglob(f"*,S={len(JUNK) + 200_000}*"):
        file.unlink()
    rig.rounds(1)
    assert rig.open_alarms() == []


def test_a_full_page_of_mails_that_cannot_be_read_hides_nothing(make_mail: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr(ebxml_mail, "PAGE", 3)
    rig = make_mail(box={"mail_limit_bytes": 100_000})
    for _ in range(7):
        rig.deliver(JUNK + b"x" * 100_000)
    rig.deliver(rig.note())
    rig.rounds(1)
    assert rig.told() == ["Acknowledgment"]


def test_a_mail_that_vanishes_between_list_and_fetch_stops_nothing(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(JUNK)
    rig.deliver(rig.note())

    def vanish() -> None:
        [file] = list(maildir(rig).rglob(f"*,S={len(JUNK)}*"))
        file.unlink()

    stalled(rig, "list", vanish)
    rig.rounds(1)
    assert (rig.told(), rig.open_alarms()) == (["Acknowledgment"], [])


def test_a_mail_that_breaks_our_own_code_holds_up_the_others_for_one_round(
    make_mail: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_mail()
    rig.deliver(JUNK)
    rig.deliver(rig.note())
    opened = ebxml_mail.open_message

    def defect(raw: bytes) -> Any:
        if raw == JUNK and not mended:
            raise ZeroDivisionError
        return opened(raw)

    mended: list[int] = []
    monkeypatch.setattr(ebxml_mail, "open_message", defect)
    rig.rounds(1)
    assert (rig.told(), rig.open_alarms()) == ([], ["job"])
    rig.rounds(1)
    assert (rig.told(), rig.open_alarms()) == (["Acknowledgment"], [])
    mended.append(1)
    rig.advance(hours=1)
    rig.rounds(1)
    assert rig.kept() == 2


def test_a_mailbox_that_gives_no_mail_at_all_is_left_after_three(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(5):
        rig.deliver(rig.note())
    box: Any = rig.adapter.parts.mailbox
    asked: list[int] = []

    def torn(item: Any) -> bytes:
        asked.append(1)
        box._turns.drop()
        raise TransportError("no answer: the connection broke")

    box.fetch = torn
    rig.rounds(1)
    assert (len(asked), rig.told()) == (3, [])
    del box.fetch
    rig.rounds(1)
    assert (rig.told(), rig.open_alarms()) == (["Acknowledgment"] * 5, [])


def test_a_mailbox_that_fills_up_is_told_before_it_is_full(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(1)
    assert rig.open_alarms() == []
    cur = maildir(rig) / "cur"
    filling = [cur / f"1.M{number}.loopback,S=1:2,a" for number in range(round(MOST_MAILS * 0.95))]
    for file in filling:  # marked: they are not read
        rig.dovecot.put(file, b"x")
    rig.advance(hours=1)
    rig.poll()
    assert rig.open_alarms() == ["mailbox full"]
    for file in filling:
        file.unlink()
    rig.advance(hours=1)
    rig.poll()
    assert rig.open_alarms() == []


def test_a_mailbox_that_keeps_no_more_marks_is_told_and_stops_nothing(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.deliver(rig.note())
    box: Any = rig.adapter.parts.mailbox

    def full(*_: Any) -> Any:
        raise TransportError("the mailbox is full", code=MAIL_FULL)

    box.mark = full
    rig.rounds(2)
    assert (rig.told(), rig.kept(), rig.open_alarms()) == (["Acknowledgment"] * 2, 2, ["no marks"])
    box.mark = broken
    rig.deliver(rig.note())
    rig.rounds(2)
    assert rig.told() == ["Acknowledgment"] * 3
    del box.mark
    rig.deliver(rig.note())
    rig.rounds(1)
    assert rig.open_alarms() == []


def broken(*_: Any, **__: Any) -> Any:
    raise TransportError("no answer: the connection broke")


def test_a_stop_ends_the_round_after_the_mail_under_way(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(3):
        rig.deliver(rig.note())
    stalled(rig, "fetch", rig.adapter.parts.stopping.set)
    assert (rig.poll(), rig.told()) == (1, [])
    rig.adapter.parts.stopping.clear()
    assert (rig.poll(), len(rig.told())) == (2, 3)


def test_a_stop_breaks_off_the_calls_to_mail_servers_that_hang(make_mail: Make) -> None:
    heard = threading.Event()

    def deaf(wire: Wire) -> None:
        wire.say("220 hello")
        wire.dialogue("250-me\r\n250 AUTH PLAIN", "235 OK", "250 OK", "250 OK", "354 go on")
        wire.hear_until_dot()
        heard.set()
        wire.silence()

    with Scripted(deaf) as server:
        rig = make_mail(smtp={"port": server.port, "security": "none"})
        hurry = replace(rig.settings.worker, stop_calls_within_s=0.2)
        object.__setattr__(rig.adapter.parts, "settings", replace(rig.settings, worker=hurry))
        rig.deliver(rig.note())
        service = Service(rig.adapter.parts)
        service.start()
        assert heard.wait(10)
        began = time.monotonic()
        assert service.stop()
        assert time.monotonic() - began < 2
    [row] = rig.adapter.list()
    assert row["direction"] == "in"  # it is stored, and its signal is owed as before


def test_p28_with_a_full_disk_nothing_is_fetched_and_it_resumes_by_itself(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    store: Any = rig.adapter.parts.store
    store.free_bytes = lambda: -1
    assert (rig.poll(), rig.kept(), rig.open_alarms()) == (0, 0, ["disk"])
    del store.free_bytes
    assert (rig.poll(), rig.kept(), rig.open_alarms()) == (1, 1, [])


def test_p12_a_mailbox_that_we_only_listen_to_is_neither_read_nor_cleaned(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.poll()
    rig.change(replace(rig.settings.tenant[0], listen_only=True))
    rig.deliver(JUNK)
    rig.advance(hours=100)
    rig.rounds(2)
    assert (rig.held(), rig.kept(), rig.open_alarms()) == (2, 1, [])


def test_a_mail_that_cannot_be_read_again_is_not_deleted_and_does_not_stop_the_others(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(3):
        rig.deliver(rig.note())
    rig.rounds(1)
    rig.advance(hours=73)
    box: Any = rig.adapter.parts.mailbox
    fetch = box.fetch
    box.fetch = lambda item: broken() if item.identity.uid == "2" else fetch(item)
    rig.rounds(1)
    assert rig.held() == 1
    del box.fetch
    rig.rounds(1)
    assert rig.held() == 0


def test_a_mailbox_that_refuses_to_delete_is_told_and_asked_again_in_an_hour(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(1)
    rig.advance(hours=73)
    box: Any = rig.adapter.parts.mailbox
    box.delete = broken
    rig.rounds(1)
    assert (rig.held(), rig.open_alarms()) == (1, ["job"])
    del box.delete
    rig.rounds(1)
    assert (rig.held(), rig.open_alarms()) == (1, [])
    rig.advance(hours=1)
    rig.rounds(1)
    assert rig.held() == 0


def test_a_dead_mailbox_ends_the_cleaning_after_three(make_mail: Make) -> None:
    rig = make_mail()
    for _ in range(5):
        rig.deliver(rig.note())
    rig.rounds(1)
    rig.advance(hours=73)
    asked: list[int] = []

    def silent(_: Any) -> Any:
        asked.append(1)
        broken()

    box: Any = rig.adapter.parts.mailbox
    box.fetch = silent
    rig.rounds(1)
    assert (len(asked), rig.held(), rig.open_alarms()) == (3, 5, ["job"])


def test_a_larger_mail_under_an_old_name_is_not_deleted(make_mail: Make) -> None:
    rig = make_mail(box={"mail_limit_bytes": 100_000})
    rig.deliver(rig.note())
    rig.rounds(1)
    rig.advance(hours=73)
    box: Any = rig.adapter.parts.mailbox
    fetch = box.fetch
    box.fetch = lambda item: fetch(replace(item, size_bytes=100_001))
    rig.poll()
    assert (rig.held(), rig.open_alarms()) == (1, ["name given twice"])


def test_what_others_have_marked_as_ours_is_left_alone(make_mail: Make) -> None:
    rig = make_mail()
    rig.deliver(rig.note())
    rig.rounds(1)
    box = rig.adapter.parts.mails[0].mailbox
    rig.deliver(JUNK)
    [item] = box.list()
    box.mark(item)
    for file in maildir(rig).rglob("*,S=*"):
        if file.stat().st_size != len(JUNK):
            file.unlink()
    rig.advance(hours=73)
    rig.rounds(3)
    assert (rig.held(), rig.kept()) == (1, 1)
    assert len(rig.adapter.parts.mails[0].memory.strangers) == 1


class Death(BaseException):
    """The end of a process at this point."""


@KINDS
def test_a_death_after_any_commit_loses_nothing_and_takes_nothing_twice(make_mail: Make, kind: str) -> None:
    rig = make_mail(kind)
    deaths = 0
    for number in range(1, 12):
        rig.deliver(rig.note())
        store = rig.adapter.parts.store
        end = store.commits + number

        def die(commits: int, end: int = end) -> None:
            if commits >= end:
                raise Death

        store.after_commit = die
        with suppress(Death):
            rig.poll()
            deaths -= 1
        deaths += 1
        store.after_commit = None
        rig.adapter.close()
        rig.adapter = rig.open()
        rig.advance(seconds=ebxml_round.LEASE_S + 1)
        rig.rounds(1)
    assert deaths >= 6  # the lease, the bytes, the row, what is owed, what was sent, the end
    assert (rig.steps(), rig.kept(), rig.open_alarms()) == (["accepted"] * 11, 11, [])
    answered = [open_message(mail.content).envelope.receipt for mail in rig.sink.taken]
    assert len({one.ref_to_message_id for one in answered if one is not None}) == 11
    rig.advance(hours=73)
    rig.poll()
    assert rig.held() == 0


def test_a_store_without_the_lease_lets_nobody_write(make_mail: Make) -> None:
    rig = make_mail()
    store = rig.adapter.parts.store
    held = fence.take(store, "box", "one", lasts_s=10)
    assert held is not None
    assert fence.take(store, "box", "two", lasts_s=10) is None
    rig.advance(seconds=11)
    assert fence.take(store, "box", "two", lasts_s=10) is not None
    with pytest.raises(Exception, match=fence.LOST), fence.FencedStore(store, held).transaction():
        raise AssertionError("nothing may be written")
