"""The workflows run what they name and nothing that somebody exchanges, and with no right that they do not need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.y*ml"))


def jobs(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from yaml.safe_load(file.read_text())["jobs"].items()


def test_there_are_workflows() -> None:
    assert [file.name for file in FILES] == ["release.yml", "test.yml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
class TestWorkflows:
    def test_actions_are_commits_with_the_version_beside_them(self, file: Path) -> None:
        named = re.findall(r"uses: (.*)", file.read_text())
        assert named
        for action in named:
            assert re.fullmatch(r"\./\.github/.*|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action

    def test_nothing_of_a_stranger_runs_with_the_rights_of_the_project(self, file: Path) -> None:
        text = file.read_text()
        assert "pull_request_target" not in text
        assert "workflow_run" not in text
        assert "secrets." not in text
        # What a stranger writes (a title, a branch) would be a part of the command.
        assert not re.search(r"run:.*\$\{\{", text)

    def test_the_source_is_fetched_without_leaving_the_token_behind(self, file: Path) -> None:
        for name, job in jobs(file):
            for step in job.get("steps", []):
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False, name

    def test_the_token_may_read_and_to_publish_identify_itself(self, file: Path) -> None:
        permissions = yaml.safe_load(file.read_text())["permissions"]
        assert permissions in ({}, {"contents": "read"})
        for name, job in jobs(file):
            allowed = {"id-token": "write"} if name == "publish" else {"contents": "read"}
            assert job.get("permissions", permissions) == allowed, name


def test_what_runs_the_tests_is_the_command_of_the_readme() -> None:
    [command] = re.findall(
        r"runs all tests.*?::\n\n    (make [^\n]*)\n", (CHECKOUT / "README.rst").read_text(), re.DOTALL
    )
    assert command in (CHECKOUT / ".ci" / "run").read_text().splitlines()
    jobs_of_tests = dict(jobs(FOLDER / "test.yml"))
    assert any(step.get("run") == ".ci/run" for job in jobs_of_tests.values() for step in job["steps"])
