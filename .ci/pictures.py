"""Take the pictures of the pages that the README and the documentation show, of the demo's datasets.

Run by ``make pictures``, with Chromium. A page that there is not yet is left out, with a word about it. How big
pictures may be, and that each is shown somewhere, is up to ``tests/web/test_shipped.py``.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from showing import CHECKOUT, COOKIE, Page, application, served, session_of

from web.browser import be_wide, browser, complaints, prefer, until

PLACE = CHECKOUT / "docs/pictures"
DESK, PHONE = (1240, 820), (390, 780)
#: The dataset that is shown.
SHOWN = "survival-lung"


@dataclass(frozen=True)
class Picture:
    """A page, as one reader sees it."""

    page: Page
    size: tuple[int, int] = DESK
    scheme: str = "light"
    user: str = "alice"


_SEARCH = {"endpoint": "web.home", "query": {"free_text": "lung cancer"}}
PICTURES = [
    Picture(Page("search", **_SEARCH)),
    Picture(Page("search-dark", **_SEARCH), scheme="dark"),
    Picture(Page("search-phone", **_SEARCH), PHONE),
    Picture(Page("dataset", "web.dataset", ("uri",))),
    Picture(Page("dataset-phone", "web.dataset", ("uri",)), PHONE, "dark"),
    Picture(Page("dashboard", "web.dashboard")),
    Picture(Page("dashboard-dark", "web.dashboard"), scheme="dark"),
    Picture(Page("administration", "web.admin"), user="admin"),
]


def main() -> int:
    """Take the pictures; return 1 if the browser complained of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="data of a demo [.demo, which is made]")
    parser.add_argument("--port", type=int, default=5098, help="to serve on [5098]")
    options = parser.parse_args()
    directory = options.directory or CHECKOUT / ".demo"
    if not options.directory:
        demo = [
            sys.executable,
            "-m",
            "demo",
            "--no-serve",
            "--datasets",
            "200",
            "--directory",
            str(directory),
        ]
        subprocess.run(demo, cwd=CHECKOUT, check=True)
    app = application(directory)
    PLACE.mkdir(exist_ok=True)
    faults = []
    with (
        ExitStack() as sessions,
        served(directory, options.port) as address,
        tempfile.TemporaryDirectory() as profile,
        browser(Path(profile)) as driver,
    ):
        users = {picture.user for picture in PICTURES}
        secrets = {user: sessions.enter_context(session_of(app, user)) for user in users}
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        for picture in PICTURES:
            path = picture.page.path(app, SHOWN)
            if path is None:
                print(f"{picture.page.name}: there is no such page yet")
                continue
            cookie = {"name": COOKIE, "value": secrets[picture.user], "url": address}
            driver.execute_cdp_cmd("Network.setCookie", cookie)
            prefer(driver, picture.scheme)
            be_wide(driver, *picture.size)
            driver.get(address + path)
            # What scripts of the page ask for after it is there is in the picture, too.
            until(driver, lambda it: it.execute_script(_IS_DONE))
            taken = base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
            (PLACE / f"{picture.page.name}.png").write_bytes(taken)
            print(f"{picture.page.name}.png: {len(taken) / 1000:.0f} kB of {path}")
            faults += complaints(driver)
    print("\n".join(faults))
    return 1 if faults else 0


_IS_DONE = "return document.readyState === 'complete' && !document.querySelector('.htmx-request')"

if __name__ == "__main__":
    sys.exit(main())
