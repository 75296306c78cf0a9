"""A rig on the ebXML road by mail: a real SMTP server, Dovecot, and a clinic that answers by mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from adapter.config import TenantSettings
from adapter.ebxml.opening import open_message
from adapter.model.process import Process, national
from adapter.simulator.world import SOLVANG_GP
from tests.journeys.clinic import CLINIC, PinnedRig, edi_address
from tests.journeys.rig import letter
from tests.transport.mail_servers import PASSWORD, Dovecot, Sink, Taken

USERS = count()
NOTES = count(1)


class MailRig(PinnedRig):
    """The clinic reads what the SMTP server took; its own mails are put into our mailbox."""

    road = "ebxml-mail"
    dovecot: Dovecot
    sink: Sink
    kind = "imap"

    more: Mapping[str, Any] = {}  # settings: of the mail, and of its servers by name

    own: Sequence[str] = ()  # tenants with mail of their own

    def _settings(self, tenants: Any, more: Any) -> Any:
        self.users: dict[str, str] = {}
        self.user = f"solvang{next(USERS)}"
        return super()._settings(tenants, {**more, "mail": self._mail(self.user, edi_address(8091301))})

    def _tenant(self, name: str) -> dict[str, Any]:
        plain = super()._tenant(name)
        if name in self.own:
            self.users[name] = f"{name}{next(USERS)}"
            plain["mail"] = self._mail(self.users[name], edi_address(plain["her_ids"][0]))
        return plain

    def _mail(self, user: str, address: str) -> dict[str, Any]:
        account = {"host": "127.0.0.1", "user": user, "ca_file": str(self.dovecot.certificate)}
        account["password"] = {"file": str(self._password())}  # type: ignore[assignment]
        port = self.dovecot.imaps if self.kind == "imap" else self.dovecot.pop3s
        changes = dict(self.more)
        return {
            "address": address,
            "smtp": {**account, "port": self.sink.port, **changes.pop("smtp", {})},
            self.kind: {**account, "port": port, **changes.pop("box", {})},
            **changes,
        }

    def _password(self) -> Path:
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(PASSWORD)
        return file

    def serve(self, mail: Taken) -> None:
        opened = open_message(mail.content)  # the clinic keeps our receipts and errors and says nothing to them
        asks = opened.attachments or opened.envelope.kind in ("Ping", "StatusRequest")
        back = self.clinic.take_mail(mail.content) if asks else None
        if back is not None:
            self.deliver(back)

    def deliver(self, mail: bytes) -> None:
        self.dovecot.deliver(self.user, mail)

    def change(self, tenant: TenantSettings) -> None:
        """Another process with other settings on the same store."""
        self.settings = replace(self.settings, tenant=(tenant,))
        self.adapter.close()
        self.adapter = self.open()

    def kept(self) -> int:
        """How often raw bytes were kept."""
        with self.adapter.parts.store.reading() as db:
            return len(db.exec_driver_sql("SELECT 1 FROM payload WHERE role = 'envelope'").all())

    def told(self) -> list[str | None]:
        """The kinds of what we sent by mail."""
        return [open_message(mail.content).envelope.kind for mail in self.sink.taken]

    # -- the clinic's mails, and ours ------------------------------------------------------------------------------

    def note(self, receiver: int = SOLVANG_GP) -> bytes:
        """A new dialogue note of the clinic's to us, as a mail."""
        number = f"aaaaaaaa-0000-4000-8000-{next(NOTES):012x}"
        document = letter(self, sender=CLINIC, receiver=receiver, msg_id=number)
        return self.clinic.mail(*self.clinic.note(document, receiver=receiver))

    def process(self) -> Process:
        """What the clinic's notes are."""
        return national("DIALOG_NOTAT")

    def held(self) -> int:
        """How many mails lie in our mailbox, on the server's disk."""
        return len(self.dovecot.held(self.user))

    def open_alarms(self) -> list[str]:
        """Open incidents up to the first colon; those of clocks and consumers are not of the mail."""
        names = {one["name"].partition(":")[0] for one in self.adapter.alarms()}
        return sorted(name for name in names if "clock" not in name and not name.startswith("handover"))

    def poll(self) -> int:
        """One look into the mailbox and nothing else."""
        from adapter.flow.ebxml_mail import poll_mailbox

        return poll_mailbox(self.adapter.parts)

    def dispatch(self) -> int:
        """What is due goes out, and nothing else happens."""
        from adapter.flow.dispatch import dispatch

        return dispatch(self.adapter.parts)


Make = Callable[..., MailRig]
