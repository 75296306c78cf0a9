"""NAV's own process configuration as data: who sends what in which service, and how it is packed and answered.

One row for each sender's role, Service and Action, as NAV's configuration has them, put right where NAV's own
agreements say otherwise: in DialogmoteInnkalling the case worker sends MoteInnkalling and Bekreftelse and the doctor
MoteRespons and Kvittering; Legemelding has further actions (ebXML digest 3.3 and 3.4). Names are letter-exact.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NavRow:
    """``error_action`` is the Action of the negative AppRec, None where there is none. ``checked``: the schema is."""

    role: str
    service: str
    action: str
    encrypted: bool = False
    compressed: bool = False
    signed: bool = False
    checked: bool = False
    apprec_on_failure: bool = False
    revocation_asked: bool = False
    logged: bool = False
    error_action: str | None = None


_FLAGS = {
    "E": "encrypted",
    "Z": "compressed",
    "S": "signed",
    "V": "checked",
    "A": "apprec_on_failure",
    "O": "revocation_asked",
    "J": "logged",
}
# Service: role action flags error action. "-": none.
_TABLE = """
HarBorgerFrikort
  Behandler EgenandelForesporsel VA Avvisning
  Frikortregister Svar - -
  Frikortregister Avvisning - -
HarBorgerFrikortMengde
  Behandler EgenandelForesporsel EA Avvisning
  Frikortregister Svar E Svarmelding
  Frikortregister Avvisning E Svarmelding
HarBorgerEgenandelFritak
  Utleverer EgenandelForesporsel VA Avvisning
  Frikortregister Svar - -
  Frikortregister Avvisning - -
Inntektsforesporsel
  Fordringshaver Foresporsel ESVAJ Avvisning
  Ytelsesutbetaler InntektInformasjon ESVAJ Avvisning
  Ytelsesutbetaler Avvisning EVJ Avvisning
Trekkopplysning
  Fordringshaver Innmelding ESVAJ Avvisning
  Ytelsesutbetaler Kvittering ESJ Avvisning
  Ytelsesutbetaler Avvisning EJ Avvisning
BehandlerKrav
  Behandler OppgjorsMelding EZSVAO Svarmelding
  Behandler OppgjorsMeldingVirksomhet EZSVA Svarmelding
  KontrollUtbetaler Svarmelding E Svarmelding
OppgjorsKontroll
  Utleverer Oppgjorskrav EZSVA Svarmelding
  Utleverer Svarmelding EV -
  KontrollUtbetaler Oppgjorsresultat ESA Svarmelding
  KontrollUtbetaler Utbetaling ESA Svarmelding
  KontrollUtbetaler Svarmelding E -
Sykmelding
  Sykmelder Registrering ESVAOJ Svar
  Saksbehandler Svar EJ Svar
Legemelding
  Lege Legeerklaring ESVAOJ Svarmelding
  Lege Sykmelding ESVAOJ Svarmelding
  Lege Oppgjorsmelding EZSVAOJ Svarmelding
  Lege Soknad ESVAOJ Svarmelding
  Nav Svarmelding EJ Svarmelding
DialogmoteInnkalling
  Saksbehandler MoteInnkalling ESJ -
  Saksbehandler Bekreftelse EJ -
  Sykmelder MoteRespons ESVAOJ Bekreftelse
  Sykmelder Kvittering EVJ -
ForesporselFraSaksbehandler
  Saksbehandler Foresporsel ESJ Svar
  Saksbehandler Bekreftelse EAJ Svarmelding
  Saksbehandler Svar EJ -
  Sykmelder ForesporselSvar ESVOJ Bekreftelse
  Sykmelder Kvittering EVJ Svarmelding
  Sykmelder Svar EVJ -
HenvendelseFraLege
  Sykmelder Henvendelse ESVAOJ Bekreftelse
  Saksbehandler Bekreftelse EJ Svarmelding
  Saksbehandler Svar EJ -
HenvendelseFraSaksbehandler
  Saksbehandler Henvendelse ESJ Svar
  Sykmelder Kvittering EVJ Svar
  Sykmelder Svar EVJ Svar
Oppfolgingsplan
  Saksbehandler Plan ESJ Svar
  Sykmelder Kvittering EVJ Svar
  Sykmelder Svar EVJ Svar
"""


def _rows() -> dict[tuple[str, str, str], NavRow]:
    found = {}
    service = ""
    for line in _TABLE.strip().splitlines():
        if not line.startswith(" "):
            service = line.strip()
            continue
        role, action, flags, error = line.split()
        said = {name: letter in flags for letter, name in _FLAGS.items()}
        answer = None if error == "-" else error
        found[role, service, action] = NavRow(role=role, service=service, action=action, error_action=answer, **said)
    return found


NAV_ROWS = _rows()


def nav_row(role: str, service: str, action: str) -> NavRow | None:
    """What NAV's configuration says of a message by its sender's role, Service and Action; None for another one."""
    return NAV_ROWS.get((role, service, action))
