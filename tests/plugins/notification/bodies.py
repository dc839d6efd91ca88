"""What object stores send, as their documentation shows it."""

from __future__ import annotations

from typing import Any

UUID = "3bb16afc-3f5c-4d16-9b12-0d8d7a1f6c2e"


def aws(key: str = f"{UUID}/dtool", name: str = "ObjectCreated:Put", bucket: str = "red") -> dict[str, Any]:
    """A record of Amazon S3."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-28T23:12:41.173Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.17"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZ",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "datasets",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def of_aws(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def of_minio(key: str = f"{UUID}%2Fdtool", name: str = "s3:ObjectCreated:Put") -> dict[str, Any]:
    """A message of MinIO, which escapes each slash of a key within its record."""
    return {
        "EventName": name,
        "Key": f"red/{key}",
        "Records": [
            {
                "eventVersion": "2.0",
                "eventSource": "minio:s3",
                "awsRegion": "",
                "eventTime": "2026-11-28T23:12:41.173Z",
                "eventName": name,
                "userIdentity": {"principalId": "minio"},
                "requestParameters": {"principalId": "minio", "region": "", "sourceIPAddress": "192.0.2.17"},
                "responseElements": {
                    "x-amz-request-id": "17C",
                    "x-minio-origin-endpoint": "http://192.0.2.9:9000",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "Config",
                    "bucket": {
                        "name": "red",
                        "ownerIdentity": {"principalId": "minio"},
                        "arn": "arn:aws:s3:::red",
                    },
                    "object": {
                        "key": key,
                        "size": 1024,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "contentType": "binary/octet-stream",
                        "userMetadata": {"content-type": "binary/octet-stream"},
                        "sequencer": "17C8B0F2B5A3E1D4",
                    },
                },
                "source": {
                    "host": "192.0.2.17",
                    "port": "",
                    "userAgent": "MinIO (linux; amd64) minio-go/v7.0.66",
                },
            }
        ],
    }


def of_ceph(key: str = f"{UUID}/dtool", name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """A message of the RADOS gateway of Ceph."""
    return {
        "Records": [
            {
                "eventVersion": "2.2",
                "eventSource": "ceph:s3",
                "awsRegion": "zonegroup1",
                "eventTime": "2026-11-28T23:12:41.173Z",
                "eventName": name,
                "userIdentity": {"principalId": "tester"},
                "requestParameters": {"sourceIPAddress": ""},
                "responseElements": {
                    "x-amz-request-id": "503a4c37.4192",
                    "x-amz-id-2": "4192-default-default",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "notif1",
                    "bucket": {
                        "name": "red",
                        "ownerIdentity": {"principalId": "tester"},
                        "arn": "arn:aws:s3:zonegroup1::red",
                        "id": "503a4c37.4192.1",
                    },
                    "object": {
                        "key": key,
                        "size": 1024,
                        "eTag": "37b51d194a7513e45b56f6524f2d51f2",
                        "versionId": "",
                        "sequencer": "F7E6D75DC742D108",
                        "metadata": [],
                        "tags": [],
                    },
                },
                "eventId": "1575221657.102001.37b51d194a7513e45b56f6524f2d51f2",
                "opaqueData": "me@example.com",
            }
        ],
    }


def of_eventbridge(key: str = f"{UUID}/dtool", kind: str = "Object Created") -> dict[str, Any]:
    """An event of Amazon EventBridge, in which keys are as they are."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-28T23:12:41Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:s3:::red"],
        "detail": {
            "version": "0",
            "bucket": {"name": "red"},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "0062",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "192.0.2.17",
            "reason": "PutObject",
        },
    }


def of_storagegrid(message: str) -> dict[str, str]:
    """The form that StorageGRID sends to its endpoint for notifications."""
    return {
        "Action": "Publish",
        "Message": message,
        "TopicArn": "urn:dserver:sns:us-east:1:datasets",
        "Version": "2010-03-31",
    }
