"""Two adapters that write to each other by mail: own stores, own keys, own mailboxes, one virtual clock.

Between them stand a real SMTP server and Dovecot; the network loses, by script, exactly the mails that a test names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from adapter import shapes
from adapter.assembly import Adapter, open_adapter
from adapter.config import Settings, read_settings
from adapter.ebxml.opening import open_message
from adapter.ebxml.words import Envelope
from adapter.flow.handover import Taken as TakenMessage
from adapter.model.message import OutgoingMessage
from adapter.security.demo_ca import DemoCa, key_usage, write_pkcs12, write_roots
from adapter.security.keys import SigningKey
from adapter.simulator import world as place
from adapter.simulator.simulation import VirtualClock
from adapter.simulator.world import World
from tests.journeys.clinic import edi_address, registered
from tests.journeys.rig import empty_store, ids
from tests.transport.mail_servers import PASSWORD, Dovecot, Sink, Taken

ACK, APPREC, ERROR = "Acknowledgment", "APPREC", "MessageError"
USERS = count()


class Death(BaseException):
    """The end of a process at this point."""


@dataclass(frozen=True)
class Keys:
    """What an organisation signs with, and what others encrypt with for it."""

    signing: SigningKey
    opening: SigningKey


@lru_cache(maxsize=1)
def authority() -> DemoCa:
    return DemoCa.create("Pair Root CA")


@lru_cache(maxsize=8)
def keys_of(name: str, number: str, generation: int = 1) -> Keys:
    """Made once per process: RSA keys take a tenth of a second each."""
    del generation
    opening = authority().issue_company(name, number, usage=key_usage(key_encipherment=True))
    return Keys(signing=authority().issue_company(name, number), opening=opening)


@dataclass(frozen=True)
class Letter:
    """One envelope on the wire. ``kind`` is a signal's name, else the action."""

    kind: str
    sender: str
    words: Envelope
    octets: bytes
    lost: bool
    at: datetime


class Network:
    """Carries mails from the SMTP server to the mailboxes, and keeps a list of the envelopes that went over it."""

    def __init__(self, clock: VirtualClock, dovecot: Dovecot, sink: Sink) -> None:
        self.letters: list[Letter] = []
        self.users: dict[str, str] = {}  # by address
        self.losing: list[str] = []  # the next mail of each named kind is lost
        self._clock, self._dovecot, self._sink = clock, dovecot, sink

    def carry(self, mail: Taken) -> None:
        opened = open_message(mail.content)
        words = opened.envelope
        kind = words.action or "?"
        lost = kind in self.losing
        if lost:
            self.losing.remove(kind)
        else:
            self._dovecot.deliver(self.users[mail.receiver], mail.content)
        letter = Letter(kind, mail.sender, words, opened.octets or b"", lost, self._clock())
        self.letters.append(letter)

    def of(self, kind: str) -> list[Letter]:
        return [letter for letter in self.letters if letter.kind == kind]

    def counts(self) -> Mapping[str, int]:
        """How many envelopes of each kind went over the wire, the lost ones included."""
        return Counter(letter.kind for letter in self.letters)


class Side:
    """One organisation's adapter. ``taken`` is what its EHR was given, in order."""

    def __init__(self, pair: Pair, name: str, her_id: int, number: str) -> None:
        self.pair, self.name, self.her_id, self.number = pair, name, her_id, number
        self.folder = pair.folder / name
        self.folder.mkdir()
        self.user = f"pair-{name}{next(USERS)}"
        self.keys = keys_of(name, number)
        self.generation = 0
        self.taken: list[TakenMessage] = []
        self.alarms: list[str] = []
        self.address = edi_address(her_id)

    def settings(self) -> Settings:
        """Written anew, with the keys as they are now."""
        write_roots((authority().certificate,), self.folder / "roots.pem")
        write_pkcs12(self.keys.signing, self.folder / "company.p12")
        write_pkcs12(self.keys.opening, self.folder / "opening.p12")
        plain = {
            "environment": "test",
            "software": {
                "fagsystem": f"EPJ {self.name}",
                "fagsystem_version": "1.0",
                "mellomvare": "adapter",
                "mellomvare_version": "0.1.0",
                "msh": "adapter",
                "msh_version": "0.1.0",
            },
            "tenant": [
                {
                    "name": self.name,
                    "organisation_number": self.number,
                    "her_ids": [self.her_id],
                    "sign_with": "company",
                    "decrypt_with": ["opening"],
                }
            ],
            "store": {"url": "sqlite:///store.db", "low_water_bytes": 0},
            "keys": {"company": {"pkcs12": "company.p12"}, "opening": {"pkcs12": "opening.p12"}},
            "trust": {"roots": ["roots.pem"], "revocation": "off"},
            **self.pair.road_settings(self),
        }
        return read_settings(plain, self.folder)

    def open(self) -> None:
        """A new process on the same store."""
        if self.generation:
            self.adapter.close()
        self.generation += 1
        (self.folder / "addressbook.json").write_text(json.dumps(self.pair.book))
        if not (self.folder / "store.db").exists():
            (self.folder / "store.db").write_bytes(empty_store())
        prefix = (self.her_id % 1000) * 100 + self.generation
        self.adapter: Adapter = open_adapter(self.settings(), now=self.pair.clock, ids=ids(prefix), chance=lambda: 0.5)
        object.__setattr__(self.adapter.parts, "alarm", lambda name, text, clear: self.alarms.append(name))

    def send(self, plain: Mapping[str, Any], to: Side, **more: Any) -> str:
        whole = {**plain, "sender": self.her_id, "receiver": {"her_id": to.her_id}, **more}
        return self.adapter.submit(shapes.read(OutgoingMessage, whole))

    def state(self, message_id: str) -> tuple[str, str]:
        """(leg, answer) of the one receiver."""
        [row] = self.adapter.show(message_id)["deliveries"]
        return row["leg"], row["answer"]

    def msg_id(self, message_id: str) -> str:
        return str(self.adapter.show(message_id)["message"]["msg_id"])

    def consume(self, decision: Any = "accept", codes: Sequence[str] = ()) -> int:
        """The EHR takes what there is, keeps what it does not have, and says what it makes of it."""
        found = self.adapter.take("ehr", limit=25)
        have = set(self.handed_over())
        for message in found:
            if message.msg_id not in have:
                self.taken.append(message)
            self.adapter.confirm(message.token, decision, codes)
        return len(found)

    def handed_over(self) -> list[str | None]:
        return [message.msg_id for message in self.taken]

    def steps(self) -> Mapping[str, int]:
        """The steps of everything received."""
        return Counter(row["step"] for row in self.adapter.list() if row["direction"] == "in")

    def receipts(self) -> list[str]:
        """The legs of the AppRecs that it owed."""
        return [row["leg"] for row in self.adapter.list() if row["answer"] == "not asked"]

    def attention(self) -> list[str]:
        return [row["attention"] for row in self.adapter.list(attention=True)]

    def events(self) -> Mapping[str, int]:
        """How often each kind of thing happened."""
        return Counter(event["kind"] for event in self.adapter.events(limit=10_000))

    def dies_after(self, kind: str) -> None:
        """Its process ends right after the commit that holds an event of this kind."""
        self._dies(lambda commits: self.events()[kind] > 0)

    def dies_at(self, number: int) -> None:
        """Its process ends right after so many commits from now."""
        end = self.adapter.parts.store.commits + number
        self._dies(lambda commits: commits >= end)

    def _dies(self, is_over: Callable[[int], bool]) -> None:
        def look(commits: int) -> None:
            if is_over(commits):
                raise Death

        self.adapter.parts.store.after_commit = look

    def loses_its_mailbox(self) -> None:
        mailbox = self.adapter.parts.mailbox
        assert mailbox is not None
        found = mailbox.list()
        assert len(mailbox.delete(*found)) == len(found) > 0


class Pair:
    """Solvang legekontor and Frisklivssentral Granli, by mail."""

    agreement: Mapping[str, Any] = {"road": "ebxml-mail"}

    def __init__(self, folder: Path, dovecot: Dovecot, sink: Sink) -> None:
        self.dovecot, self.sink = dovecot, sink
        self._begin(folder)
        self.network = Network(self.clock, dovecot, sink)
        self.network.users = {side.address: side.user for side in self.sides}
        sink.on_mail = self.network.carry

    def _begin(self, folder: Path) -> None:
        self.folder = folder
        # The keys are valid from the day they are made.
        self.clock = VirtualClock(datetime.now(UTC).replace(microsecond=0))
        self.solvang = Side(self, "solvang", place.SOLVANG_GP, "310045101")
        self.granli = Side(self, "granli", place.GRANLI_FRISKLIV, "312045303")
        self.sides = (self.solvang, self.granli)
        self.book = self.make_book()
        for side in self.sides:
            side.open()

    def road_settings(self, side: Side) -> dict[str, Any]:
        password = side.folder / "password"
        password.touch(mode=0o600)
        password.write_text(PASSWORD)
        server = {"host": "127.0.0.1", "user": side.user, "password": {"file": "password"}}
        server["ca_file"] = str(self.dovecot.certificate)
        smtp, imap = {**server, "port": self.sink.port}, {**server, "port": self.dovecot.imaps}
        return {"mail": {"address": side.address, "smtp": smtp, "imap": imap}}

    def make_book(self) -> dict[str, Any]:
        """The register as both see it: the road, and each one's current certificates."""
        book = World().address_book()
        for party in book["parties"]:
            for side in self.sides:
                if party["herId"] == side.her_id:
                    keys = {"signing": side.keys.signing, "encryption": side.keys.opening}
                    party["_certificates"] = {use: registered(key) for use, key in keys.items()}
                    party["_agreement"] = {**party["_agreement"], **self.agreement}
        return book

    def rounds(self, number: int = 1, *, seconds: float = 61, each: Callable[[], object] | None = None) -> None:
        """Rounds of both workers, Solvang's first, and time after each."""
        for _ in range(number):
            for side in self.sides:
                side.adapter.run_once()
            if each is not None:
                each()
            self.advance(seconds=seconds)

    def advance(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())

    def close(self) -> None:
        for side in self.sides:
            side.adapter.close()


class HttpPair(Pair):
    """The same two by HTTP: Granli listens at ``url``, Solvang at ``port``."""

    def __init__(self, folder: Path, url: str, port: int) -> None:
        self.agreement = {"road": "ebxml-http", "endpoint": url}
        self._port = port
        self._begin(folder)

    def road_settings(self, side: Side) -> dict[str, Any]:
        return {"receive": {"port": self._port}}
