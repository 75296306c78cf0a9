"""The facts of a CPA or CPP that we act on, and the look-ups over them (ebxml digest 7.3).

Status, DigitalEnvelope, timeToPerform, certificate ``@oid`` and the agreement's own Signature are not acted on: real
agreements all say ``proposed`` and carry empty or wrong values there (7.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapter.ebxml.words import PartyId
from adapter.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel is reached: ``uri`` as written, ``use`` allPurpose, request, response, error or login."""

    uri: str
    use: str = "allPurpose"

    @property
    def mail_address(self) -> str | None:
        """The address in a ``mailto:`` (agreements write ``mailto://`` too); None for anything else."""
        scheme, _, rest = self.uri.partition(":")
        address = rest.removeprefix("//").partition("?")[0].strip()
        return address if scheme.strip().lower() == "mailto" and "@" in address else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A delivery channel with what its transport and document exchange say.

    ``acknowledge``, ``sign_receipt`` and ``eliminate_duplicates`` are always, never or perMessage; times in seconds,
    None where the agreement says nothing usable.
    """

    id: str
    protocol: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    sync_reply: str = "none"
    acknowledge: str = "perMessage"
    sign_receipt: str = "perMessage"
    eliminate_duplicates: str = "perMessage"
    retries: int | None = None
    retry_interval_s: int | None = None
    persist_s: int | None = None
    signing_certificate: str | None = None
    signature_algorithm: str | None = None
    hash_function: str | None = None

    @property
    def by_mail(self) -> bool:
        return (self.protocol or "").upper() == "SMTP"

    @property
    def by_http(self) -> bool:
        return (self.protocol or "").upper() in ("HTTP", "HTTPS")

    def endpoint(self, use: str = "request") -> Endpoint | None:
        """The endpoint for ``request``, ``response`` or ``error``, else the one for all purposes, else the first."""
        for wanted in (use, "allPurpose"):
            found = next((one for one in self.endpoints if one.use == wanted), None)
            if found:
                return found
        return self.endpoints[0] if self.endpoints else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing a party may send or receive: action, package and channels in order of preference."""

    name: str
    package: str | None = None
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """A CollaborationRole: process, role, service, what is sent and received, and the encryption certificate's id."""

    process: str | None
    process_version: str | None
    process_uuid: str | None
    role: str
    service: str
    service_type: str | None = None
    sends: tuple[Action, ...] = ()
    receives: tuple[Action, ...] = ()
    encryption_certificate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """How a message is packed: encrypted, compressed, and its documents as (namespace, schema file, version)."""

    id: str
    encrypted: bool = False
    compressed: bool = False
    documents: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyFacts:
    """One side. ``certificates`` are DER by certificate id, ``channels`` by channel id."""

    name: str | None
    ids: tuple[PartyId, ...]
    roles: tuple[RoleFacts, ...] = ()
    channels: Mapping[str, Channel] = field(default_factory=dict)
    certificates: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    default_channel: str | None = None
    signal_channels: Mapping[str, str] = field(default_factory=dict)

    def is_named_by(self, ids: Sequence[PartyId]) -> bool:
        """True when any (type, value) is among the party's; agreements list more types than headers do."""
        mine = {(one.type, one.value) for one in self.ids}
        return any((one.type, one.value) in mine for one in ids)

    @property
    def her_id(self) -> int | None:
        found = next((one.value for one in self.ids if one.type == "HER"), "")
        return int(found) if found.isascii() and found.isdigit() and len(found) <= 10 else None

    def role_for(self, role: str | None, service: str, action: str, *, sends: bool) -> tuple[RoleFacts, Action] | None:
        """The role of that service that sends (or receives) the action; ``role`` None: whichever role does."""
        for one in self.roles:
            if one.service != service or (role is not None and one.role != role):
                continue
            for known in one.sends if sends else one.receives:
                if known.name == action:
                    return one, known
        return None

    def signal_channel(self, action: str) -> Channel | None:
        """The channel of a signal: the override for that action, else the default channel."""
        wanted = self.signal_channels.get(action) or self.default_channel or ""
        return self.channels.get(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way from a sender to a receiver: both channels, both certificates (DER or None), and the packaging."""

    sender: PartyFacts
    receiver: PartyFacts
    from_role: str | None
    to_role: str | None
    sender_channel: Channel
    receiver_channel: Channel
    signing_certificate: bytes | None
    encryption_certificate: bytes | None
    package: PackageFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A CPA (two parties) or a CPP (one; no period). ``start`` and ``end`` are UTC or None."""

    id: str
    profile: bool
    status: str | None
    start: datetime | None
    end: datetime | None
    parties: tuple[PartyFacts, ...]
    packages: Mapping[str, PackageFacts] = field(default_factory=dict)
    version: str | None = None

    def valid_at(self, received: datetime) -> bool:
        """Judged by the time of receipt, never by the message's own time."""
        return (self.start is None or self.start <= received) and (self.end is None or received < self.end)

    def party(self, ids: Sequence[PartyId]) -> PartyFacts | None:
        """The first party that one of the ids names."""
        return next((one for one in self.parties if one.is_named_by(ids)), None)

    def other(self, party: PartyFacts) -> PartyFacts | None:
        return next((one for one in self.parties if one is not party), None)

    def route(
        self,
        sender: Sequence[PartyId],
        receiver: Sequence[PartyId],
        *,
        service: str,
        action: str,
        from_role: str | None = None,
        to_role: str | None = None,
        by_mail: bool | None = None,
    ) -> Route:
        """The agreed way of a business message (7.3 a); ``by_mail`` prefers channels of that road where there are any.

        Raises NotFoundError: CPA.SENDER, CPA.RECEIVER, CPA.PROCESS, CPA.CHANNEL.
        """
        one, other = self._sides(sender, receiver)
        sending = one.role_for(from_role, service, action, sends=True)
        taking = other.role_for(to_role, service, action, sends=False)
        if sending is None or taking is None:
            raise NotFoundError("role, service and action are not agreed", code="CPA.PROCESS")
        (from_facts, sent), (to_facts, taken) = sending, taking
        sender_channel, receiver_channel = _matching(one, sent, other, taken, by_mail)
        return Route(
            sender=one,
            receiver=other,
            from_role=from_facts.role,
            to_role=to_facts.role,
            sender_channel=sender_channel,
            receiver_channel=receiver_channel,
            signing_certificate=one.certificates.get(sender_channel.signing_certificate or ""),
            encryption_certificate=other.certificates.get(to_facts.encryption_certificate or ""),
            package=self.packages.get(sent.package or ""),
        )

    def signal_route(self, sender: Sequence[PartyId], receiver: Sequence[PartyId], action: str) -> Route:
        """The way of a signal: default channels; neither roles nor the period matter (7.3 b). Raises NotFoundError."""
        one, other = self._sides(sender, receiver)
        sender_channel, receiver_channel = one.signal_channel(action), other.signal_channel(action)
        if sender_channel is None or receiver_channel is None:
            raise NotFoundError("the agreement names no channel for signals", code="CPA.CHANNEL")
        return Route(
            sender=one,
            receiver=other,
            from_role=None,
            to_role=None,
            sender_channel=sender_channel,
            receiver_channel=receiver_channel,
            signing_certificate=one.certificates.get(sender_channel.signing_certificate or ""),
            encryption_certificate=None,
        )

    def _sides(self, sender: Sequence[PartyId], receiver: Sequence[PartyId]) -> tuple[PartyFacts, PartyFacts]:
        one, other = self.party(sender), self.party(receiver)
        if one is None:
            raise NotFoundError("the sender is no party of the agreement", code="CPA.SENDER")
        if other is None or other is one:
            raise NotFoundError("the receiver is no other party of the agreement", code="CPA.RECEIVER")
        return one, other


def _matching(
    one: PartyFacts, sent: Action, other: PartyFacts, taken: Action, by_mail: bool | None
) -> tuple[Channel, Channel]:
    """The first pair of channels with one protocol; else the first of each."""
    mine = _preferred([one.channels[name] for name in sent.channels if name in one.channels], by_mail)
    theirs = _preferred([other.channels[name] for name in taken.channels if name in other.channels], by_mail)
    for left in mine:
        for right in theirs:
            if (left.protocol or "").upper() == (right.protocol or "").upper():
                return left, right
    if not mine or not theirs:
        raise NotFoundError("the agreement names no channel for the action", code="CPA.CHANNEL")
    return mine[0], theirs[0]


def _preferred(channels: list[Channel], by_mail: bool | None) -> list[Channel]:
    return channels if by_mail is None else sorted(channels, key=lambda one: one.by_mail is not by_mail)
