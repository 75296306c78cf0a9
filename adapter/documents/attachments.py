"""Attachments: where they are in a received document, and their bytes (HIS 1036:2011)."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping

import pybase64

from adapter.documents import names
from adapter.documents.reading import child, children, text
from adapter.errors import UnsupportedError
from adapter.model.document import AttachmentFacts
from adapter.xmlio import Element

_BLANKS = b" \t\r\n"
_DOCUMENT, _REPORT = f"{{{names.MSGHEAD}}}Document", f"{{{names.MSGHEAD}}}PatientReport"


def msghead_attachments(root: Element, outer: Mapping[str, Element]) -> Iterator[AttachmentFacts]:
    """Every Document after the first one, also those of a PatientReport, in order; ``outer``: root's first children."""
    documents = [part for part in root if part.tag == _DOCUMENT]
    if len(documents) == 1 and _REPORT not in outer:
        return
    paths = [f"/MsgHead/Document[{at}]" for at in range(1, len(documents) + 1)]
    for number, report in enumerate(children(root, names.MSGHEAD, "PatientReport"), 1):
        for at, document in enumerate(children(report, names.MSGHEAD, "Document"), 1):
            documents.append(document)
            paths.append(f"/MsgHead/PatientReport[{number}]/Document[{at}]")
    for document, path in zip(documents[1:], paths[1:], strict=True):
        yield _facts(child(document, names.MSGHEAD, "RefDoc"), names.MSGHEAD, f"{path}/RefDoc")


def hcp_attachments(report: Element | None, ns: str, path: str) -> Iterator[AttachmentFacts]:
    """Every RefDoc with content of a Henvisning 1.1 or Epikrise; without content it only refers (always so in 1.0)."""
    for at, document in enumerate(children(report, ns, "RefDoc"), 1):
        if child(document, ns, "Content") is None:
            continue
        yield _facts(document, ns, f"{path}/RefDoc[{at}]")


def _facts(document: Element | None, ns: str, path: str) -> AttachmentFacts:
    container = child(child(document, ns, "Content"), names.BASE64, "Base64Container")
    return AttachmentFacts(
        mime_type=text(document, ns, "MimeType"),
        description=text(document, ns, "Description"),
        path=f"{path}/Content/Base64Container" if container is not None else path,
        element=container,
    )


def attachment_bytes(attachment: AttachmentFacts) -> bytes:
    """The decoded bytes; white space in the container is ignored.

    Raises UnsupportedError (T10.BASE64) when there is no container or its text is no base64.
    """
    if attachment.element is None:
        raise UnsupportedError("the attachment has no Base64Container", code="T10.BASE64", where=attachment.path)
    try:
        # One copy at a time: an attachment can be many megabytes.
        written = (attachment.element.text or "").encode("ascii")
        if any(blank in written for blank in _BLANKS):
            written = written.translate(None, _BLANKS)
        return pybase64.b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        raise UnsupportedError("the attachment is not base64", code="T10.BASE64", where=attachment.path) from None
