from __future__ import annotations

from adapter.simulator import start
from adapter.simulator.world import GRANLI, GRANLI_FRISKLIV, SOLVANG, SOLVANG_GP
from tests.simulator.caller import Caller, message


def test_a_message_is_sent_acknowledged_answered_and_read() -> None:
    with start() as simulation:
        caller = Caller(simulation)
        answer = caller.send(message((SOLVANG, SOLVANG_GP), (GRANLI, GRANLI_FRISKLIV)))
        assert answer.status_code == 201
        id_ = answer.json()
        assert answer.headers["Location"] == f"{simulation.edi_url}/Messages/{id_}"
        status = caller.call("GET", f"/Messages/{id_}/status").json()
        assert status == [
            {"receiverHerId": GRANLI_FRISKLIV, "transportDeliveryState": "Acknowledged", "appRecStatus": "Ok"}
        ]
        (item,) = caller.unread(SOLVANG_GP)
        assert item["isAppRec"] is True
        assert b'<Status V="1"' in caller.fetch(item["id"])
        for _ in range(2):
            assert caller.call("PUT", f"/Messages/{item['id']}/read/{SOLVANG_GP}").status_code == 204
        assert caller.unread(SOLVANG_GP) == []
