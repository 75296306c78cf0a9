"""What a sender's envelopes have in common: the words, with stand-ins for those that differ each time.

Ids, times, digests and names of parts are changed neither by XML nor by its canonical form as long as they are plain.
So an envelope that was built, checked and canonicalised once stands for all that differ from it in these alone: they
are put into its octets, in the stand-ins' places. An envelope with a word that is not that plain has no outline.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from adapter.ebxml.moments import write_moment
from adapter.ebxml.names import is_message_id
from adapter.ebxml.words import Envelope, PayloadReference, Receipt, SignedReference

_FORMS = {
    "id": re.compile(r"[A-Za-z0-9._@+=$~!*-]{1,300}"),
    "uri": re.compile(r"cid:[A-Za-z0-9._@+=$~!*-]{1,300}"),
    "digest": re.compile(r"[A-Za-z0-9+/]{20,100}={0,2}"),
}
_LONG_AGO = datetime(1901, 1, 1, tzinfo=UTC)
_MOST = 8  # references


class Outline(NamedTuple):
    """The words with stand-ins; what stands in, in order; and the words that belong there."""

    words: Envelope
    stand_ins: tuple[bytes, ...]
    values: tuple[bytes, ...]


class NotPlainError(ValueError):
    """A word that XML would write in another way, or that a rule could fail."""


def outline_of(words: Envelope) -> Outline | None:
    """The outline of a business message, a receipt, or a Ping and the like; None for words that are not plain."""
    if words.report is not None or not is_message_id(words.message_id):
        return None
    standing = _Standing()
    text, moment = standing.text, standing.moment
    try:
        outlined = Envelope(
            kind=words.kind,
            sender=words.sender,
            receiver=words.receiver,
            cpa_id=words.cpa_id,
            conversation_id=text(words.conversation_id),
            service=words.service,
            service_type=words.service_type,
            action=words.action,
            message_id=text(words.message_id),
            timestamp=moment(words.timestamp),
            ref_to_message_id=text(words.ref_to_message_id),
            time_to_live=moment(words.time_to_live),
            duplicate_elimination=words.duplicate_elimination,
            description=words.description,
            ack_request=words.ack_request,
            sync_reply=words.sync_reply,
            receipt=standing.receipt(words.receipt),
            manifest=standing.manifest(words.manifest),
            asked_message_id=text(words.asked_message_id),
            message_status=words.message_status,
        )
    except NotPlainError:
        return None
    return Outline(outlined, tuple(standing.stand_ins), tuple(standing.values))


class _Standing:
    """Takes words, gives what stands in for them, and keeps both."""

    def __init__(self) -> None:
        self.stand_ins: list[bytes] = []
        self.values: list[bytes] = []

    def text(self, value: str | None, kind: str = "id") -> str | None:
        if not value:
            return value
        if _FORMS[kind].fullmatch(value) is None:
            raise NotPlainError(kind)
        stand_in = _stand_in(kind, len(self.values))
        self.values.append(value.encode())
        self.stand_ins.append(stand_in.encode())
        return stand_in

    def moment(self, value: datetime | None) -> datetime | None:
        if value is None or value.tzinfo is None:
            return value
        stand_in, written = _moment(len(self.values))
        self.values.append(write_moment(value).encode())
        self.stand_ins.append(written)
        return stand_in

    def receipt(self, receipt: Receipt | None) -> Receipt | None:
        if receipt is None:
            return None
        if len(receipt.references) > _MOST:
            raise NotPlainError("references")
        return Receipt(
            ref_to_message_id=self.text(receipt.ref_to_message_id),
            timestamp=self.moment(receipt.timestamp),
            sender=receipt.sender,
            references=tuple([self._reference(one) for one in receipt.references]),
        )

    def _reference(self, one: SignedReference) -> SignedReference:
        uri, digest = self.text(one.uri, "uri"), self.text(one.digest, "digest")
        return SignedReference(uri=uri, digest_method=one.digest_method, digest=digest, transforms=one.transforms)

    def manifest(self, lines: Sequence[PayloadReference] | None) -> tuple[PayloadReference, ...] | None:
        if lines is None:
            return None
        if len(lines) > _MOST:
            raise NotPlainError("manifest")
        return tuple(
            [
                PayloadReference(href=self.text(one.href, "uri"), namespace=one.namespace, version=one.version)
                for one in lines
            ]
        )


@lru_cache(maxsize=128)
def _stand_in(kind: str, number: int) -> str:
    """What stands for the value of that number: of the same form, and found nowhere else."""
    if kind == "digest":
        return b64encode(b"stand-in of a digest %011d" % number).decode()
    return f"{'cid:' if kind == 'uri' else ''}stand-in-{number:02}@outline.invalid"


@lru_cache(maxsize=64)
def _moment(number: int) -> tuple[datetime, bytes]:
    stand_in = _LONG_AGO + timedelta(minutes=number)
    return stand_in, write_moment(stand_in).encode()


class Cut(NamedTuple):
    """Octets between the values, and which value goes after each but the last."""

    pieces: tuple[bytes, ...]
    slots: tuple[int, ...]

    def filled(self, values: Sequence[bytes]) -> bytes:
        out = [self.pieces[0]]
        for slot, piece in zip(self.slots, self.pieces[1:], strict=True):
            out += (values[slot], piece)
        return b"".join(out)


def cut(octets: bytes, stand_ins: Sequence[bytes]) -> Cut:
    """The octets cut at the stand-ins, each of which occurs in them once or not at all."""
    places = sorted((at, number) for number, one in enumerate(stand_ins) if (at := octets.find(one)) >= 0)
    pieces, start = [], 0
    for at, number in places:
        pieces.append(octets[start:at])
        start = at + len(stand_ins[number])
    return Cut((*pieces, octets[start:]), tuple(number for _, number in places))
