"""Datasets in buckets: S3 signs the URLs itself (presigned requests), as ``dtool-s3`` is configured.

Whoever has such a URL is served by the storage until it expires: this server is not asked again.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dtoolcore.utils import get_config_value
from flask import current_app

from dservercore.catalog.storage import access
from dservercore.catalog.storage.brokers import BrokerBase
from dservercore.errors import UnknownFileError, UnsupportedError
from dservercore.plugins.signed_url.file_names import as_attachment
from dservercore.plugins.signed_url.storages.interface import ChangedError, File, Validity

logger = logging.getLogger(__name__)

#: Bytes that are read at a time.
CHUNK = 2**18

_making = threading.Lock()  # boto3 makes clients in one thread at a time


class S3:
    """The objects of one dataset in a bucket.

    :raises UnsupportedError: if the bucket cannot be asked
    """

    def __init__(self, base_uri: str, uri: str) -> None:
        self._uri = uri
        try:
            base = access.open_base(base_uri)
            assert isinstance(base, BrokerBase)
            self._in_time = base.in_time
            self._broker = base.broker_of_s3(uri)
        except Exception as error:  # each storage has errors of its own
            raise self._out_of_reach(error) from error

    @property
    def client(self) -> Any:
        """The client of ``boto3`` with which the bucket is read."""
        return self._broker.s3client

    @property
    def bucket(self) -> str:
        """The bucket."""
        return str(self._broker.bucket)

    def overlay_names(self) -> list[str]:
        """Return the names of the overlays, in order."""
        return self._listed(self._broker.list_overlay_names)

    def annotation_names(self) -> list[str]:
        """Return the names of the annotations, in order."""
        return self._listed(self._broker.list_annotation_names)

    def _listed(self, names: Any) -> list[str]:
        try:
            return sorted(self._in_time(names))
        except Exception as error:  # each storage has errors of its own
            raise self._out_of_reach(error) from error

    def key_of(self, file: File) -> str:
        """Return the key of a file."""
        broker = self._broker
        if file.kind == "item":
            return f"{broker.data_key_prefix}{file.name}"
        by_name = {
            "overlay": broker.get_overlay_key,
            "annotation": broker.get_annotation_key,
            "tag": broker.get_tag_key,
        }
        if file.kind in by_name:
            return str(by_name[file.kind](file.name))
        alone = {
            "admin": broker.get_admin_metadata_key,
            "manifest": broker.get_manifest_key,
            "readme": broker.get_readme_key,
        }
        return str(alone[file.kind]())

    def read_url(self, file: File, validity: Validity) -> str:
        """Return a URL of the bucket by which a file can be read, whether it is there or not.

        An item is sent under its own name, which is not in its key.
        """
        parameters = {"Key": self.key_of(file)}
        if file.kind == "item":
            parameters["ResponseContentDisposition"] = as_attachment(file.relpath)
        return self.presigned("get_object", parameters, validity)

    def open(self, file: File) -> Object:
        """Return the content of a file.

        :raises UnknownFileError: if it is not there
        """
        client = self._broker.s3client
        try:
            return Object(client.get_object(Bucket=self.bucket, Key=self.key_of(file)))
        except client.exceptions.NoSuchKey as error:
            raise UnknownFileError("The dataset has no such file where it is stored") from error
        except Exception as error:  # each storage has errors of its own
            raise self._out_of_reach(error) from error

    def presigned(self, operation: str, parameters: dict[str, Any], validity: Validity) -> str:
        """Return a URL by which somebody else can make a request.

        :param operation: of the client of ``boto3``, such as ``get_object``
        :param parameters: of the operation, but for the bucket
        :raises UnsupportedError: if there is nothing to sign with
        """
        try:
            url: str = self._signing_client.generate_presigned_url(
                operation,
                Params={"Bucket": self.bucket, **parameters},
                ExpiresIn=validity.seconds,
            )
        except Exception as error:  # there are no credentials, or none that can be had
            logger.warning("No signed URLs for %s: %s", self._uri, access.reason(error))
            raise UnsupportedError(f"This server can sign no URLs for {self._uri}") from error
        return url

    @property
    def _signing_client(self) -> Any:
        return _signer(self._endpoint, *_credentials(self.bucket))

    @property
    def _endpoint(self) -> str | None:
        """The address under which others reach S3; None: that of AWS."""
        endpoint: str | None = get_config_value(f"DTOOL_S3_ENDPOINT_{self.bucket}") or None
        rewrite: tuple[str, str] | None = current_app.config["SIGNED_URL_HOST_REWRITE"]
        if endpoint is None or rewrite is None:
            return endpoint
        # It is part of what is signed: a host that is replaced afterwards has no valid signature.
        internal, external = rewrite
        if "://" in internal:
            return external if endpoint.rstrip("/") == internal else endpoint
        parts = urlsplit(endpoint)
        return urlunsplit(parts._replace(netloc=external)) if parts.netloc == internal else endpoint

    def _out_of_reach(self, error: Exception) -> UnsupportedError:
        logger.warning("No signed URLs for %s: %s", self._uri, access.reason(error))
        return UnsupportedError(f"{self._uri} is out of reach where it is stored")


class Object:
    """An object that is being read.

    :param answer: of S3 to the request for it
    """

    def __init__(self, answer: dict[str, Any]) -> None:
        self._body = answer["Body"]
        self.size: int = answer["ContentLength"]
        self.changed_at: float = answer["LastModified"].timestamp()

    def pieces(self) -> Iterator[bytes]:
        """Yield the content.

        :raises ChangedError: if S3 ends before
        """
        left = self.size
        while piece := self._body.read(CHUNK):
            left -= len(piece)
            yield piece
        if left:
            raise ChangedError("the storage ended in the middle of an object")

    def close(self) -> None:
        """Close it."""
        self._body.close()


def _credentials(bucket: str) -> tuple[str | None, str | None]:
    return (
        get_config_value(f"DTOOL_S3_ACCESS_KEY_ID_{bucket}") or None,
        get_config_value(f"DTOOL_S3_SECRET_ACCESS_KEY_{bucket}") or None,
    )


def _signer(endpoint: str | None, key_id: str | None, secret: str | None) -> Any:
    with _making:
        return _made_signer(endpoint, key_id, secret)


@functools.lru_cache(maxsize=64)
def _made_signer(endpoint: str | None, key_id: str | None, secret: str | None) -> Any:
    """Return a client that signs as version 4, the one that every server takes. It is never connected."""
    from boto3.session import Session
    from botocore.config import Config

    session = Session(aws_access_key_id=key_id, aws_secret_access_key=secret)
    return session.client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4"))
