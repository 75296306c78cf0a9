"""The ebXML road by mail: an SMTP server (aiosmtpd) that takes what is addressed to a partner, and bounces."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

SIZE_LIMIT = 60_000_000
START_S = 10.0


class SmtpServer:
    """Listens on a free loopback port from ``start`` to ``stop``; mails are taken in a thread of its own."""

    def __init__(
        self, refuses: Callable[[str], str | None], take: Callable[[str, bytes], object], port: int = 0
    ) -> None:
        """``refuses``: the reply to an address that is not taken, else None. ``take``: receiver's address and mail."""
        self._refuses = refuses
        self._take = take
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator-smtp", daemon=True)

    def start(self) -> None:
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._thread.start()
        if not self._serving.wait(START_S):
            raise TimeoutError("the SMTP server does not start")

    def stop(self) -> None:
        """End all sessions; may be called once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_S)
        self._socket.close()

    def _run(self) -> None:
        from aiosmtpd import smtp

        def session() -> Any:
            return smtp.SMTP(self, data_size_limit=SIZE_LIMIT, hostname="simulator", loop=self._loop)

        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(session, sock=self._socket))
        self._serving.set()
        self._loop.run_forever()
        server.close()
        waiting = asyncio.all_tasks(self._loop)
        for task in waiting:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
        self._loop.close()

    # -- called by aiosmtpd --------------------------------------------------------------------------------------------

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        refusal = self._refuses(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        for address in envelope.rcpt_tos:
            self._take(address, envelope.original_content)
        return "250 2.0.0 OK: taken"


def write_bounce(mail: bytes, receiver: str, sender: str, at: datetime) -> bytes:
    """A delivery report (RFC 3464) to ``sender``: the mail to ``receiver`` could not be delivered, for good."""
    original = mail.partition(b"\r\n\r\n")[0].decode("ascii", "backslashreplace").replace("\r\n", "\n")
    report = MIMEMultipart("report")
    report.set_param("report-type", "delivery-status")
    report["From"], report["To"] = "MAILER-DAEMON@simulator.invalid", sender
    report["Subject"], report["Date"] = "Undelivered Mail Returned to Sender", format_datetime(at)
    report["Message-ID"] = f"<bounce-{hashlib.sha256(mail).hexdigest()[:24]}@simulator.invalid>"
    report.attach(MIMEText("The mail could not be delivered: there is no such mailbox.\n", "plain", "us-ascii"))
    about, one, status = Message(), Message(), Message()
    about["Reporting-MTA"] = "dns; simulator.invalid"
    one["Final-Recipient"], one["Action"], one["Status"] = f"rfc822; {receiver}", "failed", "5.1.1"
    status["Content-Type"] = "message/delivery-status"
    status.set_payload([about, one])
    report.attach(status)
    report.attach(MIMEText(f"{original}\n", "rfc822-headers", "us-ascii"))
    return report.as_bytes(policy=SMTP)
