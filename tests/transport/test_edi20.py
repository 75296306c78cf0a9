"""The EDI 2.0 road against a real socket that misbehaves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from adapter.codes import Coded
from adapter.config import Edi20Settings, SoftwareSettings
from adapter.errors import (
    AccessError,
    InputError,
    RefusedError,
    RemoteRefusalError,
    SettingsError,
    TransportError,
    UnknownOutcomeError,
)
from adapter.model.receipt import ReceiptStatus
from adapter.model.wire import Parcel, ReceiptParcel
from adapter.transport.edi20 import Edi20Road
from tests.transport.loopback import Loopback, Reply, closed_port

NEW_ID = "3d924740-9f7b-4c33-93af-ff72e118d1e6"
MSG_ID = "81b01cb1-c79c-4962-a8d2-41a8320e1a1a"
DOCUMENT = b'<?xml version="1.0" encoding="UTF-8"?>\n<MsgHead>\xc3\xa6</MsgHead>'
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SOFTWARE = SoftwareSettings(
    fagsystem="Journal",
    fagsystem_version="4.2",
    mellomvare="Adapter",
    mellomvare_version="0.1",
    msh="M",
    msh_version="1",
)
CREATED = Reply(status=201, body=NEW_ID, headers={"Location": "http://elsewhere.invalid/x"})


class Pass:
    """Authorises everything and counts how often it had to start afresh."""

    def __init__(self) -> None:
        self.renewed: list[str | None] = []

    def authorise(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"DPoP token{len(self.renewed)}", "DPoP": f"{method} {url.split('?')[0]}"}

    def renew(self, server_date: str | None = None) -> None:
        self.renewed.append(server_date)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def road_to(url: str, tokens: Pass | None = None, **changes: object) -> Edi20Road:
    settings = Edi20Settings(base_url=url, source_system="Adapter, v0.1", **changes)  # type: ignore[arg-type]
    return Edi20Road(settings, tokens or Pass(), software=SOFTWARE, clock=lambda: NOW)


def parcel(**changes: object) -> Parcel:
    plain: dict[str, object] = {
        "document": DOCUMENT,
        "sender": 8000001,
        "receivers": (8000002,),
        "msg_id": MSG_ID,
        "msg_type": "HENVIS",
    }
    return Parcel(**{**plain, **changes})  # type: ignore[arg-type]


# --- sending


def test_p1_a_post_always_names_the_receivers_it_is_for(server: Loopback) -> None:
    server.script.append(CREATED)
    sent = road_to(server.url).send(parcel(receivers=(8000002, 8000004)))
    asked = server.asked[0]
    assert (sent.remote_id, asked.method, asked.path) == (NEW_ID, "POST", "/Messages")
    assert asked.json["receiverHerIdsSubset"] == [8000002, 8000004]
    assert base64.b64decode(asked.json["businessDocument"]) == DOCUMENT
    assert asked.json["contentType"] == "application/xml"
    assert asked.json["contentTransferEncoding"] == "base64"
    assert asked.headers["api-version"] == "2"
    assert asked.headers["nhn-source-system"] == "Adapter, v0.1"
    assert asked.headers["content-type"] == "application/json"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196_607, 196_608, 196_609, 600_001])
def test_a_document_of_any_size_arrives_byte_for_byte(server: Loopback, size: int) -> None:
    server.script.append(CREATED)
    document = DOCUMENT + b"x" * size
    road_to(server.url).send(parcel(document=document))
    assert base64.b64decode(server.asked[0].json["businessDocument"], validate=True) == document
    assert int(server.asked[0].headers["content-length"]) == len(server.asked[0].body)


def test_p20_only_the_uuid_of_a_reply_is_taken_and_the_location_is_ignored(server: Loopback) -> None:
    server.script += [CREATED, Reply(status=200, body=[])]
    road = road_to(server.url)
    road.statuses(road.send(parcel()).remote_id)
    assert server.asked[1].path == f"/Messages/{NEW_ID}/status"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=200, body=NEW_ID),
        Reply(status=201, body={"id": NEW_ID}),
        Reply(status=201, body=b""),
        Reply(status=201, body=b'"3d92'),
        Reply(status=201, body=NEW_ID, fault="cut_body"),
        Reply(status=201, body="http://evil.invalid/" + NEW_ID),
        Reply(status=202, body=b""),
        Reply(status=201, body=b"[" * 100_000),
        Reply(status=500, body={"error": "An unknown error occurred", "errorCode": 0, "requestId": MSG_ID}),
        Reply(status=503, headers={"Retry-After": "7"}),
        Reply(status=408),
        Reply(status=303, headers={"Location": "/x"}),
        Reply(status=400, body={"error": "Request was cancelled", "errorCode": 0, "requestId": MSG_ID}),
        Reply(fault="no_answer"),
    ],
)
def test_p2_a_post_that_was_sent_and_not_clearly_answered_is_unknown(server: Loopback, reply: Reply) -> None:
    server.script.append(reply)
    with pytest.raises(UnknownOutcomeError):
        road_to(server.url).send(parcel())
    assert len(server.asked) == 1


def test_p2_a_connection_that_never_came_about_has_sent_nothing() -> None:
    with pytest.raises(TransportError) as caught:
        road_to(f"http://127.0.0.1:{closed_port()}").send(parcel())
    assert type(caught.value) is TransportError


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (Reply(status=429, headers={"Retry-After": "7"}), 7.0),
        (Reply(status=429, headers={"Retry-After": "Sat, 21 Nov 2026 12:01:00 GMT"}), 60.0),
        (Reply(status=429, headers={"Retry-After": "999999999999"}), 3600.0),
        (Reply(status=429, headers={"Retry-After": "soon"}), None),
        (Reply(status=302, headers={"Location": "http://127.0.0.1/"}), None),
    ],
)
def test_a_post_turned_away_at_the_door_may_be_tried_again(server: Loopback, reply: Reply, wait: float | None) -> None:
    server.script.append(reply)
    with pytest.raises(TransportError) as caught:
        road_to(server.url).send(parcel())
    assert type(caught.value) is TransportError
    assert caught.value.retry_after_s == wait
    assert len(server.asked) == 1


def test_the_limit_is_on_the_body_and_judged_before_anything_is_sent(server: Loopback) -> None:
    server.otherwise = CREATED
    road_to(server.url).send(parcel())
    size = len(server.asked[0].body)
    road_to(server.url, body_limit_bytes=size).send(parcel())
    with pytest.raises(RefusedError) as caught:
        road_to(server.url, body_limit_bytes=size - 1).send(parcel())
    assert caught.value.code == "EDI.SIZE"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "document",
    [
        b"<MsgHead/>",
        b'<?xml version="1.0"?><MsgHead/>',
        b'<?xml version="1.0" encoding="ISO-8859-1"?><MsgHead/>',
        b'<?xml version="1.0"\nencoding="UTF-8"?><MsgHead/>',
    ],
)
def test_a_document_without_utf8_in_its_first_line_does_not_leave(server: Loopback, document: bytes) -> None:
    with pytest.raises(RefusedError, match="UTF-8"):
        road_to(server.url).send(parcel(document=document))
    assert server.asked == []


@pytest.mark.parametrize("receivers", [(), (8000002, 8000002)])
def test_p1_a_parcel_without_or_with_repeated_receivers_does_not_leave(
    server: Loopback, receivers: tuple[int, ...]
) -> None:
    with pytest.raises(RefusedError) as caught:
        road_to(server.url).send(parcel(receivers=receivers))
    assert caught.value.code == "EDI.RECEIVERS"


def test_p13_overrides_of_process_and_partner_go_along_with_the_softwares_names(server: Loopback) -> None:
    server.script.append(CREATED)
    road_to(server.url).send(parcel(overrides={"service": "HenvendelseFraLege", "compressPayload": True}))
    assert server.asked[0].json["ebXmlOverrides"] == {
        "applicationName": "Journal",
        "applicationVersion": "4.2",
        "middlewareName": "Adapter",
        "middlewareVersion": "0.1",
        "service": "HenvendelseFraLege",
        "compressPayload": True,
    }


@pytest.mark.parametrize("overrides", [{"servise": "x"}, {"useSenderLevel1HerId": "yes"}])
def test_p13_an_override_that_the_api_does_not_have_is_a_settings_error(
    server: Loopback, overrides: dict[str, object]
) -> None:
    with pytest.raises(SettingsError) as caught:
        road_to(server.url).send(parcel(overrides=overrides))
    assert caught.value.where in overrides


# --- refusals


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 1000, RemoteRefusalError),
        (404, 1010, RemoteRefusalError),
        (409, 0, RemoteRefusalError),
        (413, 0, RemoteRefusalError),
        (415, 0, RemoteRefusalError),
        (403, 0, AccessError),
        (403, 1202, AccessError),
        (423, 1210, AccessError),
        (403, 1200, RemoteRefusalError),
        (403, 1201, RemoteRefusalError),
    ],
)
@pytest.mark.parametrize("pascal", [False, True])
def test_p23_a_refusal_carries_status_code_and_request_id(
    server: Loopback, status: int, code: int, kind: type[RemoteRefusalError], pascal: bool
) -> None:
    body: dict[str, object] = {"error": "x", "errorCode": code, "validationErrors": ["a", "b"], "requestId": MSG_ID}
    if pascal:
        body = {key[0].upper() + key[1:]: value for key, value in body.items()}
    server.script.append(Reply(status=status, body=body))
    with pytest.raises(RemoteRefusalError) as caught:
        road_to(server.url).send(parcel())
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.remote_code, caught.value.request_id) == (status, code, MSG_ID)


def test_p21_a_refusal_quotes_her_ids_and_nothing_else_of_the_servers_text(server: Loopback) -> None:
    error = {"error": "Not authorized for HerId(s): 8000009 KARI NORDMANN", "errorCode": 0, "requestId": MSG_ID}
    server.script.append(Reply(status=403, body=error))
    with pytest.raises(AccessError, match="HER-id 8000009") as caught:
        road_to(server.url).send(parcel())
    assert "KARI" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b'{"errorCode":"x","requestId":5}', b"[" * 100_000])
def test_a_refusal_with_an_empty_or_foreign_body_is_still_a_refusal(server: Loopback, body: bytes) -> None:
    server.script.append(Reply(status=400, body=body))
    with pytest.raises(RemoteRefusalError) as caught:
        road_to(server.url).send(parcel())
    assert (caught.value.status, caught.value.remote_code, caught.value.request_id) == (400, None, None)


def test_a_401_is_tried_once_more_with_a_fresh_token_and_the_same_bytes(server: Loopback) -> None:
    server.script += [Reply(status=401), CREATED]
    tokens = Pass()
    assert road_to(server.url, tokens).send(parcel()).remote_id == NEW_ID
    first, second = server.asked
    assert first.body == second.body
    assert (first.headers["authorization"], second.headers["authorization"]) == ("DPoP token0", "DPoP token1")
    assert tokens.renewed[0] is not None


def test_p23_a_second_401_is_an_access_error(server: Loopback) -> None:
    server.otherwise = Reply(status=401)
    with pytest.raises(AccessError) as caught:
        road_to(server.url).send(parcel())
    assert caught.value.status == 401
    assert len(server.asked) == 2


# --- receiving


def test_unread_asks_with_repeated_keys_and_metadata(server: Loopback) -> None:
    server.script.append(
        Reply(
            body=[
                {
                    "id": NEW_ID.upper(),
                    "receiverHerId": 8000002,
                    "senderHerId": 8000001,
                    "businessDocumentId": MSG_ID,
                    "businessDocumentGenDate": "2026-01-15T09:30:00",
                    "isAppRec": True,
                    "sourceSystem": "new field",
                },
                {"Id": MSG_ID, "ReceiverHerId": 8000003},
                {"id": "../../etc", "receiverHerId": 8000002},
                {"id": NEW_ID, "receiverHerId": 666},
                {"id": NEW_ID},
                "garbage",
            ]
        )
    )
    items = road_to(server.url).unread([8000003, 8000002, 8000003])
    assert server.asked[0].path == (
        "/Messages?ReceiverHerIds=8000002&ReceiverHerIds=8000003&IncludeMetadata=true&MessagesToFetch=100&OrderBy=1"
    )
    assert [(item.remote_id, item.receiver) for item in items] == [(NEW_ID, 8000002), (MSG_ID, 8000003)]
    assert (items[0].sender, items[0].msg_id, items[0].is_apprec) == (8000001, MSG_ID, True)
    assert items[0].gen_date == "2026-01-15T09:30:00"
    assert (items[1].sender, items[1].msg_id, items[1].gen_date, items[1].is_apprec) == (None, None, None, None)


def test_unread_of_many_her_ids_is_asked_in_batches(server: Loopback) -> None:
    server.otherwise = Reply(body=[])
    assert road_to(server.url).unread(range(8_000_000, 8_000_120), limit=500) == []
    assert [asked.path.count("ReceiverHerIds") for asked in server.asked] == [50, 50, 20]
    assert all("MessagesToFetch=100&" in asked.path for asked in server.asked)


def test_p12_the_newest_can_be_asked_for_to_look_past_what_stays_unread(server: Loopback) -> None:
    server.script.append(Reply(body=[]))
    road_to(server.url).unread([8000002], 5, newest_first=True)
    assert server.asked[0].path.endswith("MessagesToFetch=5&OrderBy=2")


def test_nobody_to_ask_for_asks_nothing(server: Loopback) -> None:
    assert road_to(server.url).unread([]) == []
    assert server.asked == []


def test_fetch_gives_the_documents_bytes(server: Loopback) -> None:
    encoded = base64.b64encode(DOCUMENT).decode()
    server.script += [
        Reply(
            body={"businessDocument": encoded, "contentType": "application/xml", "contentTransferEncoding": "base64"}
        ),
        Reply(body={"BusinessDocument": encoded}),
    ]
    road = road_to(server.url)
    assert [road.fetch(NEW_ID.upper(), 8000002), road.fetch(NEW_ID, 8000002)] == [DOCUMENT, DOCUMENT]
    assert server.asked[0].path == f"/Messages/{NEW_ID}/business-document"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b""),
        Reply(body={"businessDocument": "PD94" * 1000}, fault="cut_body"),
        Reply(body=b'{"businessDocument": "PD94'),
        Reply(body=b"x", headers={"Content-Encoding": "gzip"}),
        Reply(status=500),
        Reply(status=408),
        Reply(status=429),
        Reply(status=301, headers={"Location": "http://127.0.0.1:1/"}),
        Reply(status=204),
        Reply(fault="no_answer"),
        Reply(fault="silence"),
        Reply(fault="drip_head"),
        Reply(body=b"x" * 5000, fault="drip_body"),
        Reply(body=b"x" * 5000, headers={"Connection": "close"}, fault="drip_body"),
    ],
)
def test_p20_a_lying_slow_or_broken_server_costs_a_fetch_only_a_later_try(server: Loopback, reply: Reply) -> None:
    server.script.append(reply)
    road = road_to(server.url, response_limit_bytes=200_000, read_timeout_s=0.2, total_timeout_s=0.4)
    with pytest.raises(TransportError) as caught:
        road.fetch(NEW_ID, 8000002)
    assert type(caught.value) is TransportError
    assert len(server.asked) == 1
    server.script.append(Reply(body={"businessDocument": "PD94"}))
    assert road_to(server.url).fetch(NEW_ID, 8000002) == b"<?x"  # with time enough for a loaded machine


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body={"businessDocument": "?", "contentTransferEncoding": "base64"}),
        Reply(body={"businessDocument": "PD94", "contentTransferEncoding": "quoted-printable"}),
        Reply(body={"businessDocument": None}),
        Reply(body=[]),
        Reply(body=b"x" * 200_001),
        Reply(body=b"x" * 200_001, headers={"Connection": "close"}),
    ],
)
def test_p12_a_document_that_can_never_be_had_is_a_refusal_so_that_it_is_looked_past(
    server: Loopback, reply: Reply
) -> None:
    server.script.append(reply)
    with pytest.raises(RemoteRefusalError) as caught:
        road_to(server.url, response_limit_bytes=200_000).fetch(NEW_ID, 8000002)
    assert caught.value.status == 200


def test_p2_a_post_to_a_server_that_drips_is_cut_at_the_total_time_and_unknown(server: Loopback) -> None:
    server.script.append(Reply(fault="drip_head"))
    with pytest.raises(UnknownOutcomeError, match="took too long"):
        road_to(server.url, total_timeout_s=0.2).send(parcel())


@pytest.mark.parametrize("remote_id", ["", "x", f"{NEW_ID}/../..", f"{NEW_ID}\n", "a?b"])
def test_p20_only_a_uuid_becomes_part_of_an_address(server: Loopback, remote_id: str) -> None:
    road = road_to(server.url)
    for call in (
        lambda: road.fetch(remote_id, 1),
        lambda: road.statuses(remote_id),
        lambda: road.put_away(remote_id, 1),
    ):
        with pytest.raises(InputError):
            call()
    assert server.asked == []


def test_put_away_marks_read_for_one_her_id(server: Loopback) -> None:
    server.script += [Reply(status=204), Reply(status=404), Reply(status=502)]
    road = road_to(server.url)
    road.put_away(NEW_ID, 8000002)
    assert (server.asked[0].method, server.asked[0].path) == ("PUT", f"/Messages/{NEW_ID}/read/8000002")
    with pytest.raises(RemoteRefusalError):
        road.put_away(NEW_ID, 8000002)
    with pytest.raises(TransportError):
        road.put_away(NEW_ID, 8000002)


# --- status


def test_status_has_one_line_per_receiver_with_the_errors_of_a_rejection(server: Loopback) -> None:
    server.script += [
        Reply(
            body=[
                {
                    "receiverHerId": 8000002,
                    "transportDeliveryState": "Acknowledged",
                    "sent": True,
                    "appRecStatus": "Rejected",
                },
                {"receiverHerId": 8000004, "transportDeliveryState": "Unconfirmed", "appRecStatus": None},
            ]
        ),
        Reply(
            body=[
                {
                    "receiverHerId": 8000002,
                    "appRecStatus": "Rejected",
                    "appRecErrorList": [
                        {"errorCode": "E10", "details": "Ugyldig meldingsidentifikator"},
                        {"errorCode": "X99", "details": "", "description": "Annet", "oid": "2.16.578.1.12.4.1.1.8221"},
                        {"errorCode": "17", "details": None, "description": "eget", "oid": "1.2.3"},
                    ],
                }
            ]
        ),
    ]
    first, second = road_to(server.url).statuses(NEW_ID)
    assert (first.receiver, first.transport, first.sent, first.answer) == (
        8000002,
        "Acknowledged",
        True,
        ReceiptStatus.REJECTED,
    )
    assert first.errors == (
        Coded("E10", "8221", None, "Ugyldig meldingsidentifikator"),
        Coded("X99", "8221", "Annet", None),
        Coded("17", None, "eget", None),
    )
    assert (second.transport, second.sent, second.answer, second.errors) == ("Unconfirmed", None, None, ())


@pytest.mark.parametrize(
    ("word", "answer", "raw"),
    [
        ("Ok", ReceiptStatus.OK, None),
        ("ok", ReceiptStatus.OK, None),
        ("1", ReceiptStatus.OK, None),
        (1, ReceiptStatus.OK, None),
        (2, ReceiptStatus.REJECTED, None),
        ("OkErrorInMessagePart", ReceiptStatus.PARTIAL, None),
        ("Postponed", None, "Postponed"),
        (7, None, "7"),
        (None, None, None),
        (True, None, None),
    ],
)
def test_a_receipt_status_is_read_as_name_number_or_kept_as_text(
    server: Loopback, word: object, answer: ReceiptStatus | None, raw: str | None
) -> None:
    line = {"ReceiverHerId": 8000002, "TransportDeliveryState": "acknowledged", "AppRecStatus": word, "Brandnew": {}}
    server.script += [Reply(body=[line, {"transportDeliveryState": "Rejected"}, None]), Reply(body=[])]
    (found,) = road_to(server.url).statuses(NEW_ID)
    assert (found.transport, found.answer, found.answer_raw) == ("Acknowledged", answer, raw)


def test_an_unknown_transport_state_is_kept_as_text(server: Loopback) -> None:
    lines = [{"receiverHerId": 1, "transportDeliveryState": "Teleported"}, {"receiverHerId": 2}]
    server.script.append(Reply(body=lines))
    assert [line.transport for line in road_to(server.url).statuses(NEW_ID)] == ["Teleported", "Unknown"]


def test_a_rejection_whose_reasons_are_gone_is_still_a_rejection(server: Loopback) -> None:
    line = {"receiverHerId": 8000002, "transportDeliveryState": "Acknowledged", "appRecStatus": "Rejected"}
    server.script += [Reply(body=[line]), Reply(status=404)]
    (found,) = road_to(server.url).statuses(NEW_ID)
    assert (found.answer, found.errors) == (ReceiptStatus.REJECTED, ())


@pytest.mark.parametrize(("status", "kind"), [(500, TransportError), (403, AccessError)])
def test_a_rejection_whose_reasons_cannot_be_asked_now_is_asked_again(
    server: Loopback, status: int, kind: type[Exception]
) -> None:
    line = {"receiverHerId": 8000002, "transportDeliveryState": "Acknowledged", "appRecStatus": "Rejected"}
    server.script += [Reply(body=[line]), Reply(status=status)]
    with pytest.raises(kind):
        road_to(server.url).statuses(NEW_ID)


def test_a_status_that_is_no_list_is_a_broken_answer(server: Loopback) -> None:
    server.script.append(Reply(body={"statusList": []}))
    with pytest.raises(TransportError, match="list"):
        road_to(server.url).statuses(NEW_ID)


# --- receipts


def test_p10_a_receipt_is_posted_with_names_and_errors(server: Loopback) -> None:
    server.script += [CREATED, CREATED]
    road = road_to(server.url)
    road.send_receipt(ReceiptParcel(remote_id=MSG_ID, acknowledger=8000002, status=ReceiptStatus.OK))
    errors = (Coded("E35", "8221", "Pasienten finnes ikke", None), Coded("X99", "8221", "Annet", "se brev"))
    sent = road.send_receipt(
        ReceiptParcel(
            remote_id=MSG_ID,
            acknowledger=8000002,
            status=ReceiptStatus.REJECTED,
            errors=errors,
            overrides={"action": "Kvittering"},
        )
    )
    good, bad = server.asked
    assert sent.remote_id == NEW_ID
    assert (good.method, good.path) == ("POST", f"/Messages/{MSG_ID}/apprec/8000002")
    assert (good.json["appRecStatus"], good.json["appRecErrorList"]) == ("Ok", [])
    assert bad.json["appRecStatus"] == "Rejected"
    assert bad.json["appRecErrorList"] == [
        {"errorCode": "E35", "details": "", "description": "Pasienten finnes ikke", "oid": "2.16.578.1.12.4.1.1.8221"},
        {"errorCode": "X99", "details": "se brev", "description": "Annet", "oid": "2.16.578.1.12.4.1.1.8221"},
    ]
    assert bad.json["ebXmlOverrides"]["action"] == "Kvittering"


def test_p10_a_rejection_without_a_reason_is_not_sent(server: Loopback) -> None:
    with pytest.raises(RefusedError) as caught:
        road_to(server.url).send_receipt(
            ReceiptParcel(remote_id=MSG_ID, acknowledger=8000002, status=ReceiptStatus.REJECTED)
        )
    assert caught.value.code == "EDI.RECEIPT"
    assert server.asked == []


def test_p2_a_receipt_without_an_answer_is_unknown(server: Loopback) -> None:
    server.script.append(Reply(fault="no_answer"))
    with pytest.raises(UnknownOutcomeError):
        road_to(server.url).send_receipt(ReceiptParcel(remote_id=MSG_ID, acknowledger=8000002, status=ReceiptStatus.OK))


# --- addresses and connections


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "ftp://127.0.0.1",
        "https://",
        "https://u:p@x.org",
        "https://x.org?a=1",
        "https://x.org:99999",
        "x",
    ],
)
def test_p20_an_address_that_is_not_a_plain_https_place_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        road_to(url)


@pytest.mark.parametrize("name", ["", "  ", "a\r\nX-Evil: 1"])
def test_a_source_system_must_be_printable(name: str) -> None:
    with pytest.raises(SettingsError):
        Edi20Road(Edi20Settings(base_url="https://x.org", source_system=name), Pass())


def test_no_cookie_is_kept_and_no_compression_asked_for(server: Loopback) -> None:
    server.otherwise = Reply(body=[], headers={"Set-Cookie": "a=b; Path=/"})
    road = road_to(server.url)
    road.unread([1])
    road.unread([1])
    assert "cookie" not in server.asked[1].headers
    assert server.asked[1].headers["accept-encoding"] == "identity"


def test_a_closed_road_can_be_used_again(server: Loopback) -> None:
    server.otherwise = Reply(body=[])
    road = road_to(server.url)
    road.unread([1])
    road.close()
    assert road.unread([1]) == []


def test_a_large_document_is_encoded_on_the_way_and_not_held_twice(server: Loopback) -> None:
    import tracemalloc

    server.script.append(CREATED)
    document = DOCUMENT + b"y" * 6_000_000
    road = road_to(server.url)
    box = parcel(document=document)
    from adapter.transport.edi20_json import write_message

    tracemalloc.start()
    body = write_message(box, SOFTWARE, 35_000_000)
    total = sum(len(piece) for piece in body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == len(body) > 8_000_000
    assert peak < 2_000_000
    assert json.loads(b"".join(body.again()))["contentType"] == "application/xml"
    assert road.send(box).remote_id == NEW_ID
