"""P25: attachments by format, magic, base64, count and size."""

from __future__ import annotations

import base64
import re
import sys
import time
import tracemalloc

import pytest

from adapter.documents import read_facts
from adapter.model.attachment_formats import matches_magic
from adapter.validation.attachment_policy import COMMON, allowed_formats, normal
from adapter.validation.base64_text import beginning, is_base64, last_group, raw_size
from adapter.validation.rulebook import check_rules
from adapter.validation.subject import RuleContext
from adapter.xmlio import parse
from tests.validation.cases_base import NAV_INQUIRY, STATUS, WITH_PDF, cut, good, swap
from tests.validation.judging import judged


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("QUJD", True),
        ("QUI=", True),
        ("QQ==", True),
        (" QU\r\n\tJD ", True),
        ("QQ=\n=", True),
        ("QQ==   \n", True),
        ("", False),
        ("   ", False),
        ("====", False),
        ("QUJ", False),
        ("QUJD=", False),
        ("QQ===", False),
        ("QQ==QQ==", False),
        ("QU-_", False),
        ("QUÆD", False),
        ("QQ==" + " " * 100, True),
        ("QQ==" + " " * 100 + "Q", False),
    ],
)
def test_base64_is_judged_without_decoding(text: str, sound: bool) -> None:
    assert is_base64(text) is sound


@pytest.mark.parametrize("size", [1, 2, 3, 100, 1_500_000])
def test_what_the_library_writes_is_sound_and_a_lost_sign_is_not(size: int) -> None:
    text = base64.b64encode(bytes(size)).decode()
    assert is_base64(text)
    assert not is_base64(text[1:])
    assert abs(raw_size(len(text)) - size) <= 2


def test_the_beginning_is_decoded_alone() -> None:
    text = base64.b64encode(b"%PDF-1.7\n" + bytes(10_000)).decode()
    assert beginning(text[:8] + "\n " + text[8:]).startswith(b"%PDF-1.7")
    assert len(beginning(text)) == 1536
    assert beginning("?" * 100) == b""


MAGIC = {
    "application/pdf": b"%PDF-1.4",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/tiff": b"II*\x00",
}


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize("content", MAGIC)
def test_p25_each_format_is_known_by_its_first_bytes(kind: str, content: str) -> None:
    assert matches_magic(kind, MAGIC[content] + b"x") is (kind == content)


def test_p25_other_names_and_other_formats() -> None:
    assert matches_magic("image/pjpeg", MAGIC["image/jpeg"])
    assert matches_magic("IMAGE/TIFF; x=1", b"MM\x00*")
    assert not matches_magic("application/msword", b"\xd0\xcf\x11\xe0")
    assert normal("image/PJPG; charset=x") == "image/jpeg"
    assert normal(None) == ""


def test_p25_formats_by_type_and_partner() -> None:
    assert allowed_formats("HENVISNING_NYTILSTAND") == COMMON
    assert allowed_formats("DIALOG_STATUS_HENVISNING", agreed=("image/png",)) == {"application/pdf"}
    assert "image/tiff" in allowed_formats("DIALOG_NOTAT", to_nav=True)
    assert allowed_formats("HENVISNING_NYTILSTAND", agreed=("image/jpg",)) == {"image/jpeg"}


def test_p25_a_status_carries_pdf_only() -> None:
    document = swap("application/pdf", "image/png")(good(STATUS))
    assert judged(document, "out").of("V11.FORMAT")[0].severity == "error"
    assert judged(good(STATUS), "out").judgement.verdict == "accept"


def test_p25_tiff_goes_to_nav_only() -> None:
    pdf = good(WITH_PDF)
    attachment = pdf[pdf.index("</Document><Document>") + len("</Document>") : pdf.index("</MsgHead>")]
    tiff = base64.b64encode(b"II*\x00" + bytes(20)).decode()
    part = cut("(<Base64Container[^>]*>)[^<]*", rf"\g<1>{tiff}")(attachment.replace("application/pdf", "image/tiff"))
    to_nav = swap("</MsgHead>", part + "</MsgHead>")(good(NAV_INQUIRY))
    assert not judged(to_nav, "out").of("V11.FORMAT")
    to_others = to_nav.replace("889640782", "310045101").replace("79768", "8091101")
    assert judged(to_others, "out").of("V11.FORMAT")


def test_p25_nav_reads_forty_attachments() -> None:
    pdf = good(WITH_PDF)
    part = pdf[pdf.index("</Document><Document>") + len("</Document>") : pdf.index("</MsgHead>")]
    assert judged(swap("</MsgHead>", part * 41 + "</MsgHead>")(good(NAV_INQUIRY)), "out").of("V11.COUNT")
    assert not judged(swap("</MsgHead>", part * 40 + "</MsgHead>")(good(NAV_INQUIRY)), "out").of("V11.COUNT")


def test_p25_a_format_agreed_with_the_partner_is_usable_inbound() -> None:
    document = swap("application/pdf", "application/msword")(good(WITH_PDF))
    assert judged(document).codes == ["T99"]
    assert judged(document, attachments_allowed=("application/msword",)).judgement.verdict == "accept"


def test_pieces_take_the_place_of_the_markers_in_an_outgoing_tree() -> None:
    marked = cut("(<Base64Container[^>]*>)[^<]*", r"\1TUFSS0VS")(good(WITH_PDF))
    assert judged(marked, "out").of("V11.MAGIC")
    assert not judged(marked, "out", attachment_pieces=(b"%PDF-1.4",)).of("V11.MAGIC")
    assert judged(marked, "out", attachment_pieces=(b"PK\x03\x04",)).of("V11.MAGIC")
    assert judged(marked, "out", attachment_pieces=(b"",)).of("V11.BASE64")


def test_p25_mail_warns_above_five_and_a_half_megabytes_by_the_base64_too() -> None:
    big = base64.b64encode(b"%PDF-" + bytes(5_600_000)).decode()
    document = cut("(<Base64Container[^>]*>)[^<]*", rf"\g<1>{big}")(good(WITH_PDF))
    assert judged(document, "out", road="ebxml").of("V11.SIZE")[0].severity == "warning"
    assert not judged(document, "out").of("V11.SIZE")


@pytest.mark.cost
def test_a_large_attachment_is_not_copied_more_than_once_and_costs_little() -> None:
    big = base64.b64encode(b"%PDF-" + bytes(6_000_000)).decode()
    root = parse(cut("(<Base64Container[^>]*>)[^<]*", rf"\g<1>{big}")(good(WITH_PDF)).encode())
    facts = read_facts(root)
    tracemalloc.start()
    check_rules(root, facts, [], RuleContext())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * len(big)
    if sys.gettrace() is not None:
        return  # a tracer is measuring coverage
    started = time.process_time()
    check_rules(root, facts, [], RuleContext())
    assert time.process_time() - started < 0.25


@pytest.mark.parametrize("size", [1, 3, 4, 5, 65_532, 65_535, 65_536, 65_537, 65_540, 131_072])
def test_a_long_text_is_judged_by_its_last_group_as_by_all_of_it(size: int) -> None:
    plain = base64.b64encode(bytes(range(256)) * (size // 256 + 1))[:size].decode()
    for text in (
        plain,
        plain + "=",
        plain + "==",
        plain[:-1] + "=A" + plain[-1:],
        plain[: size // 2] + "-" + plain,
        "",
    ):
        for written in (text, f" {text}\n", "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))):
            group = last_group(written)
            assert is_base64(written) is (group is not None)
            assert group is None or (len(group) == 4 and "".join(written.split()).endswith(group))
            joined = "".join(written.split())
            assert is_base64(written) is bool(re.fullmatch("[A-Za-z0-9+/]+={0,2}", joined) and len(joined) % 4 == 0)
