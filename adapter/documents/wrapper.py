"""NAV's wrapper EI_fellesformat, and what its reception block says."""

from __future__ import annotations

from dataclasses import dataclass

from adapter.documents import names
from adapter.documents.reading import child, local_name, namespace_of
from adapter.errors import UnsupportedError
from adapter.xmlio import Element


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reception:
    """What NAV's reception added (MottakenhetBlokk): names on the wire, and whom it found as signer (P15)."""

    service: str | None = None
    action: str | None = None
    role: str | None = None
    signer_fnr: str | None = None


def is_wrapper(root: Element) -> bool:
    """True for an EI_fellesformat, in whatever namespace it came."""
    return local_name(root) == "EI_fellesformat"


def unwrap(root: Element) -> Element:
    """The one message within an EI_fellesformat, still in its tree; any other root comes back as it is.

    Raises UnsupportedError (T10.WRAPPER) for a wrapper with no message or with several.
    """
    if not is_wrapper(root):
        return root
    found = [part for part in root if isinstance(part.tag, str) and namespace_of(part) not in ("", names.FELLESFORMAT)]
    if len(found) != 1:
        many = "no message" if not found else "more than one message"
        raise UnsupportedError(f"the wrapper holds {many}", code="T10.WRAPPER", cure="send one message at a time")
    return found[0]


def read_reception(root: Element) -> Reception | None:
    """The reception block beside an unwrapped message (or within a wrapper); None when there is none."""
    above = root if is_wrapper(root) else root.getparent()
    block = child(above, names.FELLESFORMAT, "MottakenhetBlokk")
    if block is None:
        return None
    return Reception(
        service=block.get("ebService"),
        action=block.get("ebAction"),
        role=block.get("ebRole"),
        signer_fnr=block.get("avsenderFnrFraDigSignatur"),
    )
