"""What comes of a call to a mailbox whose server follows a script, over either protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from adapter.errors import AdapterError
from adapter.transport.imap import ImapMailbox
from adapter.transport.pop3 import Pop3Mailbox
from tests.transport.mail_servers import Play, Scripted, Wire

Box = TypeVar("Box", ImapMailbox, Pop3Mailbox)
MOST_S = 5


def outcome(play: Play, call: Callable[[Box], object], opened: Callable[[int], Box]) -> tuple[object, list[bytes]]:
    """What the call gives or raises, and what the server heard; ``opened`` makes the mailbox for a port."""
    with Scripted(play) as server:
        mailbox = opened(server.port)
        began = time.monotonic()
        try:
            came: object = call(mailbox)
        except AdapterError as error:
            came = error
        assert time.monotonic() - began < MOST_S
        mailbox.close()
        return came, server.heard


def cut_at_connect(wire: Wire) -> None:
    return None


def stall_at_connect(wire: Wire) -> None:
    wire.silence()
