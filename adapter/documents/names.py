"""Namespaces of the national standards, which version each one is, and what the families are called."""

from __future__ import annotations

MSGHEAD = "http://www.kith.no/xmlstds/msghead/2006-05-24"
DIALOGUE_1_0 = "http://www.kith.no/xmlstds/dialog/2006-10-11"
DIALOGUE_1_1 = "http://www.kith.no/xmlstds/dialog/2013-01-23"
REFERRAL_1_0 = "http://www.kith.no/xmlstds/henvisning/2005-07-08"
REFERRAL_1_1 = "http://www.kith.no/xmlstds/henvisning/2012-02-15"
REFERRAL_2_0 = "http://ehelse.no/xmlstds/henvisning/2017-11-30"
EPIKRISE_1_0 = "http://www.kith.no/xmlstds/epikrise"
EPIKRISE_1_1 = "http://www.kith.no/xmlstds/epikrise/2006-09-23"
EPIKRISE_1_2 = "http://www.kith.no/xmlstds/epikrise/2012-02-15"
APPREC_1_0 = "http://www.kith.no/xmlstds/apprec/2004-11-21"
APPREC_1_1 = "http://www.kith.no/xmlstds/apprec/2012-02-15"
PO_2017 = "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30"
PO_2009 = "http://www.kith.no/xmlstds/po/poKomponent/2009-06-30"
FK1 = "http://www.kith.no/xmlstds/felleskomponent1"
BASE64 = "http://www.kith.no/xmlstds/base64container"
XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"
XHTML = "http://www.w3.org/1999/xhtml"
FELLESFORMAT = "http://www.nav.no/xml/eiff/2/"

MIG_VERSION = "v1.2 2006-05-24"

_VERSIONS = {
    MSGHEAD: "1.2",
    DIALOGUE_1_0: "1.0",
    DIALOGUE_1_1: "1.1",
    REFERRAL_1_0: "1.0",
    REFERRAL_1_1: "1.1",
    REFERRAL_2_0: "2.0",
    EPIKRISE_1_0: "1.0",
    EPIKRISE_1_1: "1.1",
    EPIKRISE_1_2: "1.2",
    APPREC_1_0: "1.0",
    APPREC_1_1: "1.1",
}
_PLO_VERSIONS = {"2009-06-30": "1.5", "2012-04-01": "1.6", "2016-05-30": "2.0"}


def version_of(namespace: str) -> str | None:
    """The business document's version by its namespace, e.g. "1.1"; None when the namespace is not known."""
    known = _VERSIONS.get(namespace)
    if known is None and "/xmlstds/po/" in namespace:
        return _PLO_VERSIONS.get(namespace.rsplit("/", 1)[-1])
    return known
