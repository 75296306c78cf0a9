"""HER-id, organisation number, national ids, HPR and message ids as small checked types.

Facts: content digest sections 1.3 and 12 (HIS 1001:2010, HIS 1153-2, Skatteetaten's 2032 rule). Errors never contain
the value (P21).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import mul

from adapter.errors import IdentifierError

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_HER_MAX = 2_147_483_647
_ORG_WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
_K1_WEIGHTS = (3, 7, 6, 1, 8, 9, 4, 5, 2)
_K2_WEIGHTS = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
# By the weighted sum's remainder: what 11 to 14 less it give, 10 being no digit, 11 to 13 read as 0 to 2.
_FIRST_CHECKS = tuple({(top - rest) % 11 for top in (11, 12, 13, 14)} - {10} for rest in range(11))
_HER_ID, _ELEVEN = re.compile(r"[0-9]{1,10}"), re.compile(r"[0-9]{11}")


def read_her_id(text: str | int, where: str | None = None) -> int:
    """A HER-id as int, 1..2147483647. Blanks and the dots of 2005-era files are removed on reading."""
    digits = str(text).strip().replace(".", "").replace(" ", "")
    if not _HER_ID.fullmatch(digits) or not 1 <= int(digits) <= _HER_MAX:
        raise IdentifierError("a HER-id is a whole number from 1 to 2147483647", where=where)
    return int(digits)


def is_message_id(text: str | None) -> bool:
    """True for a UUID in 8-4-4-4-12 hex (HIS 80415:2012: anything else is answered E10)."""
    return text is not None and _UUID.fullmatch(text) is not None


def read_org_number(text: str, where: str | None = None) -> str:
    """Nine digits with a valid check digit; blanks are removed."""
    digits = re.sub(r"\s", "", text)
    if not re.fullmatch(r"[0-9]{9}", digits):
        raise IdentifierError("an organisation number has nine digits", where=where)
    check = 11 - sum(w * int(d) for w, d in zip(_ORG_WEIGHTS, digits, strict=False)) % 11
    if check % 11 != int(digits[8]) or check == 10:
        raise IdentifierError("the organisation number's check digit is wrong", where=where)
    return digits


def read_hpr_number(text: str, where: str | None = None) -> str:
    """One to nine digits; no check digit is enforced (real test numbers break every known rule)."""
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,9}", digits):
        raise IdentifierError("an HPR number has one to nine digits", where=where)
    return digits


class NationalIdKind(StrEnum):
    FNR = "FNR"
    DNR = "DNR"
    HNR = "HNR"
    FHN = "FHN"


class Synthetic(StrEnum):
    """Which test population the month shows (content digest 12.1)."""

    NO = "no"
    MAYBE = "maybe"  # months 41–52: NAV's test persons and local H-numbers look alike
    YES = "yes"  # months 66–77 (NHN) and 81–92 (Skatteetaten)


@dataclass(frozen=True, slots=True)
class NationalId:
    """An 11-digit person number that has the form of its kind. ``valid`` is False when digits or date are wrong."""

    digits: str
    kind: NationalIdKind
    valid: bool
    synthetic: Synthetic
    born: date | None

    def __repr__(self) -> str:
        return f"NationalId({self.kind}, hidden)"


def _checks(digits: str) -> bool:
    numbers = [int(d) for d in digits]
    if sum(map(mul, _K2_WEIGHTS, numbers)) % 11 != -numbers[10] % 11:
        return False
    # From 2032 the first check digit may be any of four values (Skatteetaten); accepted already now.
    return numbers[9] in _FIRST_CHECKS[sum(map(mul, _K1_WEIGHTS, numbers)) % 11]


def _century(individual: int, year: int) -> int | None:
    """The century of birth; None for the combinations that only numbers given from 2032 on have."""
    if 500 <= individual <= 749 and year >= 55:
        return 1800
    if individual <= 499 or (individual >= 900 and year >= 40):
        return 1900
    return 2000 if year < 40 else None


def _shape(digits: str) -> tuple[NationalIdKind, Synthetic, int, int]:
    """Kind, population, day and month with the offsets taken off."""
    day, month = int(digits[0:2]), int(digits[2:4])
    kind = NationalIdKind.FNR
    if digits[0] in "4567":
        kind, day = NationalIdKind.DNR, day - 40
    synthetic = Synthetic.NO
    for offset, found in ((80, Synthetic.YES), (65, Synthetic.YES), (40, Synthetic.MAYBE)):
        if 1 <= month - offset <= 12:
            synthetic, month = found, month - offset
            if found is Synthetic.MAYBE and kind is NationalIdKind.FNR:
                kind = NationalIdKind.HNR
            break
    return kind, synthetic, day, month


def read_national_id(text: str, where: str | None = None) -> NationalId:
    """Classify an 11-digit number as FNR, DNR, HNR or FHN and judge digits and date.

    Raises IdentifierError only when it is not 11 digits; a wrong check digit gives ``valid=False`` because receivers
    must not reject for it (rule V8).
    """
    digits = text.strip()
    if not _ELEVEN.fullmatch(digits):
        raise IdentifierError("a national identity number has eleven digits", where=where)
    if digits[0] in "89":
        return NationalId(digits, NationalIdKind.FHN, _checks(digits), Synthetic.NO, None)
    kind, synthetic, day, month = _shape(digits)
    year = int(digits[4:6])
    century = _century(int(digits[6:9]), year)
    try:
        born = date((century or 2000) + year, month, day)
    except ValueError:
        return NationalId(digits, kind, False, synthetic, None)
    return NationalId(digits, kind, _checks(digits), synthetic, born if century else None)
