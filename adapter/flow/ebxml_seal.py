"""An envelope of ours from its words to its signed bytes: built, looked at once more, canonicalised, signed.

All but the signature is done once for each outline: the envelopes to one partner differ in ids, times and digests alone
(``ebxml.outline``), and signing is the only step whose result depends on those.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from adapter.ebxml.build import build
from adapter.ebxml.check_outgoing import refuse_outgoing
from adapter.ebxml.names import Road
from adapter.ebxml.outline import Cut, cut, outline_of
from adapter.ebxml.words import Envelope
from adapter.errors import AdapterError
from adapter.security.envelope_signature import Octets, Unsigned, prepare, sign_prepared
from adapter.security.keys import Signer


class _Pattern(NamedTuple):
    """A prepared envelope with places for the values."""

    unsigned: Unsigned
    before: Cut
    after: Cut


def seal(words: Envelope, signer: Signer, parts: Mapping[str, Octets], road: Road | None = None) -> bytes:
    """The signed envelope of these words; ``parts`` are the attachments' octets by Content-ID, as they are signed.

    ``road``: of a business message, which must keep the rules of the framework (HITS 1171 5.1). Raises InputError for
    words that cannot be built, RefusedError with the findings where a rule fails, and what the signer raises.
    """
    outline = outline_of(words)
    pattern = _pattern(outline.words, outline.stand_ins, road) if outline is not None else None
    if outline is None or pattern is None:
        return sign_prepared(_prepared(words, road), signer, parts)
    before, after = pattern.before.filled(outline.values), pattern.after.filled(outline.values)
    return sign_prepared(pattern.unsigned._replace(before=before, after=after), signer, parts)


def _prepared(words: Envelope, road: Road | None) -> Unsigned:
    root = build(words)
    if road is not None:
        refuse_outgoing(root, road)
    return prepare(root)


@lru_cache(maxsize=256)
def _pattern(words: Envelope, stand_ins: tuple[bytes, ...], road: Road | None) -> _Pattern | None:
    """None where the outline does not stand for its words: it is refused, or a stand-in is not where one value is."""
    try:
        unsigned = _prepared(words, road)
    except AdapterError:
        return None  # the words themselves will tell
    if unsigned.octets is not None:  # a part of it is not signed
        return None
    whole = unsigned.before + unsigned.after
    if any(whole.count(one) != 1 for one in stand_ins):
        return None
    return _Pattern(unsigned, cut(unsigned.before, stand_ins), cut(unsigned.after, stand_ins))
