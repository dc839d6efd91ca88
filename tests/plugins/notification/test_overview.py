"""What the page of the administration says of notifications."""

from __future__ import annotations

from dservercore import sql_db
from dservercore.plugins.notification import inbox
from dservercore.plugins.notification.inbox import settle
from support.world import ADMIN, RED
from web.browser import client_of

from .bodies import UUID, aws, of_aws
from .conftest import Inbox


def test_what_is_held_needs_attention(notified: Inbox) -> None:
    notified.post(json=of_aws(aws(name="ObjectRemoved:Delete")))
    ada = client_of(notified.app, ADMIN)
    said = "1 dataset is gone from its bucket after many others, and is still registered:"
    assert said not in ada.get("/admin").text
    with notified.app.app_context():
        seen = inbox.read(f"{RED}/{UUID}")
        assert seen
        settle(seen, "too many")
        sql_db.session.commit()
    page = ada.get("/admin")
    assert page.status_code == 200
    assert f"{said} <code>flask notification status</code>" in page.text
