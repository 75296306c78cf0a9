"""What the message server reads of a document: who sends, who receives, its ids. Nothing of its meaning.

The EDI 2.0 API version 2 has no addresses beside the document, so the server deduces them from MsgHead, AppRec and the
HCP form of Henvisning 1.x and Epikrise. Written apart from ``adapter.documents`` on purpose: the simulator judges the
adapter and must not share its mistakes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import adapter.xmlio as xmlio
from adapter.errors import UnreadableError

MSGHEAD = "http://www.kith.no/xmlstds/msghead/2006-05-24"
APPREC = ("http://www.kith.no/xmlstds/apprec/2004-11-21", "http://www.kith.no/xmlstds/apprec/2012-02-15")
_DECLARED = re.compile(rb"^(\xef\xbb\xbf)?<\?xml[^>\n]*encoding\s*=\s*[\"']utf-?8[\"'][^>\n]*\?>", re.IGNORECASE)
HER_MAX = 2_147_483_647


@dataclass(frozen=True, slots=True)
class Address:
    """The HER-ids of one party: level 1 (legal unit) and level 2 (service or person); either may be missing."""

    level1: int | None = None
    level2: int | None = None

    @property
    def reached_at(self) -> int | None:
        """Level 2, else level 1 (a party without services, as NAV)."""
        return self.level2 if self.level2 is not None else self.level1


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was deduced. ``original_id`` is the message id that an AppRec answers, with its status and error codes."""

    sender: Address
    receivers: tuple[Address, ...]
    msg_id: str | None
    gen_date: str | None
    msg_type: str | None
    namespace: str
    is_apprec: bool = False
    original_id: str | None = None
    status: str | None = None
    errors: tuple[tuple[str, str], ...] = ()  # (code, text)
    conversation: str | None = None  # RefToConversation
    document: bytes = field(default=b"", repr=False, compare=False)

    @property
    def root(self) -> xmlio.Element:
        """The parsed document. Trees take twenty times the room of the bytes, so only the latest few are kept."""
        return _tree(self.document)


@lru_cache(maxsize=4)
def _tree(document: bytes) -> xmlio.Element:
    return xmlio.parse(document)


def edi_address(her_id: int) -> str:
    """A party's mail address as the simulated register writes it."""
    return f"her{her_id}@edi.simulator.invalid"


def declares_utf8(document: bytes) -> bool:
    """True when the first line declares UTF-8 and the bytes are UTF-8."""
    if not _DECLARED.match(document[:300]):
        return False
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_envelope(document: bytes) -> Envelope | None:
    """The addresses and ids of a document; None when it cannot be parsed or is of no addressable form."""
    try:
        root = _tree(document)
    except UnreadableError:
        return None
    name, namespace = local(root), (root.tag[1:].split("}")[0] if root.tag.startswith("{") else "")
    if name == "MsgHead" and namespace == MSGHEAD:
        return _read_msghead(document, root)
    if name == "AppRec" and namespace in APPREC:
        return _read_apprec(document, root, namespace)
    if name == "Message":
        return _read_hcp(document, root, namespace)
    return None


def local(element: xmlio.Element) -> str:
    """The tag without its namespace; '' for a node that is no element."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children(parent: xmlio.Element | None, *path: str) -> list[xmlio.Element]:
    """All elements at a path of local names below ``parent``."""
    found = [] if parent is None else [parent]
    for name in path:
        found = [child for element in found for child in element if local(child) == name]
    return found


def child(parent: xmlio.Element | None, *path: str) -> xmlio.Element | None:
    """The first element at a path of local names, or None."""
    found = children(parent, *path)
    return found[0] if found else None


def text(parent: xmlio.Element | None, *path: str) -> str | None:
    """Stripped text, or the V attribute of the coded and time types."""
    element = child(parent, *path)
    if element is None:
        return None
    return element.get("V") or (element.text or "").strip() or None


def _her(digits: str | None) -> int | None:
    cleaned = (digits or "").strip().replace(".", "")
    if not cleaned.isascii() or not cleaned.isdigit() or len(cleaned) > 10:
        return None
    return int(cleaned) if 1 <= int(cleaned) <= HER_MAX else None


def _ident(owner: xmlio.Element | None) -> int | None:
    for ident in children(owner, "Ident"):
        if text(ident, "TypeId") == "HER":
            return _her(text(ident, "Id"))
    return None


def _organisation(party: xmlio.Element | None) -> Address:
    organisation = child(party, "Organisation")
    below = _ident(child(organisation, "Organisation"))
    if below is None:
        below = _ident(child(organisation, "HealthcareProfessional"))
    return Address(_ident(organisation), below)


def _read_msghead(document: bytes, root: xmlio.Element) -> Envelope:
    head = child(root, "MsgInfo")
    receivers = [_organisation(child(head, "Receiver"))]
    receivers += [_organisation(other) for other in children(head, "OtherReceiver")]
    return Envelope(
        sender=_organisation(child(head, "Sender")),
        receivers=tuple(receivers),
        msg_id=text(head, "MsgId"),
        gen_date=text(head, "GenDate"),
        msg_type=text(head, "Type"),
        conversation=text(head, "ConversationRef", "RefToConversation"),
        namespace=_business_namespace(root),
        document=document,
    )


def _business_namespace(root: xmlio.Element) -> str:
    content = child(root, "Document", "RefDoc", "Content")
    if content is None or not len(content) or not isinstance(content[0].tag, str):
        return ""
    return content[0].tag[1:].split("}")[0] if content[0].tag.startswith("{") else ""


def _unit_her(unit: xmlio.Element | None) -> int | None:
    """HER-id of an Inst, Dept or HCPerson: Id with TypeId HER, else an AdditionalId of that type."""
    if unit is None:
        return None
    if text(unit, "TypeId") == "HER":
        return _her(text(unit, "Id"))
    for other in children(unit, "AdditionalId"):
        if text(other, "Type") == "HER":
            return _her(text(other, "Id"))
    return None


def _hcp(party: xmlio.Element | None) -> Address:
    inst = child(party, "HCP", "Inst")
    below = next(
        (her for name in ("Dept", "HCPerson") for unit in children(inst, name) if (her := _unit_her(unit))), None
    )
    if inst is None:
        return Address(None, _unit_her(child(party, "HCP", "HCProf")))
    return Address(_unit_her(inst), below)


def _read_hcp(document: bytes, root: xmlio.Element, namespace: str) -> Envelope | None:
    request, report = child(root, "ServReq"), child(root, "ServRprt")
    body = request if request is not None else report
    if body is None:
        return None
    from_, to = ("Requester", "ServProvider") if request is not None else ("ServProvider", "Requester")
    receivers = [_hcp(child(body, to)), *(_hcp(copy) for copy in children(body, "CopyDest"))]
    msg_type = {"H": "HENVISNING", "E": "EPIKRISE"}.get(text(root, "Type") or "", text(root, "Type"))
    return Envelope(
        sender=_hcp(child(body, from_)),
        receivers=tuple(receivers),
        msg_id=text(root, "MsgId"),
        gen_date=text(root, "GenDate"),
        msg_type=msg_type,
        namespace=namespace,
        document=document,
    )


def _read_apprec(document: bytes, root: xmlio.Element, namespace: str) -> Envelope:
    errors = [(text_.get("V") or "", text_.get("OT") or text_.get("DN") or "") for text_ in children(root, "Error")]
    return Envelope(
        sender=_hcp(child(root, "Sender")),
        receivers=(_hcp(child(root, "Receiver")),),
        msg_id=text(root, "Id"),
        gen_date=text(root, "GenDate"),
        msg_type="APPREC",
        namespace=namespace,
        is_apprec=True,
        original_id=text(root, "OriginalMsgId", "Id"),
        status=text(root, "Status"),
        errors=tuple(errors),
        document=document,
    )


def when(gen_date: str | None) -> datetime | None:
    """A GenDate as a naive local time for ordering; None when it is no date."""
    if not gen_date:
        return None
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", gen_date.replace("Z", "+00:00"))
    try:
        return datetime.fromisoformat(trimmed).replace(tzinfo=None)
    except ValueError:
        return None
