"""A real S3 protocol on a socket: the server of moto."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import requests


class Storage:
    """An S3 server, and what it was asked."""

    def __init__(self, log: Path):
        with log.open("w") as file:
            # With port 0 it takes a free one, and says which.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.log = log
        self.address = self._wait()

    def _wait(self) -> str:
        for _ in range(600):
            found = re.search(r"Running on (http://127.0.0.1:\d+)", self.log.read_text())
            if found and requests.get(f"{found[1]}/moto-api/", timeout=10).ok:
                return found[1]
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text())

    def requests_for(self, bucket: str, since: int) -> list[str]:
        """Return method and path of each request about a bucket, after the first *since* characters of the log."""
        return re.findall(rf'"((?:GET|HEAD|PUT) /{bucket}\S*)', self.log.read_text()[since:])


def client(storage: Storage) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("s3", endpoint_url=storage.address, region_name="us-east-1", **keys)
