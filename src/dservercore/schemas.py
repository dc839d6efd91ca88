"""The JSON that goes in and out, for plugin authors."""

from dservercore.rest.fields import UUIDString
from dservercore.rest.schemas import (
    AnnotationSchema,
    ConfigSchema,
    HealthSchema,
    ItemSchema,
    ManifestSchema,
    MeUpdateSchema,
    ReadmeRequestSchema,
    ReadmeSchema,
    RegisterDatasetSchema,
    SearchDatasetSchema,
    SingleAnnotationSchema,
    SummarySchema,
    TagSchema,
    VersionSchema,
)

__all__ = [
    "AnnotationSchema",
    "ConfigSchema",
    "HealthSchema",
    "ItemSchema",
    "ManifestSchema",
    "MeUpdateSchema",
    "ReadmeRequestSchema",
    "ReadmeSchema",
    "RegisterDatasetSchema",
    "SearchDatasetSchema",
    "SingleAnnotationSchema",
    "SummarySchema",
    "TagSchema",
    "UUIDString",
    "VersionSchema",
]
