"""Faults of head, addressing, patient and coded values."""

from __future__ import annotations

from tests.validation.cases_base import (
    ANSWER,
    BLOCK,
    EMERGENCY,
    NOTE,
    NOTE_10,
    RECEIPT,
    REFERRAL,
    WARN,
    Case,
    cut,
    every,
    row,
    swap,
)

_BOTH = frozenset({8091101, 8091100, 8091300, 8091301})
_PERSON_LEVEL_2 = (
    "<HealthcareProfessional><FamilyName>Vangsnes</FamilyName><GivenName>Sol</GivenName><Ident><Id>8091302</Id>"
    '<TypeId V="HER" S="2.16.578.1.12.4.1.1.8116" DN="HER-id"/></Ident></HealthcareProfessional>'
    "</Organisation></Sender>"
)

CASES: tuple[Case, ...] = (
    row("V1", NOTE_10, swap('V="DIALOG_NOTAT"', 'V="SYKMELD"'), BLOCK, BLOCK, "T10", "message-type-not-supported"),
    row(
        "V1", NOTE_10, swap('V="DIALOG_NOTAT"', 'V="DIALOG_PRAT"'), BLOCK, BLOCK, "T10", "message-type-not-in-its-list"
    ),
    row("V1.ACTION", NOTE_10, swap("", ""), BLOCK, WARN, action="DIALOG_SVAR"),
    row("V1.ACCEPTS", NOTE_10, swap("", ""), BLOCK, BLOCK, "T10", accepts=("HENVISNING_NYTILSTAND 2.0",)),
    row("V2", NOTE_10, swap("v1.2 2006-05-24", "v1.1 2006-05-24"), BLOCK, BLOCK, "T02", "migversion-of-an-older-head"),
    row("V2.OTHER", RECEIPT, swap("v1.1 2012-02-15", "1.0 2008-11-21"), BLOCK, NOTE),
    row("V3", NOTE_10, cut("<MsgId>.*?</MsgId>", "<MsgId>1-2-3</MsgId>"), BLOCK, BLOCK, "E10", "message-id-is-no-uuid"),
    row("V3.RECEIPT", RECEIPT, swap("0d6f2f8e-58b8-4c15-a2c0-94a1a8d6f201", "1901162157"), BLOCK, None),
    row("V4", NOTE_10, cut("<GenDate>2026", "<GenDate>2031"), BLOCK, WARN, file="generated-in-the-future"),
    row("V4", NOTE_10, cut("<GenDate>.*?</GenDate>", "<GenDate>i dag</GenDate>"), BLOCK, WARN),
    row("V9", ANSWER, cut("<ConversationRef>.*?</ConversationRef>"), BLOCK, WARN, file="answer-without-reference"),
    row("V9", ANSWER, cut("<RefToParent>.*?</RefToParent>", "<RefToParent></RefToParent>"), BLOCK, WARN),
    row(
        "V10",
        NOTE_10,
        swap('V="DIALOG_NOTAT"', 'V="DIALOG_HELSEFAGLIG"'),
        BLOCK,
        BLOCK,
        "T10",
        "type-of-another-version",
    ),
    row("V10", NOTE_10, swap("dialog/2006-10-11", "dialog/1999-01-01"), BLOCK, BLOCK, "T10", "body-version-unknown"),
    row("V10.ROOT", NOTE_10, cut("<Content>.*</Content>"), BLOCK, BLOCK, "T02", "body-missing"),
    row("V10.ROOT", NOTE_10, cut("<Document>.*</Document>"), BLOCK, BLOCK, "T02", "document-missing"),
    row(
        "V10.KIND",
        NOTE_10,
        swap('<MsgType V="XML"', '<MsgType V="A"'),
        BLOCK,
        BLOCK,
        "T02",
        "body-marked-as-attachment",
    ),
    row("V5", NOTE_10, cut("<Id>8091301</Id>", "<Id>her-1</Id>"), BLOCK, WARN, file="sender-her-id-is-no-number"),
    row(
        "V5",
        NOTE_10,
        cut("<OrganisationName>Solvang legekontor</OrganisationName>", "<OrganisationName> </OrganisationName>"),
        BLOCK,
        WARN,
    ),
    row("V5", NOTE_10, swap("8091301", "her-1"), BLOCK, BLOCK, "E21", reject_addressing=True),
    row(
        "V5",
        NOTE_10,
        cut("(<Receiver>.*?</Ident>)<Organisation>.*?</Organisation>(?=</Organisation></Receiver>)", r"\1"),
        BLOCK,
        WARN,
        file="receiver-without-service",
    ),
    row(
        "V5", NOTE_10, cut("<Sender>.*?</Sender>", "<Sender></Sender>"), BLOCK, WARN, file="sender-without-organisation"
    ),
    row("V5.SYSTEM", NOTE_10, swap("4.1.1.9051", "4.1.1.8263"), BLOCK, NOTE, file="her-id-of-another-list"),
    row(
        "V5.BOTH",
        NOTE_10,
        swap("</Organisation></Sender>", _PERSON_LEVEL_2),
        BLOCK,
        NOTE,
        file="service-and-person-at-level-2",
    ),
    row(
        "V5.EMPTY",
        NOTE_10,
        cut("(<Sender>.*?)<Organisation><OrganisationName>Fast.*?</Organisation>", r"\1<Organisation/>"),
        BLOCK,
        WARN,
        file="organisation-empty",
    ),
    row("V6.STRANGER", REFERRAL, swap("", ""), None, BLOCK, ours=frozenset({1}), envelope_receiver=2),
    row("V6.ENVELOPE", REFERRAL, swap("", ""), None, BLOCK, "E21", ours=frozenset({1}), envelope_receiver=1),
    row(
        "V6",
        REFERRAL,
        swap("8091101", "8091199"),
        None,
        WARN,
        ours=frozenset({8091101}),
        our_organisations=frozenset({8091100}),
    ),
    row(
        "V6",
        REFERRAL,
        swap("8091101", "8091199"),
        None,
        BLOCK,
        "E21",
        ours=frozenset({8091101}),
        our_organisations=frozenset({8091100}),
        reject_addressing=True,
    ),
    row(
        "V6",
        REFERRAL,
        cut("(<Receiver>.*?)<Id>8091100</Id>(.*?)<Id>8091101</Id>", r"\1<Id></Id>\2<Id></Id>"),
        None,
        WARN,
        ours=frozenset({8091101}),
        envelope_receiver=8091101,
    ),
    row("V6.IDENTITY", REFERRAL, swap("", ""), None, NOTE),
    row("V21", REFERRAL, swap("", ""), None, NOTE, ours=_BOTH, seen_message=lambda sender, msg_id: sender == "8091301"),
    row("V7", REFERRAL, cut("<Patient>.*?</Patient>"), BLOCK, BLOCK, "E36", "patient-absent"),
    row(
        "V7",
        REFERRAL,
        cut("(<Patient>.*?)<DateOfBirth>.*?</Ident>", r"\1"),
        BLOCK,
        BLOCK,
        "E36",
        "patient-with-name-only",
    ),
    row("V7", REFERRAL, cut("<FamilyName>.*?</GivenName>"), BLOCK, BLOCK, "E36", "patient-without-name"),
    row(
        "V7.EMERGENCY", EMERGENCY, cut("<DateOfBirth>.*?</Ident>"), WARN, WARN, file="emergency-patient-with-name-only"
    ),
    row("V8", REFERRAL, swap("14836831285", "14836831286"), BLOCK, WARN, file="patient-number-with-wrong-digits"),
    row("V8", REFERRAL, swap("14836831285", "1483683128"), BLOCK, WARN),
    row("V8", REFERRAL, swap('V="FNR"', 'V="DNR"'), BLOCK, WARN, file="patient-number-of-another-type"),
    row("V8.OVERRIDDEN", REFERRAL, swap("14836831285", "14836831286"), WARN, WARN, override_national_id=True),
    row("V8.HELP_NUMBER", REFERRAL, every(swap("14836831285", "25436000305"), swap('V="FNR"', 'V="HNR"')), WARN, NOTE),
    row("V8.HELP_NUMBER", REFERRAL, every(swap("14836831285", "LOKAL-1"), swap('V="FNR"', 'V="HNR"')), WARN, NOTE),
    row(
        "V12",
        REFERRAL,
        swap('V="PROB" S="2.16.578.1.12.4.1.1.8231"', 'V="PROB"'),
        BLOCK,
        NOTE,
        file="code-without-list",
    ),
    row("V12", REFERRAL, swap('<Sex V="2"', '<Sex V=""'), BLOCK, NOTE, file="code-empty"),
    row("V12", REFERRAL, swap('S="2.16.578.1.12.4.1.1.7170"', 'S="urn:oid:2.16.578.1.12.4.1.1.7170"'), BLOCK, NOTE),
    row(
        "V12.EMPTY",
        REFERRAL,
        swap("<Comment>Ønsker oppstart før jul om mulig.</Comment>", "<Comment/>"),
        BLOCK,
        NOTE,
        file="element-empty",
    ),
    row("V12.NAME", REFERRAL, swap(' DN="Aktuell problemstilling"', ""), WARN, NOTE),
    row("V13", REFERRAL, swap('<Priority V="N"', '<Priority V="SNART"'), BLOCK, WARN, file="code-not-in-its-list"),
    row(
        "V13", REFERRAL, swap('V="99" S="2.16.578.1.12.4.1.1.8455"', 'V="98" S="2.16.578.1.12.4.1.1.8455"'), BLOCK, WARN
    ),
)
