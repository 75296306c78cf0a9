"""Which codes a consumer may reject a message with (P7; content digest 4.2 and 4.3).

Clinical or semantic faults and unknown codes are no reason to reject: they are told with a DIALOG_AVVIK. Format and
signature faults are the adapter's own judgement and not the consumer's, except an attachment that cannot be opened.
"""

from __future__ import annotations

# Recipient, patient's identification, attachment.
ALWAYS = frozenset({"E21", "E30", "E31", "E32", "E33", "E34", "E36", "T99", "X99"})
# "The patient does not exist here" is only legal where the receiver must already know the patient.
UNKNOWN_PATIENT = frozenset({"E35", "E54"})
_REPORTS = frozenset({"EPIKRISE", "TVERRFAGLIG_EPIKRISE", "E"})


def legal_reject_codes(msg_type: str, *, emergency: bool = False) -> frozenset[str]:
    """Codes of list 8221 that a consumer may give for a type. Empty for receipts and for emergencies (P8)."""
    if emergency or msg_type == "APPREC":
        return frozenset()
    if msg_type in _REPORTS or msg_type.startswith("SVAR_"):
        return ALWAYS | UNKNOWN_PATIENT
    return ALWAYS
