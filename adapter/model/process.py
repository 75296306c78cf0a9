"""The process table: what a message type is called on the wire, who must sign it, which receipt answers it.

National names follow HISD 1209:2018 by formula; NAV's own names are those of NAV's process configuration (content
digest 3.1). A NAV process without an entry is refused at submit (P13).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NAV_ORG_NUMBER = "889640782"
NAV_HER_ID = 79768


class Signing(StrEnum):
    """Whose key must sign the document (P14)."""

    NONE = "none"
    COMPANY = "company"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """Names on the wire and duties. ``apprec_action`` is the action of the receipt that the receiver sends back."""

    name: str
    service: str
    action: str
    from_role: str
    to_role: str
    apprec_action: str = "APPREC"
    signing: Signing = Signing.NONE


# (MsgInfo/Type, code list of the theme or question) -> process. Sykmelder -> Saksbehandler and back.
_TO_NAV: dict[tuple[str, str], tuple[str, str, str]] = {
    ("DIALOG_SVAR", "8126"): ("MoteRespons", "DialogmoteInnkalling", "MoteRespons"),
    ("DIALOG_SVAR", "9069"): ("ForesporselSvar", "ForesporselFraSaksbehandler", "ForesporselSvar"),
    ("DIALOG_NOTAT", "8128"): ("Henvendelse", "HenvendelseFraLege", "Henvendelse"),
}
_FROM_NAV: dict[tuple[str, str], tuple[str, str, str]] = {
    ("DIALOG_FORESPORSEL", "8125"): ("MoteInnkalling", "DialogmoteInnkalling", "MoteInnkalling"),
    ("DIALOG_FORESPORSEL", "8129"): ("Foresporsel", "ForesporselFraSaksbehandler", "Foresporsel"),
    ("DIALOG_NOTAT", "8127"): ("HenvendelseFraNav", "HenvendelseFraSaksbehandler", "Henvendelse"),
    ("DIALOG_NOTAT", "8127/1"): ("Oppfolgingsplan", "Oppfolgingsplan", "Plan"),
}

# HIS/HITS 1168 chapter 8.3: the message standard decides which AppRec answers it.
APPREC_BY_NAMESPACE: dict[str, str] = {
    "http://www.kith.no/xmlstds/dialog/2006-10-11": "1.0",
    "http://www.kith.no/xmlstds/dialog/2013-01-23": "1.1",
    "http://ehelse.no/xmlstds/henvisning/2017-11-30": "1.1",
    "http://www.kith.no/xmlstds/henvisning/2005-07-08": "1.0",
    "http://www.kith.no/xmlstds/henvisning/2012-02-15": "1.1",
    "http://www.kith.no/xmlstds/epikrise/2006-09-23": "1.0",
    "http://www.kith.no/xmlstds/epikrise/2012-02-15": "1.1",
}


def apprec_version(namespace: str) -> str:
    """ "1.0" or "1.1" for a business document of that namespace; PLO 1.5 (2009) gives 1.0, anything unknown 1.1."""
    known = APPREC_BY_NAMESPACE.get(namespace)
    if known:
        return known
    return "1.0" if namespace.endswith("/2009-06-30") else "1.1"


# Henvisning 1.0 (list 8263) and Epikrise 1.1 write letters where newer documents write the codes of list 8279.
# HISD 1209 3.1 has H and E; H_REHAB and T are of the same lists.
OLD_CODES = {"H": "HENVISNING", "H_REHAB": "HENVISNING_REHAB", "T": "TILBAKEMELD", "E": "EPIKRISE"}


def national(msg_type: str) -> Process:
    """HISD 1209:2018: Service = S-type, Action = type, roles = type + sender/receiver; old codes by newer ones."""
    msg_type = OLD_CODES.get(msg_type, msg_type)
    return Process(
        name=msg_type,
        service=f"S-{msg_type}",
        action=msg_type,
        from_role=f"{msg_type}sender",
        to_role=f"{msg_type}receiver",
    )


def nav(msg_type: str, code_list: str | None, code: str | None = None) -> Process | None:
    """NAV's e-mottak process for a dialogue message, in either direction; None when NAV has none (P13)."""
    for table, to_nav in ((_TO_NAV, True), (_FROM_NAV, False)):
        row = table.get((msg_type, f"{code_list}/{code}")) or table.get((msg_type, code_list or ""))
        if row:
            name, service, action = row
            return Process(
                name=name,
                service=service,
                action=action,
                from_role="Sykmelder" if to_nav else "Saksbehandler",
                to_role="Saksbehandler" if to_nav else "Sykmelder",
                apprec_action="Bekreftelse" if to_nav else "Kvittering",
                signing=Signing.PERSON if to_nav else Signing.NONE,
            )
    return None


def nav_pairs() -> frozenset[tuple[str, str]]:
    """The Service/Action pairs that NAV takes from doctors; every other pair is silently parked there."""
    return frozenset((service, action) for _, service, action in _TO_NAV.values())
