"""Mails of ours: messages under a Message-ID written down before they leave, and the signals that mails are owed.

A signal goes to the register's EDI address of the party it answers and nowhere else. One that cannot be sent now waits
as a row and is tried again, the oldest mail's first; one that is refused for good is an incident.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapter.config_mail import MAIL_DOMAINS
from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.mime import unpack
from adapter.ebxml.pack import Attachment, MailHead, pack_mail
from adapter.errors import (
    AccessError,
    AdapterError,
    InputError,
    RemoteRefusalError,
    SettingsError,
    TransportError,
    UnreadableError,
)
from adapter.flow.alarms import all_clear, open_names, raise_alarm
from adapter.flow.parts import HOUR_US, MailRoad, Parts
from adapter.model.partner import RegisterEntry
from adapter.store import envelopes, mails
from adapter.store.statements import Row
from adapter.transport.line import MAIL_FULL, MAIL_LATER

SUBJECT = "ebXML"
MOST_SIGNALS = 100  # in one go
FIRST_WAIT_US = 60_000_000
LONGEST_WAIT_US = HOUR_US
GIVE_UP_US = 96 * HOUR_US  # the partner's plan of resends is over by then, and so is the time for an AppRec
_OURS = re.compile(r"(message|signal)\.([0-9A-Za-z-]{1,64})\.[^@]{1,100}@.{1,255}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What goes into one mail. ``mail_id`` is its Message-ID's part before the @."""

    mail_id: str
    envelope: bytes
    attachments: tuple[Attachment, ...] = ()
    envelope_id: str | None = None
    more: tuple[tuple[str, str], ...] = ()  # further headers


def send_mail(
    parts: Parts,
    partner: RegisterEntry | None,
    envelope: bytes,
    attachments: list[Attachment],
    *,
    envelope_id: str | None,
    row: Row | None = None,
    tenant: str | None = None,
) -> None:
    """One mail to the partner's registered EDI address, from the tenant's own (P23).

    With ``row`` its Message-ID is an event of that delivery before a byte leaves. Raises as ``MailSender.send`` does,
    and SettingsError for a partner without an address or a tenant without mail.
    """
    name = row["tenant"] if row is not None else tenant
    road = parts.mail_of(name) if name is not None else next(iter(parts.mails), None)
    if road is None:
        raise SettingsError("there is no mail road", code="EBXML.ROAD", where="mail", cure="add [mail]")
    mail_id = parts.new_id() if row is None else f"message.{row['id']}.{parts.new_id()}"
    letter = Letter(mail_id=mail_id, envelope=envelope, attachments=tuple(attachments), envelope_id=envelope_id)
    _address(parts, partner)
    if row is not None:
        with parts.store.transaction() as db:
            mails.note_mailed(db, row, f"{mail_id}@{road.domain}", at=parts.store.now_us())
    _post(parts, road, partner, letter)


def _address(parts: Parts, partner: RegisterEntry | None) -> str:
    if partner is None or partner.edi_address is None:
        raise SettingsError("the register has no EDI address for the partner", code="EBXML.ADDRESS")
    environment = parts.settings.environment.value
    if MAIL_DOMAINS.get(partner.edi_address.rpartition("@")[2].lower(), environment) != environment:
        text = "the partner's EDI address is of another environment"  # P22: nothing goes from one to the other
        raise SettingsError(text, code="SETTINGS.MIX", where=f"HER-id {partner.her_id}")
    return partner.edi_address


def _post(parts: Parts, road: MailRoad, partner: RegisterEntry | None, letter: Letter) -> None:
    """Boundary and the envelope's Content-ID are new each time; nothing signed is."""
    receiver = _address(parts, partner)
    head = MailHead(
        sender=road.settings.address,
        receiver=receiver,
        subject=SUBJECT,
        date=parts.now(),
        message_id=f"{letter.mail_id}@{road.domain}",
        more=letter.more,
    )
    start = f"envelope-{parts.new_id()}@adapter"
    boundary = f"part-{parts.new_id()}"
    packed = pack_mail(letter.envelope, letter.attachments, head, boundary=boundary, content_id=start)
    assert partner is not None
    full = f"mailbox full:{partner.her_id}"
    try:
        road.sender.send(head.sender, receiver, packed.mail(), envelope_id=letter.envelope_id)
    except TransportError as error:
        if error.code == MAIL_FULL:
            raise_alarm(parts, full, "a partner's mailbox is full; what goes there waits")
        raise
    all_clear(parts, full)


# --- signals ----------------------------------------------------------------------------------------------------------


def send_owed(parts: Parts, road: MailRoad) -> bool:
    """Send the signals that are due, the oldest mail's first; False when the mail server does not work.

    A partner who takes nothing now does not hold up the others: its signal is tried again later, after theirs.
    """
    waiting = f"signals:{road.mailbox.name}"
    with parts.store.reading() as db:
        rows = mails.owed_signals(db, road.mailbox.name, now=parts.store.now_us(), limit=MOST_SIGNALS)
    for row in rows:
        if parts.stopping.is_set():
            return False
        try:
            _send_signal(parts, road, row)
        except AccessError as error:
            _later(parts, row, waiting, error)
            return False
        except (RemoteRefusalError, SettingsError, InputError) as error:  # it would be refused every time
            _end(parts, row, "signal refused", error.code)
            raise_alarm(parts, f"mail:{row['name']}", f"a signal cannot be sent: {error.code}")
        except TransportError as error:
            _later(parts, row, waiting, error)
            if error.code not in (MAIL_FULL, MAIL_LATER):
                return False
    if waiting in open_names(parts):
        with parts.store.reading() as db:
            owed = mails.owed_signals(db, road.mailbox.name, now=1 << 62, limit=1)
        if not owed:
            all_clear(parts, waiting)
    return True


def _send_signal(parts: Parts, road: MailRoad, row: Row) -> None:
    with parts.store.reading() as db:
        signal = envelopes.find_signal(db, row["signal_of"])
        raw = envelopes.find_raw(db, row["message_id"]) if _is_fault(row) else b""
    if signal is None:
        _end(parts, row, "signal gone", "STORE.GONE")
        return
    letter = Letter(
        mail_id=f"signal.{row['signal_of']}.{parts.new_id()}",
        envelope=signal,
        more=_fault_head(raw) if _is_fault(row) else (),
    )
    _post(parts, road, parts.entry(row["signal_to"]), letter)
    with parts.store.transaction() as db:
        mails.set_answered(db, row["name"], at=parts.store.now_us())
    all_clear(parts, f"mail:{row['name']}")


def _is_fault(row: Row) -> bool:
    return bool(row["signal_kind"] == AnswerKind.SOAP_FAULT.value)


def _fault_head(raw: bytes) -> tuple[tuple[str, str], ...]:
    """A Fault names the mail that it is about (HITS 1172 4.2.3), and that no person wrote it (RFC 3834)."""
    automatic = (("Auto-Submitted", "auto-replied"),)
    try:
        named = unpack(raw).head.get("Message-ID") or ""
    except UnreadableError:
        named = ""
    return (*automatic, ("In-Reply-To", named)) if _MESSAGE_ID.fullmatch(named) else automatic


def _later(parts: Parts, row: Row, incident: str, error: AdapterError) -> None:
    """Tried again after a time that grows with the mail's age; given up when nobody waits for it any more."""
    now = parts.store.now_us()
    age = now - row["taken_at"]
    if age >= GIVE_UP_US:
        _end(parts, row, "signal given up", error.code)
        raise_alarm(parts, f"mail:{row['name']}", f"a signal could not be sent for days and is given up: {error.code}")
        return
    wait = min(max(FIRST_WAIT_US, age // 4), LONGEST_WAIT_US)
    with parts.store.transaction() as db:
        mails.set_due(db, row["name"], now + wait)
    raise_alarm(parts, incident, f"signals wait to be sent: {error.code}")


def _end(parts: Parts, row: Row, kind: str, code: str) -> None:
    """Nothing more is owed, though nothing was sent: the message says why."""
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        mails.set_answered(db, row["name"], at=now)
        mails.note_message(db, row["message_id"], at=now, kind=kind, detail={"code": code})


def named_by(mail_id: str) -> tuple[str, str] | None:
    """What went out under this Message-ID (without brackets): ("message", delivery id) or ("signal", message id).

    None for other mails. It is our own form, and anybody can write it: the store has to say the same.
    """
    found = _OURS.fullmatch(mail_id)
    return (found[1], found[2]) if found is not None else None
