"""A look into the mailbox before a resend: the receipt may lie there unread (HITS 1171 8.1).

A resend that is not needed harms nobody: it has the same MessageId, and the partner drops it and repeats the receipt. A
resend that never goes out may leave a patient waiting. So while the mailbox cannot be read resends wait, a person is
told, and after an hour they go out all the same; those of emergencies do not wait at all.
"""

from __future__ import annotations

from typing import Any

from adapter.errors import AdapterError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.ebxml_mail import take_in
from adapter.flow.ebxml_round import mailbox_round
from adapter.flow.parts import HOUR_US, MailRoad, Parts
from adapter.model.delivery import Leg
from adapter.store import journal, mails, outbox
from adapter.store.statements import Row

FRESH_US = 30_000_000  # a look that began later than this serves for another resend too
LONGEST_WAIT_US = HOUR_US
LOOK_AGAIN_US = 300_000_000


def look_first(parts: Parts, row: Row) -> bool:
    """True when the claimed row is still to be sent again, or given up, after a look into its tenant's mailbox.

    False: a receipt was there, or the row has been put back and waits for a look. Nothing waits for another thread's
    look: that one has the mailbox, and the row its turn a little later.
    """
    road = parts.mail_of(row["tenant"])
    looked = road is None or _looked(parts, road)
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        found = outbox.find_delivery(db, row["id"])
        if found is None or found["leg"] != Leg.SENDING.value:
            return False  # the receipt was there
        if looked or row["urgency"] == 0:
            return True
        since = mails.waits_since(db, found)
        if since is not None and now - since >= LONGEST_WAIT_US:
            journal.note(db, found, at=now, kind="sent without a look")
            return True
        columns: dict[str, Any] = {"lease_by": None, "lease_until": None, "resends": max(found["resends"] - 1, 0)}
        journal.move(db, found, at=now, kind=mails.WAITS, leg=Leg.UNKNOWN, due_at=now + LOOK_AGAIN_US, **columns)
    return False


def _looked(parts: Parts, road: MailRoad) -> bool:
    """True when all that lay in the mailbox just now was taken in."""
    begun = parts.store.now_us()
    if begun - road.memory.looked_at <= FRESH_US:
        return True
    incident = f"look:{road.mailbox.name}"
    try:
        with mailbox_round(parts, road) as look:
            if look is not None:
                take_in(look)
    except AdapterError as error:
        raise_alarm(parts, incident, f"resends wait, as the mailbox cannot be read: {error.code}")
        return False
    if road.memory.looked_at < begun:  # another worker has the mailbox, or we are stopping
        return False
    all_clear(parts, incident)
    return True
