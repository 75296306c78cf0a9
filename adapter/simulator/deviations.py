"""Where real servers differ from the published description of the API, each by name and off unless asked for.

With none of them the server is plain: what it answers is what the OpenAPI file of version 2 says.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapter.errors import SettingsError

DEVIATIONS: dict[str, str] = {
    "sent_member": "status lines carry 'sent', which the description lacks and newer deployments send",
    "source_system_member": "metadata carries 'sourceSystem', which the description lacks",
    "null_members": "without metadata the other members of a list item are null instead of absent",
    "apprec_details_only": "errors of an AppRec carry their text in 'details' alone, without 'description' and 'oid'",
    "pascal_case_errors": "error bodies have keys with a capital first letter",
    "unknown_fields": "objects carry members that the description lacks",
    "unknown_enum": "transportDeliveryState has a value that the description lacks",
    "offset_dates": "dates have seven decimals and an offset instead of the local time as written",
    "empty_401": "401 comes without a body",
    "repeat_refused": "a second POST of a MsgId by the same sender is refused (400, 1000) instead of getting a new id",
    "second_apprec_refused": "a second AppRec by the same receiver is refused (400, 1001) instead of being delivered",
    "undeducible_403": "a document without deducible addresses gives 403 instead of 400 (both with code 1200)",
    "partial_apprec_refused": "sending OkErrorInMessagePart is refused (400, 1000)",
    "apprec_hidden": "AppRecs are shown in the status only and not in the inbox",
    "apprec_10_always": "the server writes every AppRec as version 1.0, whatever the message standard asks for",
    "read_once": "marking a message as read twice gives 404",
    "limit_counts_document": "the size limit is held against the document instead of the request's body",
    "unchecked_subset": "receiverHerIdsSubset may name HER-ids that the document does not",
}


def read_deviations(names: Iterable[str]) -> frozenset[str]:
    """The names as a set; raises SettingsError for one that is not in the table."""
    chosen = frozenset(names)
    unknown = sorted(chosen - DEVIATIONS.keys())
    if unknown:
        cure = f"one of: {', '.join(DEVIATIONS)}"
        raise SettingsError("there is no such deviation", where=f"deviations {unknown[0][:40]}", cure=cure)
    return chosen
