"""What people call a browser that says what it is in the words of ``User-Agent``."""

from __future__ import annotations

# In this order: most browsers also say that they are those which come later here, for old pages' sake.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chromium/": "Chromium",
    "Chrome/": "Chrome",
    "Version/": "Safari",
}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def name_of(agent: str) -> str:
    """Return a short name such as ``Firefox on Linux``; what is no known browser is returned as it is."""
    if not agent.startswith("Mozilla/5.0 ("):
        return agent
    browser = next((name for mark, name in _BROWSERS.items() if mark in agent), None)
    if browser is None:
        return agent
    system = next((name for mark, name in _SYSTEMS.items() if mark in agent), None)
    return f"{browser} on {system}" if system else browser
