"""What comes back from what we sent by mail: bounces and SOAP Faults. They tell a person, and change nothing (P19).

Anybody can write such a mail. So the row that it names gets an event and the flag "bounced" or "fault", and its leg and
plan of resends stay as they are; what names nothing of ours is an incident.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from adapter.ebxml.bounce import Bounce, read_bounce, read_plain_bounce, read_reply
from adapter.ebxml.opening import Opened
from adapter.flow.ebxml_post import named_by
from adapter.flow.parts import MailRoad, Parts
from adapter.model.delivery import Leg
from adapter.model.wire import EBXML_ROADS
from adapter.store import envelopes, journal, mails, outbox
from adapter.store.statements import Row

BOUNCED, FAULT = "bounced", "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A mail about one of ours. ``flag`` is the attention it asks for, None for a mere notice of a delay."""

    kind: str  # of the event
    flag: str | None
    mail_ids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()  # of ebXML: the envelope id is one
    detail: dict[str, object] = field(default_factory=dict)


def read_returned(opened: Opened, raw: bytes) -> Returned | None:
    """What came back, None for every other mail. Raises nothing for content."""
    package = opened.package
    if package is None:
        return None
    if opened.envelope.fault is not None and opened.envelope.kind is None:
        return Returned(kind="fault received", flag=FAULT, mail_ids=read_reply(package.head))
    bounce = read_bounce(package) or read_plain_bounce(package, raw)
    if bounce is None or (not package.is_report and not bounce.names()):
        return None
    return _bounced(bounce, plain=not package.is_report)


def _bounced(bounce: Bounce, *, plain: bool) -> Returned:
    detail: dict[str, object] = {"permanent": bounce.permanent, "plain": plain}
    if bounce.status is not None:
        detail["status"] = bounce.status
    if bounce.harmless:
        detail["action"] = bounce.action
    return Returned(
        kind="mail report" if bounce.harmless else "mail bounced",
        flag=None if bounce.harmless else BOUNCED,
        mail_ids=bounce.names(),
        message_ids=tuple(one for one in (bounce.envelope_id, bounce.ebxml_id) if one),
        detail=detail,
    )


def record_returned(db: sa.Connection, parts: Parts, road: MailRoad, returned: Returned) -> bool:
    """Write it down where it belongs, in the caller's transaction; False when it names nothing of ours."""
    now = parts.store.now_us()
    row = _delivery(db, road, returned)
    if row is not None:
        journal.note(db, row, at=now, kind=returned.kind, detail=returned.detail)
        if returned.flag is not None and row["leg"] != Leg.CONFIRMED.value:  # a receipt by the partner counts for more
            journal.flag(db, row, returned.flag, at=now, detail=returned.detail)
        return True
    for mail_id in returned.mail_ids:
        what, name = named_by(mail_id) or ("", "")
        answered = outbox.find_message(db, name) if what == "signal" else None
        if answered is not None and answered["tenant"] in road.tenants:
            mails.note_message(db, answered["id"], at=now, kind=f"signal: {returned.kind}", detail=returned.detail)
            return returned.flag is None  # a signal that came back has no row to be flagged: it is an incident
    return returned.flag is None


def _delivery(db: sa.Connection, road: MailRoad, returned: Returned) -> Row | None:
    """The delivery that went out so: by our envelope id, the Message-ID, or the returned envelope's MessageId."""
    rows = [envelopes.find_sent(db, EBXML_ROADS, one) for one in returned.message_ids]
    for mail_id in returned.mail_ids:
        what, name = named_by(mail_id) or ("", "")
        rows.append(mails.find_mailed(db, name, mail_id) if what == "message" else None)
    return next((row for row in rows if row is not None and row["tenant"] in road.tenants), None)
