"""Faults of the profiles: dialogue messages, referrals, receipts and texts."""

from __future__ import annotations

from tests.validation.cases_base import (
    ANSWER,
    BLOCK,
    CHANGE,
    DEVIATION,
    HEALTH,
    NOTE,
    NOTE_10,
    QUESTION,
    RECEIPT,
    REFERRAL,
    WARN,
    Case,
    cut,
    row,
    swap,
)

_COPY = (
    '<OtherReceiver><RoleReceiver V="COP" DN="Kopimottaker"/><Organisation><OrganisationName>Granli kommune'
    '</OrganisationName><Ident><Id>8091100</Id><TypeId V="HER" S="2.16.578.1.12.4.1.1.9051" DN="HER-id"/></Ident>'
    "<Organisation><OrganisationName>Sykepleietjeneste, Granli</OrganisationName><Ident><Id>8091102</Id>"
    '<TypeId V="HER" S="2.16.578.1.12.4.1.1.9051" DN="HER-id"/></Ident></Organisation></Organisation></OtherReceiver>'
)
_QUESTION = (
    '<Foresporsel><TypeForesp V="1" S="2.16.578.1.12.4.1.1.9152" DN="Helseopplysninger"/>'
    "<Sporsmal>Hvordan går det?</Sporsmal></Foresporsel>"
)
_ASSESSMENT = (
    '<VurderingAvHenvisning><DatoMottakOgVurdering><TypeDato V="1" S="2.16.578.1.12.4.1.1.9147" '
    'DN="Ansiennitetsdato"/><Dato>2026-11-18</Dato></DatoMottakOgVurdering></VurderingAvHenvisning>'
)
_PATHWAY = '<Pakkeforlop><Pakkeforlopskode V="A01" S="2.16.578.1.12.4.1.1.9321" DN="Start pakkeforløp"/></Pakkeforlop>'
_PHONE = r"<fk1:TeleCom>.*?</fk1:TeleCom>"
_ROLE = r"<RollerRelatertNotat>.*?</RollerRelatertNotat>"

_HISTORY = '<Type V="ANAM" S="2.16.578.1.12.4.1.1.8233" DN="Sykehistorie"/>'
_BACKWARDS = "<StartDateTime>2026-11-02T00:00:00</StartDateTime><EndDateTime>2026-11-01T00:00:00+01:00</EndDateTime>"

CASES: tuple[Case, ...] = (
    row("V14.QUESTION_TEXT", QUESTION, cut("<Sporsmal>.*?</Sporsmal>"), BLOCK, WARN, file="question-without-text"),
    row("V14.QUESTION", QUESTION, swap('S="2.16.578.1.12.4.1.1.9152"', 'S="2.16.578.1.12.4.1.1.9068"'), BLOCK, WARN),
    row("V14.QUESTION", QUESTION, cut("<Foresporsel>.*</Foresporsel>"), BLOCK, WARN, file="request-without-question"),
    row("V14.THEME", HEALTH, swap("1.1.7322", "1.1.7321"), BLOCK, WARN, file="theme-of-another-list"),
    row("V14.THEME", HEALTH, cut("<Notat>.*</Notat>"), BLOCK, WARN),
    row(
        "V14.TEXT",
        NOTE_10,
        cut("<TekstNotatInnhold>.*?</TekstNotatInnhold>", "<TekstNotatInnhold> </TekstNotatInnhold>"),
        BLOCK,
        WARN,
        file="note-without-text",
    ),
    row("V14.TITLE", HEALTH, cut("<Tema>.*?</Tema>"), BLOCK, WARN, file="health-dialogue-without-heading"),
    row("V14.ANSWERED", ANSWER, cut("<Foresporsel>.*?</Foresporsel>"), BLOCK, WARN, file="answer-without-question"),
    row("V14.CONTACT", HEALTH, cut(_ROLE), BLOCK, WARN, file="nobody-to-contact"),
    row("V14.CONTACT", HEALTH, cut(r"<fk1:TeleAddress[^>]*/>", '<fk1:TeleAddress V=""/>'), BLOCK, WARN),
    row(
        "V14.READER",
        HEALTH,
        cut("<ConversationRef>.*?</ConversationRef>"),
        BLOCK,
        WARN,
        file="first-message-without-reader",
    ),
    row(
        "V15.QUESTION",
        HEALTH,
        swap("</TekstNotatInnhold>", f"</TekstNotatInnhold>{_QUESTION}"),
        BLOCK,
        WARN,
        file="question-in-health-dialogue",
    ),
    row(
        "V15.NOTE",
        DEVIATION,
        swap("</TekstNotatInnhold>", "</TekstNotatInnhold><Merknad>Ring oss</Merknad>"),
        BLOCK,
        WARN,
        file="deviation-with-remark",
    ),
    row("V15.SEVERAL", NOTE_10, cut("(<Notat>.*</Notat>)", r"\1\1"), BLOCK, WARN, file="two-notes-in-one-message"),
    row("V16", HEALTH, cut('<RoleToPatient V="21"[^>]*/>'), BLOCK, NOTE, file="contact-without-role"),
    row(
        "V16.PERSON",
        HEALTH,
        cut("<HealthcareProfessional><TypeH.*?</HealthcareProfessional>"),
        BLOCK,
        NOTE,
        file="role-without-person",
    ),
    row(
        "V16.PHONE",
        HEALTH,
        cut("(<HealthcareProfessional><TypeH.*?)<TeleCom>.*?</TeleCom>", r"\1"),
        BLOCK,
        NOTE,
        file="contact-without-telephone",
    ),
    row("V14.PROB", REFERRAL, swap('V="PROB"', 'V="UTRED"'), BLOCK, WARN, file="referral-without-current-problem"),
    row("V14.PROB", REFERRAL, cut("(PROB.*?<TextResultValue>).*?(</TextResultValue>)", r"\1\2"), BLOCK, WARN),
    row("V14.REFERRER", REFERRAL, swap('V="HHE"', 'V="OEB"'), BLOCK, WARN, file="referrer-not-named"),
    row("V14.PHONE", REFERRAL, cut(_PHONE), BLOCK, WARN, file="referrer-without-telephone"),
    row(
        "V14.GP",
        REFERRAL,
        cut("<po:KontaktpersonHelsepersonell>.*?</po:KontaktpersonHelsepersonell>"),
        BLOCK,
        WARN,
        receiver_is_specialist=True,
    ),
    row(
        "V14.CONTENT",
        REFERRAL,
        swap('V="99" S="2.16.578.1.12.4.1.1.8455"', 'V="4" S="2.16.578.1.12.4.1.1.8455"'),
        BLOCK,
        WARN,
        file="referral-with-pilot-content-code",
    ),
    row("V14.CONTENT", REFERRAL, cut("<po:TypeInnholdIMelding>.*?</po:TypeInnholdIMelding>"), BLOCK, WARN),
    row("V15.COPY", REFERRAL, swap("<Patient>", f"{_COPY}<Patient>"), BLOCK, WARN, file="referral-with-copy-receiver"),
    row(
        "V15.ASSESSMENT",
        REFERRAL,
        swap("<Consent>", f"{_ASSESSMENT}<Consent>"),
        BLOCK,
        WARN,
        file="new-referral-with-assessment",
    ),
    row("V15.PATHWAY", REFERRAL, swap("<Consent>", f"{_PATHWAY}<Consent>"), BLOCK, WARN, sender_is_specialist=False),
    row(
        "V15.SERVTYPE",
        REFERRAL,
        swap('<ServType V="N" DN="Ny"/><IssueDate>', '<ServType V="A" DN="Tillegg"/><IssueDate>'),
        BLOCK,
        WARN,
        file="service-type-addition",
    ),
    row(
        "V18",
        REFERRAL,
        swap(_HISTORY, _HISTORY + _BACKWARDS),
        BLOCK,
        NOTE,
        file="end-before-start",
    ),
    row(
        "V19",
        REFERRAL,
        swap(
            "<Consent>",
            '<Comment><Heading V="OPPL" S="2.16.578.1.12.4.1.1.8234" DN="Opplysninger"/></Comment><Consent>',
        ),
        BLOCK,
        NOTE,
        file="comment-without-content",
    ),
    row("V20", CHANGE, swap("", ""), BLOCK, WARN, known_documents=lambda document_id: False),
    row(
        "V20.REFERENCE",
        CHANGE,
        cut("<ConversationRef>.*?</ConversationRef>"),
        BLOCK,
        NOTE,
        file="change-without-reference",
    ),
    row("V22", RECEIPT, swap("Status V='1'", "Status V='73'"), BLOCK, BLOCK, file="receipt-with-unknown-status"),
    row(
        "V22.ERRORS",
        RECEIPT,
        swap("Status V='1' DN='OK'", "Status V='2' DN='Avvist'"),
        BLOCK,
        WARN,
        file="rejection-without-error",
    ),
    row(
        "V22.ERRORS",
        RECEIPT,
        swap(
            "<OriginalMsgId>", "<Error V='E21' S='2.16.578.1.12.4.1.1.8221' DN='Mottaker finnes ikke'/><OriginalMsgId>"
        ),
        BLOCK,
        WARN,
    ),
    row("V22.ORIGINAL", RECEIPT, cut("<Id>6f1a.*?</Id>", "<Id></Id>"), BLOCK, BLOCK, file="receipt-without-original"),
    row("V22.UNKNOWN", RECEIPT, swap("", ""), BLOCK, WARN, known_messages=lambda msg_id: False),
    row("V23", HEALTH, swap("<b>gruppetrening</b>", "<script>alert(1)</script>"), WARN, WARN, file="script-in-a-text"),
    row(
        "V23",
        HEALTH,
        swap("<b>gruppetrening</b>", '<b onclick="x()">gruppetrening</b>'),
        WARN,
        WARN,
        file="event-attribute-in-a-text",
    ),
    row("V23", HEALTH, swap("<b>gruppetrening</b>", '<b xmlns="urn:x">gruppetrening</b>'), WARN, WARN),
    row("V24", NOTE_10, swap('encoding="UTF-8"', 'encoding="ISO-8859-1"'), BLOCK, None, file="latin-1"),
)
