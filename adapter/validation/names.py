"""Namespaces that the rules look into, and which type may travel in which (content digest 1.2, 2.4, 5.0)."""

from __future__ import annotations

MSGHEAD = "{http://www.kith.no/xmlstds/msghead/2006-05-24}"
DIALOGUE_1_0 = "{http://www.kith.no/xmlstds/dialog/2006-10-11}"
DIALOGUE_1_1 = "{http://www.kith.no/xmlstds/dialog/2013-01-23}"
REFERRAL_1_0 = "{http://www.kith.no/xmlstds/henvisning/2005-07-08}"
REFERRAL_1_1 = "{http://www.kith.no/xmlstds/henvisning/2012-02-15}"
REFERRAL_2_0 = "{http://ehelse.no/xmlstds/henvisning/2017-11-30}"
APPREC_1_0 = "{http://www.kith.no/xmlstds/apprec/2004-11-21}"
APPREC_1_1 = "{http://www.kith.no/xmlstds/apprec/2012-02-15}"
FK1 = "{http://www.kith.no/xmlstds/felleskomponent1}"
PO = "{http://ehelse.no/xmlstds/po/poKomponent/2017-11-30}"
BASE64 = "{http://www.kith.no/xmlstds/base64container}"
XHTML = "{http://www.w3.org/1999/xhtml}"
XMLDSIG = "{http://www.w3.org/2000/09/xmldsig#}"
BASE64_CONTAINER = f"{BASE64}Base64Container"

DIALOGUES = (DIALOGUE_1_0, DIALOGUE_1_1)
REFERRALS = (REFERRAL_1_0, REFERRAL_1_1, REFERRAL_2_0)
CHANGED = ("M", "C")  # ServType (7309): change, cancellation
NEW_REFERRAL = "HENVISNING_NYTILSTAND"
FORWARDED_REFERRAL = "HENVISNING_VIDERE"

# Business namespace (without braces) -> types that it may carry. None: the type is optional there (root Message).
TYPES_BY_NAMESPACE: dict[str, frozenset[str | None]] = {
    DIALOGUE_1_0[1:-1]: frozenset({"DIALOG_FORESPORSEL", "DIALOG_SVAR", "DIALOG_NOTAT", "DIALOG_AVVIK"}),
    DIALOGUE_1_1[1:-1]: frozenset({"DIALOG_HELSEFAGLIG", "DIALOG_STATUS_HENVISNING"}),
    REFERRAL_2_0[1:-1]: frozenset({NEW_REFERRAL, FORWARDED_REFERRAL}),
    REFERRAL_1_0[1:-1]: frozenset({"H", "H_REHAB", None}),
    REFERRAL_1_1[1:-1]: frozenset({"HENVISNING", "HENVISNING_REHAB", "HENVISNING_BUP", None}),
    APPREC_1_0[1:-1]: frozenset({"APPREC"}),
    APPREC_1_1[1:-1]: frozenset({"APPREC"}),
}
SUPPORTED_TYPES = frozenset(kind for kinds in TYPES_BY_NAMESPACE.values() for kind in kinds if kind is not None)
REFERRAL_TYPES = frozenset(
    {NEW_REFERRAL, FORWARDED_REFERRAL, "H", "H_REHAB", "HENVISNING", "HENVISNING_REHAB", "HENVISNING_BUP"}
)
