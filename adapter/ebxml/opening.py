"""Open a received message: unpack, read, check what needs no key, and say what ``adapter open`` prints.

Three steps, so that the keys stay elsewhere: ``open_message`` gives root and parts; the caller verifies the signature
and decrypts; ``judge`` puts the outcomes among the failed rules and decides the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from urllib.parse import unquote

from adapter.ebxml.check_envelope import check_envelope, check_octets
from adapter.ebxml.check_packaging import check_attachment, check_packaging, check_parts, is_cms, is_gzip, uri_of
from adapter.ebxml.check_signature import check_coverage, check_signature
from adapter.ebxml.decide import Answer, decide
from adapter.ebxml.head import DEFAULT_LIMITS, Head, MimeLimits
from adapter.ebxml.mime import Package, Part, Shape, content_id_of, unpack, unpack_http
from adapter.ebxml.moments import write_moment
from adapter.ebxml.names import ErrorCode, Kind, Road
from adapter.ebxml.plaintext import Plaintext
from adapter.ebxml.read import read, signature_of, signed_references
from adapter.ebxml.rulebook import RULES, Act, Hit, finding, in_order
from adapter.ebxml.words import Envelope, Participant, SignedReference
from adapter.errors import Finding, UnreadableError
from adapter.xmlio import Element, Limits, parse

# NAV's services over HTTP whose documents travel in the clear, labelled as CMS (ebXML practice 5.4).
CLEAR_SERVICES = frozenset({"HarBorgerFrikort", "HarBorgerEgenandelFritak"})
_HELD = 300  # elements; more than any envelope has that people send
_NO_ENVELOPE = Envelope(kind=None)
ENVELOPE_LIMITS = Limits(size_bytes=2_000_000, elements=20_000, text_chars=1_000_000)


@dataclass(frozen=True, slots=True)
class OpenPart:
    """An attachment: its part, and its decoded octets (None when they cannot be decoded)."""

    part: Part
    content: bytes | None = field(repr=False)

    @property
    def content_id(self) -> str | None:
        return self.part.head.content_id

    @property
    def encrypted(self) -> bool:
        return self.content is not None and is_cms(self.content)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Opened:
    """A received message as far as it could be opened. ``root`` is None when there is no readable envelope.

    ``octets`` are the envelope's decoded octets; ``unreadable`` the stable code when unpacking or parsing failed.
    ``references`` are those of the envelope's own signature, which holds or not.
    """

    package: Package | None = None
    octets: bytes | None = None
    root: Element | None = None
    envelope: Envelope = field(default=_NO_ENVELOPE)
    references: tuple[SignedReference, ...] = ()
    attachments: tuple[OpenPart, ...] = ()
    hits: tuple[Hit, ...] = ()
    unreadable: str | None = None

    @property
    def road(self) -> Road | None:
        return self.package.road if self.package else None

    def parts(self) -> dict[str, bytes]:
        """Decoded octets by Content-ID, for the ``cid:`` references; ids that occur twice are left out."""
        ids = [one.content_id for one in self.attachments]
        return {
            one.content_id: one.content
            for one in self.attachments
            if one.content_id and one.content is not None and ids.count(one.content_id) == 1
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureOutcome:
    """What verification found: ``status`` valid, invalid or absent; ``covered`` the reference URIs that hold.

    ``rule`` is the numbered rule that an invalid one fails (46: certificate, 50: digest or value, EB3: a part that is
    not signed, …): whatever its own advice, the message is answered with a SecurityFailure. ``warnings`` are failed
    rules that do not make it invalid (104, 105).
    """

    status: str
    covered: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    rule: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """All failed rules in order, the findings they give, and the one answer."""

    hits: tuple[Hit, ...]
    answer: Answer
    uncovered: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        return [finding(hit) for hit in self.hits]


def open_message(data: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> Opened:
    """A mail, an HTTP capture or a bare envelope. Never raises: what cannot be opened is a failed rule."""
    try:
        package = unpack(data, limits)
    except UnreadableError as error:
        return Opened(hits=(Hit("EB1"),), unreadable=error.code)
    return open_package(package, limits)


def open_http(fields: Iterable[tuple[str, str]], body: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> Opened:
    """The same for a request or response whose head is apart."""
    try:
        package = unpack_http(fields, body, limits)
    except UnreadableError as error:
        head = Package(shape=Shape.NONE, road=Road.HTTP, head=Head(), envelope=None)
        return Opened(package=head, hits=(Hit("EB1"),), unreadable=error.code)
    return open_package(package, limits)


def open_package(package: Package, limits: MimeLimits = DEFAULT_LIMITS) -> Opened:
    """The envelope read, the attachments decoded, and every rule judged that needs no key."""
    hits = list(check_packaging(package))
    octets, root, code = _envelope(package, limits, hits)
    # lxml's objects are made anew, with their names, whenever they are asked for and nobody holds them.
    held = list(islice(root.iter(), _HELD)) if root is not None else []
    envelope = read(root) if root is not None else _NO_ENVELOPE
    references = signed_references(root) if root is not None and envelope.kind is not None else ()
    attachments, broken = _decoded(package, limits)
    clear_allowed = root is None or envelope.kind is not Kind.PAYLOAD or envelope.service in CLEAR_SERVICES
    for number, one in enumerate(attachments, 1):
        hits += check_attachment(number, one.part, one.content, clear_allowed=clear_allowed)
    if octets is not None and root is not None:
        hits += _checked(package, octets, root, envelope, references)
    del held
    return Opened(
        package=package,
        octets=octets,
        root=root,
        envelope=envelope,
        references=references,
        attachments=attachments,
        hits=tuple(hits),
        unreadable=code or broken,
    )


def _envelope(package: Package, limits: MimeLimits, hits: list[Hit]) -> tuple[bytes | None, Element | None, str | None]:
    """The envelope's octets and root, or the code of what made it unreadable."""
    if package.envelope is None:
        return None, None, None
    try:
        octets = package.envelope.content(limits)
        return octets, parse(octets, ENVELOPE_LIMITS), None
    except UnreadableError as error:
        hits.append(Hit("EB1", "envelope", error.line))
        return None, None, error.code


def _checked(
    package: Package, octets: bytes, root: Element, envelope: Envelope, references: Sequence[SignedReference]
) -> Iterator[Hit]:
    """The failed rules of the envelope, the form of its signature, and the Manifest against the parts that came."""
    charset = package.envelope.head.parameters.get("charset") if package.envelope is not None else None
    yield from check_octets(octets, charset)
    yield from check_envelope(root, envelope, package.road)
    if envelope.kind is not None:
        yield from check_signature(root, envelope.kind, references)
        yield from check_coverage(root, envelope, references)
    if package.road is not None and envelope.kind is Kind.PAYLOAD:
        yield from check_parts(package, envelope)


def _decoded(package: Package, limits: MimeLimits) -> tuple[tuple[OpenPart, ...], str | None]:
    if package.is_report:
        return (), None
    found, code = [], None
    for part in package.attachments:
        try:
            found.append(OpenPart(part, part.content(limits)))
        except UnreadableError as error:
            found.append(OpenPart(part, None))
            code = error.code
    return tuple(found), code


def judge(
    opened: Opened,
    signature: SignatureOutcome | None,
    decrypted: Mapping[int, Plaintext | None] | None = None,
    *,
    now: datetime | None = None,
    more: Sequence[Hit] = (),
) -> Judged:
    """All failed rules and the answer, with the outcomes that keys and clock give.

    ``signature`` None: it was not checked, and nothing is assumed. ``decrypted`` by the attachment's place (0-based),
    None for one that failed; no mapping at all: not tried, the answer assumes success. ``more`` are failed rules of
    agreement and register.
    """
    hits = [*opened.hits, *more]
    uncovered: tuple[str, ...] = ()
    if signature is None:
        if opened.root is not None and opened.envelope.kind is not None and signature_of(opened.root) is not None:
            hits.append(Hit("EB21", "/Envelope/Header/Signature"))
    else:
        uncovered = _uncovered(opened, signature.covered)
        hits += _signature_hits(opened, signature, uncovered)
    hits += _decryption_hits(opened, decrypted)
    if now is not None and opened.envelope.expired(now):
        hits.append(Hit("EB8", "/Envelope/Header/MessageHeader/MessageData/TimeToLive"))
    ordered = tuple(in_order(hits))
    return Judged(hits=ordered, answer=decide(opened.envelope, ordered, opened.road), uncovered=uncovered)


def _uncovered(opened: Opened, covered: Sequence[str]) -> tuple[str, ...]:
    """What came and is not signed: the envelope as "", parts by ``cid:``."""
    names = {content_id_of(uri) for uri in covered} - {None}
    names |= {unquote(name) for name in names if name}
    missing = [] if "" in covered else [""]
    if opened.road is None:  # a bare envelope: its parts are elsewhere
        lines = opened.envelope.manifest or ()
        return (
            *missing,
            *(line.href for line in lines if line.href and unquote(content_id_of(line.href) or "") not in names),
        )
    ids = [one.content_id for one in opened.attachments]
    missing += [f"cid:{name or ''}" for name in ids if name not in names or ids.count(name) > 1]
    return tuple(missing)


def _signature_hits(opened: Opened, signature: SignatureOutcome, uncovered: Sequence[str]) -> list[Hit]:
    place = "/Envelope/Header/Signature"
    hits = [Hit(rule, place) for rule in signature.warnings]
    if signature.status == "invalid":
        rule = (signature.rule if signature.rule in RULES else None) or "50"
        if not any(hit.rule == rule and hit.advice[0] is Act.ERROR for hit in opened.hits):  # its form told it already
            hits.append(Hit(rule, place, act=Act.ERROR, code=ErrorCode.SECURITY_FAILURE))
    if signature.status == "absent" and opened.envelope.kind is not None:
        hits.append(Hit("45", "/Envelope/Header"))
    if signature.status == "valid":
        for number, part in enumerate(opened.attachments, 1):
            if f"cid:{part.content_id or ''}" in uncovered:
                hits.append(Hit("EB3", f"attachment[{number}]", location=uri_of(part.part)))
    return hits


def _decryption_hits(opened: Opened, decrypted: Mapping[int, Plaintext | None] | None) -> list[Hit]:
    encrypted = [number for number, part in enumerate(opened.attachments) if part.encrypted]
    if decrypted is None:
        return [Hit("EB19", f"attachment[{number + 1}]") for number in encrypted]
    hits = []
    for number in encrypted:
        plaintext = decrypted.get(number)
        place = f"attachment[{number + 1}]"
        undecrypted = Hit("263", place, location=uri_of(opened.attachments[number].part))
        hits += [undecrypted] if plaintext is None else [Hit(hit.rule, place) for hit in plaintext.hits]
    return hits


def open_json(
    file: str,
    opened: Opened,
    judged: Judged,
    signature: SignatureOutcome | None,
    decrypted: Mapping[int, Plaintext | None] | None = None,
) -> dict[str, object]:
    """The line of ``adapter open --json`` (DESIGN section 7)."""
    envelope = opened.envelope
    return {
        "file": file,
        "shape": opened.package.shape.value if opened.package else "none",
        "kind": envelope.kind.value if envelope.kind else None,
        "from": _party(envelope.sender),
        "to": _party(envelope.receiver),
        "cpa_id": envelope.cpa_id,
        "conversation_id": envelope.conversation_id,
        "service": envelope.service,
        "action": envelope.action,
        "message_id": envelope.message_id,
        "ref_to_message_id": envelope.receipt.ref_to_message_id if envelope.receipt else envelope.ref_to_message_id,
        "timestamp": write_moment(envelope.timestamp) if envelope.timestamp else None,
        "signature": _signature(opened, judged, signature),
        "attachments": [_attachment(number, part, decrypted) for number, part in enumerate(opened.attachments)],
        "findings": [one.as_json() for one in judged.findings],
        "answer": {"kind": judged.answer.kind.value, "error_code": judged.answer.error_code},
    }


def _party(side: Participant) -> str | None:
    """The HER-id as text, else the organisation number, else the first id."""
    if side.her_id is not None:
        return str(side.her_id)
    return side.organisation_number or next((one.value for one in side.ids if one.value), None)


def _signature(opened: Opened, judged: Judged, signature: SignatureOutcome | None) -> dict[str, object]:
    present = opened.root is not None and signature_of(opened.root) is not None
    status = signature.status if signature else (None if present else "absent")
    return {
        "status": status,
        "covered": list(signature.covered) if signature else [],
        "uncovered": list(judged.uncovered),
        "algorithms": list(signature.algorithms) if signature else [],
    }


def _attachment(number: int, one: OpenPart, decrypted: Mapping[int, Plaintext | None] | None) -> dict[str, object]:
    plaintext = (decrypted or {}).get(number)
    compressed: bool | None = None if one.encrypted else one.content is not None and is_gzip(one.content)
    if plaintext is not None:
        compressed = plaintext.compressed
    return {
        "content_id": one.content_id,
        "content_type": one.part.head.content_type,
        "size_bytes": len(one.content) if one.content is not None else None,
        "encrypted": one.encrypted,
        "compressed": compressed,
    }
