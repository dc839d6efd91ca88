"""Fetch what the pages are shipped with from the npm registry, at pinned releases, and put it into the package.

Run by ``make assets``. Each archive is checked against the checksum that is written here. With ``--check`` nothing is
written: it is an error if the package holds anything else than what would be.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).parent.parent / "src/dservercore/web"
VENDOR = WEB / "static/vendor"

#: Releases, and the SHA-512 of their archives as the registry has it.
HTMX = (
    "htmx.org@2.0.11",
    "Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
)
LUCIDE = (
    "lucide-static@1.62.0",
    "WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
)

#: The icons that templates can show with ``icon(name)``.
ICONS = [
    "arrow-down",
    "arrow-left",
    "arrow-right",
    "arrow-up",
    "arrow-up-down",
    "bell",
    "bookmark",
    "building-2",
    "calendar",
    "chart-column",
    "check",
    "chevron-down",
    "chevron-left",
    "chevron-right",
    "circle-check",
    "circle-help",
    "circle-x",
    "clock",
    "code",
    "copy",
    "database",
    "download",
    "external-link",
    "eye",
    "file",
    "file-text",
    "folder",
    "folder-open",
    "funnel",
    "git-branch",
    "globe",
    "hard-drive",
    "history",
    "house",
    "info",
    "key-round",
    "layers",
    "layout-dashboard",
    "link",
    "list",
    "lock",
    "log-in",
    "log-out",
    "mail",
    "menu",
    "monitor",
    "pencil",
    "plus",
    "refresh-cw",
    "search",
    "settings",
    "shield",
    "tag",
    "table",
    "terminal",
    "trash-2",
    "triangle-alert",
    "user",
    "users",
    "wallet",
    "x",
    "zoom-in",
    "zoom-out",
]


def fetched(package: tuple[str, str], folder: Path) -> Path:
    """Return the directory of a package, unpacked in *folder*."""
    release, checksum = package
    pack = ["npm", "pack", "--silent", release]
    name = subprocess.run(pack, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    found = base64.b64encode(hashlib.sha512((folder / name).read_bytes()).digest()).decode()
    if found != checksum:
        sys.exit(f"{release}: the archive has the checksum {found}, not {checksum}")
    place = folder / name.removesuffix(".tgz")
    shutil.unpack_archive(folder / name, place, filter="data")
    return place / "package"


def icons_of(lucide: Path) -> str:
    """Return a template with a macro that shows an icon."""
    lines = [
        "{# Made by `make assets` from "
        + LUCIDE[0]
        + "; its licence is static/vendor/lucide-LICENSE.txt. #}",
        "{% set ICONS = {",
    ]
    for name in ICONS:
        shapes = re.findall(
            r"<(?:path|circle|rect|line|polyline|polygon|ellipse)[^>]*/>",
            (lucide / f"icons/{name}.svg").read_text(),
        )
        lines.append(f"  '{name}': '{''.join(shapes)}',")
    lines += [
        "} %}",
        '{% macro icon(name) %}<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        "{{ ICONS[name] | safe }}</svg>{% endmacro %}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the files, or compare them."""
    with tempfile.TemporaryDirectory() as folder:
        htmx, lucide = fetched(HTMX, Path(folder)), fetched(LUCIDE, Path(folder))
        files = {
            VENDOR / "htmx.min.js": (htmx / "dist/htmx.min.js").read_text(),
            VENDOR / "htmx-LICENSE.txt": (htmx / "LICENSE").read_text(),
            VENDOR / "lucide-LICENSE.txt": (lucide / "LICENSE").read_text(),
            WEB / "templates/web/icons.html": icons_of(lucide),
        }
    if "--check" in sys.argv[1:]:
        different = [
            str(path) for path, text in files.items() if not path.exists() or path.read_text() != text
        ]
        sys.exit(f"Run make assets: {', '.join(different)}" if different else 0)
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
