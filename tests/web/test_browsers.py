"""What people call a browser."""

from __future__ import annotations

import pytest

from dservercore.web.browsers import name_of

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME}", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Edg/140.0.0.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME}", "Chrome on Android"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.6 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.6 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (Unknown) Firefox/140.0", "Firefox"),
        ("curl/8.15.0", "curl/8.15.0"),
        ("Mozilla/5.0 (compatible; something)", "Mozilla/5.0 (compatible; something)"),
        ("Firefox on Linux, she said", "Firefox on Linux, she said"),
        ("", ""),
    ],
)
def test_the_name_of_a_browser(agent: str, name: str) -> None:
    assert name_of(agent) == name
