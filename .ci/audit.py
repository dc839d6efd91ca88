"""Looks up known holes of every release that a plain installation with all extras brings, in PyPI's advisories.

It only tells: it ends with success whatever it finds, and where nobody can be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
PACKAGE = f"{CHECKOUT}[ldap,mysql,postgresql,s3]"


def main(place: Path) -> str:
    """Install the package into a new virtual environment at *place*; return what is known of what came with it."""
    venv.create(place, clear=True, with_pip=True)
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    try:
        subprocess.run([*pip, "install", "--quiet", "--quiet", PACKAGE], check=True)
        listed = [*pip, "list", "--format=freeze", "--exclude=dservercore", "--exclude=pip"]
        releases = subprocess.run([*listed, "--exclude=setuptools"], check=True, capture_output=True).stdout
        # Only now: what it brings along is none of ours.
        subprocess.run([*pip, "install", "--quiet", "--quiet", "pip-audit"], check=True)
    except subprocess.CalledProcessError:
        return "Nothing was looked up: the package index cannot be reached, or pip-audit is not there."
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(releases)
        file.flush()
        options = ["--requirement", file.name, "--no-deps", "--disable-pip", "--format=json"]
        audit = subprocess.run([python, "-m", "pip_audit", *options], capture_output=True, text=True)
    try:
        return report(json.loads(audit.stdout))
    except ValueError:
        reason = (audit.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"Nothing was looked up: the advisories cannot be reached ({reason})."


def report(answer: dict[str, Any]) -> str:
    """Return, in lines, what pip-audit has found, and which releases it could not look up.

    pip-audit itself says "No known vulnerabilities found" where it was told nothing of any release.

    :param answer: its document in JSON
    """
    releases = answer["dependencies"]
    unknown = sorted(release["name"] for release in releases if "skip_reason" in release)
    holes = [
        f"{release['name']} {release['version']}: {' '.join([hole['id'], *hole['aliases']])},"
        f" mended in {' or '.join(hole['fix_versions']) or 'no release yet'}"
        for release in releases
        for hole in release.get("vulns", [])
    ]
    lines = [
        *holes,
        f"Of {len(releases)} releases, {len(releases) - len(unknown)} were looked up: {len(holes)} known holes.",
    ]
    if unknown:
        lines.append(f"Not looked up, because the advisories cannot be reached: {', '.join(unknown)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
