"""The last look at an envelope of ours before it is signed (HITS 1171 5.1: what breaks the rules is not sent)."""

from __future__ import annotations

from adapter.ebxml.check_envelope import check_envelope
from adapter.ebxml.names import Road
from adapter.ebxml.read import read
from adapter.ebxml.rulebook import Act, finding, in_order
from adapter.errors import RefusedError
from adapter.xmlio import Element

# What partners are forgiven, and we are not.
_STRICT = frozenset({"102", "74", "109", "116", "EB5", "EB28", "EB30", "265", "266", "268", "271", "272", "279"})


def refuse_outgoing(root: Element, road: Road) -> None:
    """Raises RefusedError with the findings when the built envelope fails a rule that would be answered, or ours.

    A synchronous message over HTTP needs neither DuplicateElimination nor AckRequested.
    """
    held = list(root.iter())  # lxml's objects are made anew, with their names, whenever nobody holds them
    envelope = read(root)
    wrong = [
        hit for hit in check_envelope(root, envelope, road) if hit.advice[0] is not Act.TOLERATE or hit.rule in _STRICT
    ]
    del held
    if envelope.kind is None or wrong:
        findings = [finding(hit) for hit in in_order(wrong)]
        raise RefusedError("the envelope breaks the rules of the framework", findings, code="EBXML.REFUSED")
