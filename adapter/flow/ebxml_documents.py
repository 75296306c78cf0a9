"""Which parts of an envelope are documents, by the references of the signed Manifest.

HIS 1037 3.1: several documents of one sender, receiver and process may travel together, or one document with its
attachments; in practice there is one part. Nothing is lost: each document becomes a row of its own, and what lies
beside them is kept with the first one, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

import adapter.documents as documents
import adapter.xmlio as xmlio
from adapter.ebxml.opening import Opened
from adapter.ebxml.plaintext import Plaintext
from adapter.ebxml.words import Envelope
from adapter.errors import UnreadableError, UnsupportedError
from adapter.flow.parts import Parts
from adapter.model.document import Family
from adapter.store import inbox, journal, outbox
from adapter.store.statements import Row


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Contents:
    """The octets in the order of the Manifest: documents (one at least), and other parts by their place in it (1…)."""

    documents: tuple[bytes, ...]
    beside: Mapping[int, bytes] = field(default_factory=dict)


def sort_parts(words: Envelope, opened: Opened, decrypted: Mapping[int, Plaintext | None]) -> Contents | None:
    """The contents of an envelope; None when no part that the signed Manifest names is an XML document."""
    found = _referenced(words, opened, decrypted)
    written = [number for number, content in found.items() if _is_xml(content)]
    if not written:
        return None
    if len(found) == 1:
        return Contents(documents=tuple(found.values()))
    national = [number for number in written if _is_national(found[number])] or written[:1]
    beside = {number: content for number, content in found.items() if number not in national}
    return Contents(documents=tuple(found[number] for number in national), beside=beside)


def _referenced(words: Envelope, opened: Opened, decrypted: Mapping[int, Plaintext | None]) -> dict[int, bytes]:
    """The octets of each part once, by the place of its first reference."""
    found: dict[int, bytes] = {}
    seen: set[int] = set()
    for place, line in enumerate(words.manifest or (), 1):
        part = opened.package.find(line.href) if opened.package is not None and line.href is not None else None
        for number, one in enumerate(opened.attachments):
            if part is None or one.part is not part or number in seen:
                continue
            seen.add(number)
            plain = decrypted.get(number)
            content = one.content if not one.encrypted else plain.content if plain is not None else None
            if content is not None:
                found[place] = content
    return found


def _is_xml(content: bytes) -> bool:
    return content[:200].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _is_national(content: bytes) -> bool:
    """True for a document with a head that a receipt can answer, or a receipt."""
    if not _is_xml(content):
        return False
    try:
        return documents.read_facts(documents.unwrap(xmlio.parse(content))).family is not Family.OTHER
    except UnsupportedError:  # a wrapper with several messages: the ordinary way in says what is wrong with it
        return True
    except UnreadableError:
        return False


def add_rest(db: sa.Connection, parts: Parts, first: Row, contents: Contents, *, at: int) -> None:
    """Rows for the documents after the first, in the same envelope; other parts are kept with the first one.

    In the caller's transaction. The first row goes onto the attention list when there is something beside documents.
    """
    for number, document in enumerate(contents.documents[1:], 2):
        delivery_id = parts.new_id()
        row = inbox.add_received(
            db,
            message_id=parts.new_id(),
            delivery_id=delivery_id,
            tenant=first["tenant"],
            road=first["road"],
            remote_id=f"{first['remote_id']} {delivery_id}",  # an item of its own, that no MessageId can meet
            party=first["party"],
            raw=document,
            at=at,
            hints={"sender": first["overrides"]["ebxml"]["sender"]},
        )
        outbox.set_columns(db, row["id"], overrides=first["overrides"], put_away=True)
        detail = {"of": first["message_id"], "number": number}
        journal.note(db, row, at=at, kind="came in one envelope with another", detail=detail)
    for place, content in contents.beside.items():
        journal.add_payload(db, first["message_id"], f"part-{place}", content)
    if contents.beside:
        journal.flag(db, first, "parts beside the document", at=at, detail={"parts": sorted(contents.beside)})
