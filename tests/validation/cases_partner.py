"""Faults of attachments, of the environment, and against NAV's own rules."""

from __future__ import annotations

from tests.validation.cases_base import (
    BLOCK,
    NAV_ANSWER,
    NAV_INQUIRY,
    NOTE,
    NOW,
    REFERRAL,
    WARN,
    WITH_PDF,
    Case,
    cut,
    row,
    swap,
)

_PDF = r"<Base64Container[^>]*>[^<]*</Base64Container>"
_CONTAINER = '<Base64Container xmlns="http://www.kith.no/xmlstds/base64container">{}</Base64Container>'
_EXE = _CONTAINER.format("TVqQAAMAAAAEAAAA//8AALgAAAAAAAAA")

CASES: tuple[Case, ...] = (
    row(
        "V11.FORMAT", WITH_PDF, swap("application/pdf", "image/tiff"), BLOCK, None, file="attachment-format-not-agreed"
    ),
    row(
        "V11.UNUSABLE",
        WITH_PDF,
        swap("application/pdf", "application/msword"),
        None,
        BLOCK,
        "T99",
        "attachment-format-not-usable",
    ),
    row(
        "V11.BASE64",
        WITH_PDF,
        cut(_PDF, _CONTAINER.format("JVBERi0xLjQ")),
        BLOCK,
        BLOCK,
        "T99",
        "attachment-base64-cut-off",
    ),
    row("V11.BASE64", WITH_PDF, cut(_PDF, _CONTAINER.format("")), BLOCK, BLOCK, "T99", "attachment-empty"),
    row("V11.MAGIC", WITH_PDF, cut(_PDF, _EXE), BLOCK, WARN, file="attachment-is-a-program"),
    row("V11.COUNT", WITH_PDF, swap("", ""), BLOCK, WARN, attachments_max=0),
    row(
        "V11.CONTENT",
        WITH_PDF,
        cut("<Content><Base64.*?</Content>", "<FileReference>https://example.org/a.pdf</FileReference>"),
        BLOCK,
        WARN,
        file="attachment-by-reference",
    ),
    row(
        "V11.KIND",
        WITH_PDF,
        swap('<MsgType V="A" DN="Vedlegg"/>', '<MsgType V="REF" DN="Referanse"/>'),
        BLOCK,
        WARN,
        file="attachment-marked-as-reference",
    ),
    row(
        "V11.DESCRIPTION",
        WITH_PDF,
        cut("(</MimeType>)<Description>.*?</Description>", r"\1"),
        BLOCK,
        WARN,
        file="attachment-without-description",
    ),
    row(
        "V11.SIZE",
        WITH_PDF,
        swap("", ""),
        WARN,
        None,
        road="ebxml",
        attachment_pieces=(b"%PDF-1.4" + bytes(5_600_000),),
    ),
    row("E-SYNTHETIC", REFERRAL, swap("", ""), BLOCK, NOTE, environment="production"),
    row("E-MAYBE", REFERRAL, swap("14836831285", "12459010260"), WARN, None, environment="production"),
    row(
        "E-STATUS",
        REFERRAL,
        swap("<Sender>", '<ProcessingStatus V="D" DN="Debugging"/><Sender>'),
        BLOCK,
        NOTE,
        environment="production",
    ),
    row("E-REAL", REFERRAL, swap("14836831285", "02013299997"), BLOCK, None, environment="test"),
    row("E-REAL", REFERRAL, swap("14836831285", "02013299997"), WARN, None, environment="test", offline=True),
    row("E-ENVIRONMENT", REFERRAL, swap("", ""), NOTE, None, environment=None),
    row(
        "N1",
        NAV_INQUIRY,
        cut("(<Patient>.*?)<Ident>.*?</Ident>", r"\1"),
        BLOCK,
        BLOCK,
        "X99",
        "to-nav-without-patient-number",
    ),
    row("N2", NAV_INQUIRY, swap("", ""), BLOCK, BLOCK, "X99", earlier_content=lambda digest: NOW.replace(day=1)),
    row(
        "N6",
        NAV_INQUIRY,
        cut("<TekstNotatInnhold>.*?</TekstNotatInnhold>", "<TekstNotatInnhold></TekstNotatInnhold>"),
        BLOCK,
        BLOCK,
        "X99",
        "to-nav-without-text",
    ),
    row(
        "N7",
        NAV_INQUIRY,
        swap('V="1" S="2.16.578.1.12.4.1.1.8128"', 'V="5" S="2.16.578.1.12.4.1.1.9069"'),
        BLOCK,
        BLOCK,
        "X99",
        "to-nav-with-another-theme",
    ),
    row("N7", NAV_ANSWER, swap("1.1.8129", "1.1.8125"), BLOCK, BLOCK, "X99", "to-nav-meeting-answered-as-request"),
    # Inbound NAV stops at its rule 1, which is broken too.
    row("N10", NAV_INQUIRY, swap("02918542720", "0291854272"), BLOCK, None),
    row("N11", NAV_INQUIRY, swap("02918542720", "02918542721"), BLOCK, WARN),
    row("N11", NAV_INQUIRY, swap("02918542720", "02918542721"), BLOCK, BLOCK, "X99", partner_is_nav=True),
    row("N12", NAV_INQUIRY, swap("", ""), BLOCK, WARN, signer_fnr="12345678901"),
    row("N12", NAV_INQUIRY, swap("", ""), BLOCK, BLOCK, "X99", signer_fnr="12345678901", partner_is_nav=True),
    row("N13", NAV_INQUIRY, swap("", ""), BLOCK, BLOCK, "X99", signer_fnr="02918542720"),
    row("N16", NAV_INQUIRY, swap("", ""), BLOCK, BLOCK, "X99", signer_profession="SP"),
)
