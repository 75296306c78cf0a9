"""Errors say what, where, whose fault and whether to try again."""

from __future__ import annotations

import pytest

from adapter import errors
from adapter.errors import AdapterError, Again, Fault, Finding, Severity

EVERY = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, AdapterError) and found is not AdapterError
]


def _make(kind: type[AdapterError]) -> AdapterError:
    if issubclass(kind, errors.RemoteRefusalError):
        return kind("text", status=403, remote_code=7, request_id="r")
    return kind("text")


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_has_a_code_a_fault_an_outlook_and_one_line(kind: type[AdapterError]) -> None:
    error = _make(kind)
    assert error.code != AdapterError.code
    assert isinstance(error.fault, Fault)
    assert isinstance(error.again, Again)
    said = "the attachment cannot be decrypted" if kind is errors.DecryptionError else "text"
    assert str(error) == f"{error.code}: {said}"


def test_a_failed_decryption_says_the_same_whatever_the_reason() -> None:
    assert {str(errors.DecryptionError(reason)) for reason in ("padding", "recipient", "text")} == {
        "DECRYPT: the attachment cannot be decrypted"
    }


def test_codes_are_told_apart() -> None:
    own = [kind.code for kind in EVERY]
    assert len(own) == len(set(own))


def test_place_and_cure_are_part_of_the_text_and_a_finer_code_wins() -> None:
    error = errors.InputError("unknown field", code="INPUT.FIELD", where="$.a", cure="did you mean 'b'?")
    assert str(error) == "INPUT.FIELD: unknown field [$.a] Cure: did you mean 'b'?"
    assert errors.InputError.code == "INPUT"


def test_only_an_unknown_outcome_asks_for_proof_first() -> None:
    asking = [kind for kind in EVERY if kind.again is Again.AFTER_PROOF]
    assert asking == [errors.UnknownOutcomeError]


def test_a_remote_refusal_keeps_status_code_and_request_id_and_is_final() -> None:
    error = errors.AccessError("no", status=403, remote_code=7, request_id="r")
    assert (error.status, error.remote_code, error.request_id, error.again) == (403, 7, "r", Again.NEVER)


def test_an_error_that_waits_keeps_how_long() -> None:
    assert errors.TransportError("busy", retry_after_s=7).retry_after_s == 7
    assert errors.UnknownOutcomeError("cut").retry_after_s is None


def test_a_refusal_keeps_its_findings_and_an_unreadable_document_its_line() -> None:
    finding = Finding(rule="V1", severity=Severity.ERROR, text="t")
    assert errors.RefusedError("no", iter([finding]), cure="c").findings == (finding,)
    assert errors.UnreadableError("no", line=3).line == 3


def test_a_finding_blocks_when_it_is_an_error_and_has_the_json_of_check() -> None:
    finding = Finding(rule="V3", severity=Severity.WARNING, text="t", apprec="E10", path="/a", line=2, source="HIS")
    assert not finding.blocking
    assert Finding(rule="V3", severity=Severity.ERROR, text="t").blocking
    assert finding.as_json() == {
        "rule": "V3",
        "severity": "warning",
        "apprec": "E10",
        "path": "/a",
        "line": 2,
        "text": "t",
        "source": "HIS",
    }
