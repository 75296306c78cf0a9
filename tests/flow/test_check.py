"""The check's spine: one order of steps, nothing unsigned is read, nothing in a document makes it raise."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter import xmlio
from adapter.errors import Severity
from adapter.flow.check import CheckContext, Checked, check_document, read_time
from adapter.security.demo_ca import DemoCa
from adapter.security.trust import judge_signer
from adapter.security.xmldsig import sign_document
from adapter.validation.subject import RuleContext

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
NOTE = (SAMPLES / "good" / "inbound-note.xml").read_bytes()
AT = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> DemoCa:
    return DemoCa.create(clock=lambda: AT)


@pytest.fixture(scope="module")
def signed(authority: DemoCa) -> bytes:
    return sign_document(NOTE, authority.issue_company("Bekkelia legesenter", "314045505"))


def check(document: bytes, **context: object) -> Checked:
    return check_document(document, CheckContext(rules=RuleContext(), **context), at=AT)  # type: ignore[arg-type]


def test_a_parsed_tree_gives_the_same_as_its_bytes() -> None:
    tree = check_document(xmlio.parse(NOTE), CheckContext(rules=RuleContext()), at=AT)
    from_bytes = check(NOTE)
    assert tree.judgement == from_bytes.judgement
    assert tree.findings == from_bytes.findings


def test_a_name_with_a_norwegian_letter_is_a_fault_and_no_accident() -> None:
    checked = check(NOTE.replace(b"<Notat>", "<Formål/><Notat>".encode()))
    assert checked.facts is not None
    assert xmlio.canonical(xmlio.reroot(xmlio.parse("<a><Formål/></a>".encode())[0])) == "<Formål></Formål>".encode()


def test_the_time_of_judging_is_handed_in() -> None:
    early = check_document(NOTE, CheckContext(rules=RuleContext()), at=datetime(2026, 11, 1, tzinfo=UTC))
    assert "V4" in {finding.rule for finding in early.findings}
    assert "V4" not in {finding.rule for finding in check(NOTE).findings}


def test_the_callers_trust_decides_on_a_sound_signature(signed: bytes, authority: DemoCa) -> None:
    seen = []

    def trust(verified, facts):  # type: ignore[no-untyped-def]
        seen.append(facts.msg_id)
        gen_date = read_time(facts.gen_date)
        from adapter.config import Revocation
        from adapter.security.trust import TrustPolicy

        policy = TrustPolicy(revocation=Revocation.OFF)
        roots = (authority.certificate,)
        return judge_signer(verified, gen_date=gen_date, fetched_at=AT, roots=roots, policy=policy)

    checked = check(signed, trust=trust)
    assert checked.signature_status == "valid"
    assert seen == [checked.facts.msg_id if checked.facts else None]
    assert checked.trust is not None


def test_what_is_read_after_is_the_signed_part_without_its_signature(signed: bytes) -> None:
    checked = check(signed)
    assert checked.root is not None
    assert checked.verified is not None
    assert checked.root is checked.verified.root
    assert not list(checked.root.iter("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    assert checked.facts is not None
    assert checked.facts.signatures == 1


def test_a_broken_signature_is_an_error_that_the_sender_is_told(signed: bytes) -> None:
    checked = check(signed.replace(b"1. desember", b"1. januar"))
    assert (checked.signature_status, checked.judgement.verdict) == ("invalid", "reject")
    assert [error.code for error in checked.judgement.errors] == ["S01"]
    assert checked.verified is None


def test_a_second_signature_is_refused(signed: bytes) -> None:
    at = signed.index(b"<", signed.index(b"</Document>") + 5)
    end = signed.index(b"</MsgHead>")
    doubled = signed[:end] + signed[at:end] + signed[end:]
    assert check(doubled).signature_status == "invalid"


def test_the_schema_sees_the_document_as_it_came(signed: bytes) -> None:
    bad = signed.replace(b"<MIGversion>", b"<Nonsense/><MIGversion>")
    checked = check(bad)
    assert checked.schema_findings
    assert check(signed).schema_findings == ()


def test_another_set_of_schemas_can_be_used(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "schemas"
    assert check(NOTE, schema_directory=folder).schema_findings == ()


@pytest.mark.parametrize("name", ["cut-off", "utf-16", "doctype", "two-messages-in-one-wrapper", "empty"])
def test_what_cannot_be_read_gives_one_error_and_no_facts(name: str) -> None:
    checked = check((SAMPLES / "bad" / f"{name}.xml").read_bytes())
    assert checked.facts is None
    assert checked.root is None
    assert [finding.severity for finding in checked.findings] == [Severity.ERROR]
    assert checked.judgement.verdict == "unanswerable"
    assert checked.readable == (name == "two-messages-in-one-wrapper")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-20T10:00:00", datetime(2026, 11, 20, 10)),
        (" 2026-11-20T10:00:00Z ", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("20. november", None),
        ("", None),
        (None, None),
    ],
)
def test_gen_date_is_read_or_it_is_not_there(written: str | None, read: datetime | None) -> None:
    assert read_time(written) == read


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_document_makes_the_check_raise(signed: bytes, data: st.DataObject) -> None:
    document = bytearray(data.draw(st.sampled_from([NOTE, signed])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(document) - 1))
        match data.draw(st.sampled_from(["cut", "byte", "double"])):
            case "cut":
                del document[at : at + data.draw(st.integers(1, 200))]
            case "byte":
                document[at] = data.draw(st.integers(0, 255))
            case _:
                document[at:at] = document[at : at + data.draw(st.integers(1, 200))]
        if not document:
            break
    checked = check(bytes(document))
    assert checked.judgement.verdict in ("accept", "reject", "unanswerable")
    assert checked.signature_status != "valid"
