"""What pages are shipped with is what its sources say: files of others, texts for translators, pictures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
#: Bytes of one picture: who clones the repository takes all of them along.
MOST_OF_A_PICTURE = 150_000

needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


def check(script: str) -> subprocess.CompletedProcess[str]:
    """Have a script of ``.ci`` compare what it would write."""
    command = [sys.executable, str(CHECKOUT / ".ci" / script), "--check"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@needs_npm
@pytest.mark.long
def test_files_of_others_are_what_their_registry_has() -> None:
    result = check("assets.py")
    assert result.returncode == 0, result.stderr


def test_translators_are_given_all_texts() -> None:
    result = check("texts.py")
    assert result.returncode == 0, result.stderr


def test_every_icon_that_a_template_shows_is_there() -> None:
    templates = CHECKOUT / "src/dservercore/web/templates/web"
    icons = set(re.findall(r"^  '([a-z0-9-]+)':", (templates / "icons.html").read_text(), re.MULTILINE))
    for template in sorted(templates.rglob("*.html")):
        shown = set(re.findall(r'\bicon\("([^"]+)"\)', template.read_text()))
        assert shown <= icons, template.name


def test_pictures_are_small_and_all_of_them_are_shown() -> None:
    pictures = {path.name: path.stat().st_size for path in (CHECKOUT / "docs/pictures").glob("*.png")}
    texts = [path.read_text() for path in (CHECKOUT / "README.rst", *(CHECKOUT / "docs").rglob("*.rst"))]
    shown = {name for text in texts for name in re.findall(r"pictures/([a-z-]+\.png)", text)}
    assert pictures.keys() == shown
    assert max(pictures.values()) <= MOST_OF_A_PICTURE
    assert len(pictures) <= 8
