"""The JSON that goes in and out: request bodies, responses, and how the API documentation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import marshmallow as ma
from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range

from dservercore.catalog.kept_searches import MAX_QUERY_LENGTH
from dservercore.dataset import conditions
from dservercore.dataset.conditions import MAX_DEPTH
from dservercore.dataset.facets import FACETS
from dservercore.dataset.fields import FIELDS, Field
from dservercore.dataset.lacking import LACKS
from dservercore.dataset.values import INTEGER_MAX, deeper_than, is_blank
from dservercore.db.usernames import USERNAME_LENGTH
from dservercore.rest.body_limits import MAX_FILTER_VALUE_LENGTH, MAX_FILTER_VALUES
from dservercore.rest.condition_schemas import CONDITIONS, FILTERS, filter_values
from dservercore.rest.fields import (
    Choices,
    ContainsOnlyThese,
    Count,
    Currency,
    JSONObject,
    JSONValue,
    Lifetime,
    Moment,
    Price,
    StringList,
    Timestamp,
    UUIDString,
    refuse_many_unknown,
)

DISPLAY_NAME_LENGTH = 255
MAX_REPORTED_ITEMS = 20
#: Values of a facet in one answer.
MAX_TOP = 100


def _described(text: str) -> dict[str, Any]:
    return {"description": text}


# The server


class ErrorSchema(ma.Schema):
    """What went wrong."""

    code = fields.Integer(required=True, metadata=_described("HTTP status code"))
    status = fields.String(required=True, metadata=_described("Name of the HTTP status"))
    message = fields.String(
        required=True, metadata=_described("What was wrong, with which field first, and what would be right")
    )
    errors = fields.Dict(
        keys=fields.String(),
        metadata=_described("Messages by place (`json` or `query`) and field, where fields are to blame"),
    )


class TokenErrorSchema(ma.Schema):
    """What is wrong with the token."""

    msg = fields.String(required=True, metadata=_described("Why the token is missing or no good"))
    message = fields.String(required=True, metadata=_described("The same"))


class HealthSchema(ma.Schema):
    """That the process is up."""

    status = fields.String(required=True, metadata=_described("`healthy`"))


class ReadySchema(ma.Schema):
    """Whether what the server depends on can be reached: `ok`, or what is wrong."""

    sql = fields.String(required=True, metadata=_described("The database"))
    search = fields.String(required=True, metadata=_described("The search plugin"))
    retrieve = fields.String(required=True, metadata=_described("The retrieve plugin"))


class ConfigSchema(ma.Schema):
    """The configuration, without its secrets."""

    config = fields.Dict(
        keys=fields.String(), required=True, metadata=_described("Values by the setting's name in lower case")
    )


class VersionSchema(ma.Schema):
    """What is installed."""

    versions = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        required=True,
        metadata=_described("Version of the server and of each plugin; null where a plugin has none"),
    )


# Datasets


_HELD = {
    "uri": fields.String,
    "uuid": UUIDString,
    "text": fields.String,
    "count": fields.Integer,
    "time": fields.Float,
}
_SECONDS = "Seconds since the epoch, UTC"


def _held(field: Field) -> fields.Field:
    """Return the marshmallow field for a field of the dataset object."""
    help_ = field.help or (_SECONDS if field.kind == "time" else "")
    return _HELD[field.kind](
        required=True, allow_none=field.may_be_null, metadata=_described(help_) if help_ else {}
    )


class DatasetObjectSchema(ma.Schema.from_dict({field.name: _held(field) for field in FIELDS})):  # type: ignore[misc]
    """One dataset, in one base URI."""


class MatchSchema(ma.Schema):
    """Where something stands in a dataset that was asked for."""

    field = fields.String(
        required=True,
        metadata=_described("`name`, `tags`, `readme`, `annotations`, `creator`, `uri`, `uuid` or `file`"),
    )
    excerpt = fields.String(
        required=True, metadata=_described("The text around it, or all of a short one; no markup")
    )
    highlights = fields.List(
        fields.List(fields.Integer(), validate=Length(equal=2)),
        required=True,
        metadata=_described("Where it stands: start and end, in code points of the excerpt"),
    )


class CopySchema(ma.Schema):
    """Where a dataset is."""

    uri = fields.String(required=True)
    base_uri = fields.String(required=True)


class FoundDatasetSchema(DatasetObjectSchema):
    """One dataset that was found; the last four members are there if they are asked for."""

    description = fields.String(
        metadata=_described("What the README says that it is, or the first words of that; with `include`")
    )
    tags = fields.List(fields.String(), metadata=_described("Sorted; with `include`"))
    matches = fields.List(
        fields.Nested(MatchSchema), metadata=_described("Why it was found by `free_text`; with `include`")
    )
    copies = fields.List(
        fields.Nested(CopySchema),
        metadata=_described("Every place where you may find it, this one among them; with `group`"),
    )


class ItemSchema(ma.Schema):
    """One file of a dataset."""

    hash = fields.String()
    relpath = fields.String(metadata=_described("Path of the file within the dataset"))
    size_in_bytes = Count()
    utc_timestamp = fields.Float(metadata=_described("Last modification, seconds since the epoch, UTC"))


class ManifestSchema(ma.Schema):
    """The files of a dataset."""

    items = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ItemSchema),
        metadata=_described("The files by their identifier, the SHA-1 of `relpath`"),
    )
    hash_function = fields.String(metadata=_described("What made the hashes, such as `md5sum_hexdigest`"))
    dtoolcore_version = fields.String(metadata=_described("Version of dtoolcore that made the manifest"))


class ManifestField(fields.Nested):
    """A :class:`ManifestSchema` that a manifest of a million items goes through in a second or two.

    It checks what the schema says, and gives errors of the same shape, but of items only the first
    ``MAX_REPORTED_ITEMS`` bad ones.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(ManifestSchema, **kwargs)
        self._item_schema = ItemSchema()
        self._envelope = ManifestSchema(exclude=["items"])

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("type", input=value, type=type(value).__name__)
        envelope = {key: member for key, member in value.items() if key != "items"}
        errors: dict[str, Any] = self._envelope.validate(envelope)
        if "items" not in value:
            items = None
        elif isinstance(value["items"], Mapping):
            items, item_errors = self._checked_items(value["items"])
            errors |= {"items": item_errors} if item_errors else {}
        else:
            errors["items"] = ["Not a valid mapping type."]
        if errors:
            raise ma.ValidationError(errors)
        return envelope if items is None else {**envelope, "items": items}

    def _checked_items(self, items: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Return the items, and the errors by item.

        Items as dtoolcore writes them are handed on as they are; others take the slow way through the schema.
        """
        others: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for identifier, item in items.items():
            if _is_plain_item(item):
                continue
            try:
                others[identifier] = self._item_schema.load(item)
            except ma.ValidationError as error:
                errors[identifier] = error.messages
                if len(errors) == MAX_REPORTED_ITEMS:
                    errors["_schema"] = [f"Only the first {MAX_REPORTED_ITEMS} items with errors are listed."]
                    break
        return ({**items, **others} if others else items), errors


def _is_plain_item(item: Any) -> bool:
    """Return whether each member of *item* is known, and has the type that it is stored in."""
    try:
        size, timestamp = item.get("size_in_bytes", 0), item.get("utc_timestamp", 0)
        return (
            item.keys() <= _ITEM_MEMBERS
            and type(item.get("hash", "")) is str
            and type(item.get("relpath", "")) is str
            and type(size) is int
            and 0 <= size <= INTEGER_MAX
            and type(timestamp) in (float, int)
            and timestamp - timestamp == 0.0  # neither infinite nor NaN
        )
    except AttributeError:
        return False


_ITEM_MEMBERS = {"hash", "relpath", "size_in_bytes", "utc_timestamp"}


def _annotations(**kwargs: Any) -> JSONObject:
    return JSONObject(metadata=_described("Values, of any JSON type, by the annotation's name"), **kwargs)


def _strings(text: str, **kwargs: Any) -> StringList:
    return StringList(metadata=_described(text), **kwargs)


_GIVEN = {"uri": fields.String, "uuid": UUIDString, "text": fields.String, "count": Count, "time": Timestamp}


class RegisterDatasetSchema(
    ma.Schema.from_dict({field.name: _GIVEN[field.kind]() for field in FIELDS if field.is_given})  # type: ignore[misc]
):
    """What there is to know about a dataset.

    `created_at`, `dtoolcore_version`, and what may be null in a dataset object, may be left out. What
    `dservercore.utils.generate_dataset_info` returns can be sent as it is.
    """

    # No field is required here: a dataset that lacks one is a 400, which dataset/document.py gives.
    uri = fields.String(metadata=_described("`base_uri`, a slash, and one more segment"))
    type = fields.String(metadata=_described("`dataset`"))
    readme = fields.String(metadata=_described("Usually YAML"))
    manifest = ManifestField()
    frozen_at = Timestamp(metadata=_described("Seconds since the epoch, UTC; a numeric string will do"))
    created_at = Timestamp(metadata=_described("The same; `frozen_at` if it is missing"))
    annotations = _annotations()
    tags = StringList()
    dtoolcore_version = fields.String(metadata=_described("Version of dtoolcore that made the dataset"))

    @ma.pre_load
    def _refuse_many_unknown(self, document: Any, **_options: Any) -> Any:
        return refuse_many_unknown(self, document)


class BulkResultSchema(ma.Schema):
    """What became of one dataset of many that were to be registered."""

    uri = fields.String(
        required=True,
        allow_none=True,
        metadata=_described("As it was given; null where there is none to read"),
    )
    status = fields.Integer(
        required=True, metadata=_described("201: it is new; 200: it was replaced; otherwise nothing was done")
    )
    line = fields.Integer(metadata=_described("Its number, from 1 on, where datasets come on lines"))
    error = fields.Nested(ErrorSchema, metadata=_described("Why nothing was done"))


class SearchFiltersSchema(
    ma.Schema.from_dict(  # type: ignore[misc]
        {
            "free_text": fields.String(
                metadata=_described("Words, all of which must occur; see the query language")
            ),
            "base_uris": filter_values("In any of these; an empty list finds nothing"),
            **FILTERS,
        }
    )
):
    """Which datasets to find: those that every filter lets through.

    An empty list is no filter, except for `base_uris`, where it lets nothing through; nor is a blank `free_text`. All
    lists together have at most 10,000 values, of at most 1,024 characters each.
    """

    error_messages: ClassVar[dict[str, str]] = {
        "type": 'Not an object with filters and conditions, such as {"free_text": "rice", "tags": ["soil"]}.'
    }

    @ma.pre_load
    def _refuse_many_values(self, query: Any, **_options: Any) -> Any:
        if not isinstance(query, Mapping):
            return query
        number = 0
        for name in self.fields:
            values = query.get(name)
            number += len(values) if isinstance(values, list) else 0
            if number > MAX_FILTER_VALUES:
                raise ma.ValidationError(
                    f"All filters together take at most {MAX_FILTER_VALUES} values.", name
                )
        return query


class SearchDatasetSchema(SearchFiltersSchema, ma.Schema.from_dict(CONDITIONS)):  # type: ignore[misc]
    """Which datasets to find: those that every filter and every condition lets through.

    An empty list is no filter, except for `base_uris`, where it lets nothing through; nor is a blank `free_text`. All
    lists together have at most 10,000 values, of at most 1,024 characters each.

    The conditions, from `text` on, say what fields of the query language say, for programs. Bounds are `gt` (more
    than), `gte` (at least), `lt` and `lte`. There are at most 200 of them, nested at most 10 levels deep.
    """

    @ma.pre_load
    def _refuse_deep(self, query: Any, **_options: Any) -> Any:
        if deeper_than(query, _DEEPEST_QUERY):
            raise ma.ValidationError(f"Nested more than {MAX_DEPTH} levels deep.")
        return query

    @ma.validates_schema
    def _check_conditions(self, query: Mapping[str, Any], **_options: Any) -> None:
        try:
            conditions.check(query)
        except conditions.ConditionError as error:
            raise ma.ValidationError(error.errors) from None


# A list of objects is two levels of JSON, in the last of which an annotation has an object with a list.
_DEEPEST_QUERY = 2 * MAX_DEPTH + 4


class SearchQueryStringSchema(SearchFiltersSchema):
    """The filters of a search in a query string, where a form sends empty values for what was not filled in."""

    @ma.pre_load
    def _drop_blank_values(self, query: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name in query:
            value = query[name]
            if not isinstance(value, list):
                given[name] = value
            elif values := [item for item in value if not is_blank(item)]:
                given[name] = values
        return given


class SearchOptionsSchema(ma.Schema):
    """How a query is understood, in the query string of everything that is asked by one."""

    strict = fields.Boolean(
        metadata=_described(
            "Answer just what is asked: correct no word, and leave none out. X-Search says what was done otherwise"
        )
    )


class PageOptionsSchema(SearchOptionsSchema):
    """How a query is understood, and what is answered of each dataset on the page."""

    include = Choices(
        ("description", "tags", "matches"),
        metadata=_described(
            "What to add to each dataset, separated by commas: `description`, `tags`, `matches` (why it was found)"
        ),
    )
    group = fields.String(
        validate=OneOf(["uuid"]),
        metadata=_described("`uuid`: count copies as one dataset, and say where they are (`copies`)"),
    )


MAX_SUGGESTIONS, MAX_SUGGEST_LENGTH = 50, 1000


class SuggestQuerySchema(ma.Schema):
    """What is typed into a search box."""

    q = fields.String(validate=Length(max=MAX_SUGGEST_LENGTH), metadata=_described("What is typed so far"))
    limit = fields.Integer(
        load_default=10,
        validate=Range(min=1, max=MAX_SUGGESTIONS),
        metadata=_described("How many suggestions at most"),
    )


class SuggestionSchema(ma.Schema):
    """What to put into the search box in place of what is typed."""

    text = fields.String(
        required=True,
        metadata=_described("What is typed with its last word completed, or a query such as `tag:soil`"),
    )
    kind = fields.String(
        required=True,
        validate=OneOf(["word", "name", "tag", "creator"]),
        metadata=_described("`word`, `name`, `tag` or `creator`"),
    )


class FacetOptionsSchema(ma.Schema):
    """Which facets are wanted, and how much of each."""

    facets = StringList(
        validate=ContainsOnlyThese(FACETS),
        metadata=_described(f"Any of {', '.join(FACETS)}, repeated for several; absent: all of them"),
    )
    top = fields.Integer(
        load_default=10,
        validate=Range(min=1, max=MAX_TOP),
        metadata=_described("So many values of each facet, the commonest"),
    )
    prefix = fields.String(
        validate=Length(max=MAX_FILTER_VALUE_LENGTH),
        metadata=_described("Values that begin so, in whatever case"),
    )


class FacetValueSchema(ma.Schema):
    """A value of a facet, and how many datasets have it."""

    value = fields.String(required=True)
    count = fields.Integer(required=True)


#: Of each facet.
FacetsSchema = ma.Schema.from_dict(
    {name: fields.List(fields.Nested(FacetValueSchema)) for name in FACETS}, name="FacetsSchema"
)
FacetsSchema.__doc__ = "How many datasets have which values, by facet; those that were not wanted are absent."


class SearchReportSchema(ma.Schema):
    """What was done to a query: content of the header `X-Search`."""

    corrected = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata=_described("By words as they are typed, those that they were read as"),
    )
    optional = _strings("Words, as they are typed, that a dataset need not have", required=True)
    strict_total = fields.Integer(
        required=True, metadata=_described("How many datasets match as it is typed")
    )


class SummarySchema(ma.Schema):
    """Figures about all datasets that a user may search."""

    number_of_datasets = fields.Integer(required=True)
    total_size_in_bytes = fields.Integer(required=True)
    creator_usernames = _strings("Sorted", required=True)
    base_uris = _strings("Sorted", required=True)
    tags = _strings("Sorted", required=True)
    uploaders = _strings("Sorted", required=True)
    datasets_per_creator = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_base_uri = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_tag = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_uploader = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_creator = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_base_uri = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_tag = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_uploader = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class StatisticsQuerySchema(ma.Schema):
    """How much of the figures is wanted."""

    top = fields.Integer(
        load_default=10,
        validate=Range(min=1, max=1000),
        metadata=_described("So many base URIs, creators and tags at most"),
    )


class LackingCountsSchema(ma.Schema):
    """How many datasets lack what in their description."""

    any = fields.Integer(required=True, metadata=_described("Anything of what follows"))
    readme = fields.Integer(required=True)
    description = fields.Integer(required=True)
    owner = fields.Integer(required=True)
    licence = fields.Integer(required=True)
    tags = fields.Integer(required=True)
    unread = fields.Integer(
        required=True, metadata=_described("Of so many it is not known; they are in none of the others")
    )


class MonthFiguresSchema(ma.Schema):
    """The datasets that were frozen in a month."""

    month = fields.String(required=True, metadata=_described("Such as `2026-05`, in UTC"))
    datasets = fields.Integer(required=True)
    size_in_bytes = fields.Integer(required=True)


class BaseURIFiguresSchema(ma.Schema):
    """The datasets in a base URI."""

    base_uri = fields.String(required=True)
    datasets = fields.Integer(required=True)
    size_in_bytes = fields.Integer(required=True)
    number_of_items = fields.Integer(required=True)
    lacking = fields.Nested(LackingCountsSchema, required=True)
    price_per_tb = fields.String(
        metadata=_described("What 10^12 bytes cost a year: a decimal number; absent: it is not known")
    )
    currency = fields.String(metadata=_described("Of the price, as ISO 4217 calls it"))
    cost_per_year = fields.String(metadata=_described("What the datasets cost by it, to a hundredth"))


class CreatorFiguresSchema(ma.Schema):
    """The datasets of a creator."""

    creator_username = fields.String(required=True)
    datasets = fields.Integer(required=True)
    size_in_bytes = fields.Integer(required=True)
    lacking = fields.Nested(LackingCountsSchema, required=True)


class LackingCreatorSchema(ma.Schema):
    """What the datasets of a creator lack."""

    creator_username = fields.String(required=True)
    datasets = fields.Integer(required=True)
    lacking = fields.Nested(LackingCountsSchema, required=True)


class TagFiguresSchema(ma.Schema):
    """The datasets with a tag."""

    tag = fields.String(required=True)
    datasets = fields.Integer(required=True)
    size_in_bytes = fields.Integer(required=True)


class StatisticsSchema(ma.Schema):
    """Figures about all datasets that somebody may search."""

    number_of_datasets = fields.Integer(required=True)
    total_size_in_bytes = fields.Integer(required=True)
    number_of_items = fields.Integer(required=True)
    cost_per_year = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=_described("By currency, of the base URIs that have a price: decimal numbers"),
    )
    number_of_base_uris = fields.Integer(required=True)
    number_of_creators = fields.Integer(required=True)
    number_of_tags = fields.Integer(required=True)
    lacking = fields.Nested(LackingCountsSchema, required=True)
    newest = fields.List(
        fields.Nested(DatasetObjectSchema), required=True, metadata=_described("Registered last")
    )
    months = fields.List(
        fields.Nested(MonthFiguresSchema), required=True, metadata=_described("Those with datasets")
    )
    base_uris = fields.List(
        fields.Nested(BaseURIFiguresSchema), required=True, metadata=_described("The largest ones")
    )
    creators = fields.List(
        fields.Nested(CreatorFiguresSchema), required=True, metadata=_described("With most datasets")
    )
    creators_lacking = fields.List(
        fields.Nested(LackingCreatorSchema),
        required=True,
        metadata=_described("Of whose datasets most lack something"),
    )
    tags = fields.List(
        fields.Nested(TagFiguresSchema), required=True, metadata=_described("With most datasets")
    )


class LackingFilterSchema(ma.Schema):
    """Which datasets that lack something are wanted."""

    lacks = fields.String(validate=OneOf(LACKS), metadata=_described("What they lack; left out: anything"))
    base_uri = fields.String(metadata=_described("Those in this base URI"))
    creator = fields.String(metadata=_described("Those of this creator"))


class LackingDatasetSchema(DatasetObjectSchema):
    """One dataset whose description lacks something."""

    lacking = fields.List(
        fields.String(validate=OneOf(LACKS)),
        required=True,
        metadata=_described("What it lacks, the most important first"),
    )


# What describes a dataset


class ReadmeSchema(ma.Schema):
    """The README of a dataset, as it was registered or last edited."""

    readme = fields.String(required=True)


class ReadmeRequestSchema(ma.Schema):
    """The new README of a dataset."""

    readme = fields.String(required=True)


class TagSchema(ma.Schema):
    """All tags of a dataset."""

    tags = StringList(load_default=list)


class TagPutSchema(ma.Schema):
    """All tags that a dataset is to have."""

    tags = StringList(required=True)


class AnnotationSchema(ma.Schema):
    """All annotations of a dataset."""

    annotations = _annotations()


class SingleAnnotationSchema(ma.Schema):
    """The value of one annotation."""

    # For plugins, as they know it from the original; our own route takes null, and no missing value.
    value = JSONValue(load_default=None, allow_none=False, metadata=_described("Any JSON value but null"))


# Users


class UserObjectSchema(ma.Schema):
    """A user, and where the user may search and register datasets."""

    username = fields.String(required=True)
    display_name = fields.String(required=True, allow_none=True)
    is_admin = fields.Boolean(required=True)
    search_permissions_on_base_uris = fields.List(fields.String(), required=True)
    register_permissions_on_base_uris = fields.List(fields.String(), required=True)


class UserPutSchema(ma.Schema):
    """A user to register or to overwrite. A `display_name` that is left out stays as it is."""

    is_service = fields.Boolean(
        metadata=_described(
            "Whether it is a program, which has tokens and cannot sign in: told of a new user alone"
        )
    )
    username = fields.String(
        validate=Length(max=USERNAME_LENGTH), metadata=_described("Ignored: the name in the path counts")
    )
    is_admin = fields.Boolean(load_default=False)
    display_name = fields.String(validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True)


class UserPatchSchema(ma.Schema):
    """What to change about a user. What is left out stays as it is."""

    is_admin = fields.Boolean(allow_none=True, metadata=_described("null: unchanged"))
    display_name = fields.String(
        validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True, metadata=_described("null: none")
    )


class MeUpdateSchema(ma.Schema):
    """What to change about yourself. What is left out stays as it is."""

    display_name = fields.String(
        validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True, metadata=_described("null: none")
    )


# Signing in


class SignInSchema(ma.Schema):
    """A name and a password."""

    username = fields.String(required=True, validate=Length(min=1, max=255))
    password = fields.String(required=True, metadata=_described("At most 1024 bytes in UTF-8"))


class BearerTokenSchema(ma.Schema):
    """A token, to be sent as ``Authorization: Bearer <token>``."""

    token = fields.String(required=True)


class PasswordChangeSchema(ma.Schema):
    """A new password, and the one until now."""

    old = fields.String(
        allow_none=True, load_default=None, metadata=_described("null, or missing: you have none")
    )
    new = fields.String(
        required=True,
        metadata=_described("At least 12 characters, not easy to guess, at most 1024 bytes in UTF-8"),
    )


class SessionSchema(ma.Schema):
    """A browser in which somebody has signed in."""

    id = fields.Integer(required=True)
    means = fields.String(
        required=True,
        metadata=_described("`password`, `link`, `ldap`, or `oidc:` and the name of a provider"),
    )
    created_at = fields.Integer(required=True, metadata=_described("Seconds since the epoch, UTC"))
    last_used_at = fields.Integer(
        required=True, metadata=_described("Seconds since the epoch, UTC; to some minutes")
    )
    address = fields.String(required=True, metadata=_described("Of the browser when it signed in"))
    agent = fields.String(required=True, metadata=_described("What the browser said that it is"))


# Tokens of programs


class TokenPostSchema(ma.Schema):
    """A token for a program that is wanted."""

    name = fields.String(required=True, metadata=_described("For you to know it by"))
    expires_in = Lifetime(
        allow_none=True,
        metadata={
            "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "example": "30d"}],
            "description": "How long it is to work: seconds, or a text such as `30d`; null: for ever, where the server"
            " has no limit. Absent: 90 days, or as long as the server allows",
        },
    )
    may = StringList(
        load_default=lambda: ["search"],
        metadata=_described("What it may do, as far as its owner may: `search`, `register`, `admin`"),
    )
    base_uris = StringList(
        allow_none=True, metadata=_described("Where it may do that; absent or null: wherever its owner may")
    )


class TokenSchema(ma.Schema):
    """A token for a program, without the token itself. Times are seconds since the epoch, UTC."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    may = fields.List(fields.String(), required=True)
    base_uris = fields.List(
        fields.String(), required=True, allow_none=True, metadata=_described("null: wherever its owner may")
    )
    created_at = fields.Integer(required=True)
    expires_at = fields.Integer(required=True, allow_none=True, metadata=_described("null: never"))
    last_used_at = fields.Integer(
        required=True, allow_none=True, metadata=_described("To some minutes; null: it was not used yet")
    )


class NewTokenSchema(TokenSchema):
    """A token for a program that was made just now."""

    token = fields.String(required=True, metadata=_described("To be kept: it is told only now"))


class RevocationSchema(ma.Schema):
    """What was ended: beside these, every token that is not kept on the server."""

    tokens = fields.Integer(required=True, metadata=_described("Tokens of programs"))
    sessions = fields.Integer(required=True, metadata=_described("Sessions of browsers"))
    links = fields.Integer(required=True, metadata=_described("Addresses that sign somebody in"))


# Searches that are kept


#: What ``GET /uris`` takes in its query string, and a search that is kept may have in its own.
SEARCH_PARAMETERS = frozenset(
    {*SearchQueryStringSchema().fields, *PageOptionsSchema().fields, "sort", "page", "page_size"}
)


def _check_search(query: str) -> None:
    if len(query) > MAX_QUERY_LENGTH:
        raise ma.ValidationError(f"Longer than maximum length {MAX_QUERY_LENGTH}.")
    unknown = sorted({name for name, _ in parse_qsl(query.removeprefix("?"))} - SEARCH_PARAMETERS)
    if unknown:
        raise ma.ValidationError(f"Has {unknown[0][:100]!r}, which is no parameter of GET /uris.")


class KeptSearchUpdateSchema(ma.Schema):
    """What to change about a search that is kept. What is left out stays as it is."""

    name = fields.String(metadata=_described("For you to know it by; 1 to 80 characters"))
    query = fields.String(
        validate=_check_search,
        metadata=_described(
            "The query string of `GET /uris`, percent-encoded, such as `free_text=barley&tags=field&sort=-frozen_at`;"
            " empty: all datasets. `page` is not kept"
        ),
    )


class KeptSearchPostSchema(KeptSearchUpdateSchema):
    """A search to be kept."""

    name = fields.String(required=True, metadata=_described("For you to know it by; 1 to 80 characters"))
    query = fields.String(
        required=True,
        validate=_check_search,
        metadata=_described(
            "The query string of `GET /uris`, percent-encoded, such as `free_text=barley&tags=field&sort=-frozen_at`;"
            " empty: all datasets. `page` is not kept"
        ),
    )


class KeptSearchSchema(ma.Schema):
    """A search that is kept."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    query = fields.String(
        required=True, metadata=_described("The query string of `GET /uris`, percent-encoded")
    )
    created_at = fields.Integer(required=True, metadata=_described("Seconds since the epoch, UTC"))


# Groups, and why somebody may do something


class GroupObjectSchema(ma.Schema):
    """A group, and where its members may search and register datasets."""

    group = fields.String(required=True)
    members = fields.List(fields.String(), required=True, metadata=_described("User names"))
    search_permissions_on_base_uris = fields.List(fields.String(), required=True)
    register_permissions_on_base_uris = fields.List(fields.String(), required=True)


class _ReasonSchema(ma.Schema):
    directly = fields.Boolean(required=True, metadata=_described("Whether it is granted to the user"))
    groups = fields.List(
        fields.String(), required=True, metadata=_described("Groups of the user that it is granted to")
    )
    public = fields.Boolean(required=True, metadata=_described("Whether everybody may do it there"))


class UserPermissionSchema(_ReasonSchema):
    """A base URI where a user has a permission, and why."""

    base_uri = fields.String(required=True)


class AudienceMemberSchema(_ReasonSchema):
    """A user who has a permission on a base URI, and why."""

    username = fields.String(required=True)


class GainedAndLostSchema(ma.Schema):
    """What a change would add to a permission, and take away."""

    gained = fields.List(fields.String(), required=True)
    lost = fields.List(fields.String(), required=True)


class WouldChangeSchema(ma.Schema):
    """What a change would add and take away, by permission: base URIs of a user, or users of a base URI."""

    search = fields.Nested(GainedAndLostSchema, required=True)
    register = fields.Nested(GainedAndLostSchema, required=True)


def _would_change() -> fields.Nested:
    return fields.Nested(
        WouldChangeSchema,
        required=True,
        allow_none=True,
        metadata=_described("What the change that was asked about would do; null: none was"),
    )


class UserPermissionsSchema(ma.Schema):
    """What a user may do where, and why."""

    username = fields.String(required=True)
    is_admin = fields.Boolean(required=True)
    is_service = fields.Boolean(
        required=True, metadata=_described("Whether it is a program, which has tokens and cannot sign in")
    )
    groups = fields.List(fields.String(), required=True, metadata=_described("The user's groups"))
    search = fields.List(fields.Nested(UserPermissionSchema), required=True)
    register = fields.List(fields.Nested(UserPermissionSchema), required=True)
    would_change = _would_change()


class AudienceSchema(ma.Schema):
    """Who may search, and register in, a base URI, and why."""

    base_uri = fields.String(required=True)
    public = fields.Boolean(
        required=True,
        metadata=_described("Whether whoever comes may search it: all users, and without a token"),
    )
    search = fields.List(fields.Nested(AudienceMemberSchema), required=True)
    register = fields.List(fields.Nested(AudienceMemberSchema), required=True)
    would_change = _would_change()


class UserChangeSchema(ma.Schema):
    """A change to what a user is granted that is thought of."""

    grant = _strings("What if this were granted: `search:s3://bucket`, `register:s3://bucket`")
    revoke = _strings("What if this were no longer granted to the user directly: `search:s3://bucket`")
    member_of = _strings("What if the user were in this group, too")


class AudienceChangeSchema(ma.Schema):
    """A change to who may search, and register in, a base URI that is thought of."""

    grant = _strings("What if this were granted: `search:alice`; `search:group/lab` to a group")
    revoke = _strings("What if this were no longer granted: `search:alice`, `search:group/lab`")
    member_of = _strings("What if a user were in a group, too: `alice/lab`")


# Base URIs

_PRICE = "What 10^12 bytes cost a year: a decimal number as a text, such as `45.5`; absent: it is not known"
_CURRENCY = "Of the price, as ISO 4217 calls it; absent: there is no price"


class IndexRunSchema(ma.Schema):
    """How the last run of `flask base_uri index` over a base URI ended."""

    started_at = fields.Float(required=True, metadata=_described("Seconds since the epoch, UTC"))
    finished_at = fields.Float(required=True, metadata=_described("Seconds since the epoch, UTC"))
    complete = fields.Boolean(required=True, metadata=_described("Whether it went through all datasets"))
    reason = fields.String(
        required=True, allow_none=True, metadata=_described("Why it did not; null: it did")
    )
    registered = fields.Integer(required=True, metadata=_described("Datasets that were new or had changed"))
    unchanged = fields.Integer(required=True)
    failed = fields.Integer(required=True, metadata=_described("Datasets that could not be registered"))
    not_frozen = fields.Integer(required=True)
    removed = fields.Integer(required=True, metadata=_described("Registrations of datasets that were gone"))


class IdentitySchema(ma.Schema):
    """How a user signs in."""

    username = fields.String(required=True)
    is_service = fields.Boolean(required=True, metadata=_described("A program, which cannot sign in"))
    has_password = fields.Boolean(required=True, metadata=_described("One of this server"))
    source = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "Who else signs the user in: `ldap`, or `oidc:` and the name of a provider; null: nobody"
        ),
    )
    source_key = fields.String(
        required=True,
        allow_none=True,
        metadata=_described("What that one calls the user for ever; null: it has not signed the user in yet"),
    )


class ContainingSchema(ma.Schema):
    """Which entries of a list are wanted."""

    containing = fields.String(
        metadata=_described("Only those that have this text in their name, in upper or lower case")
    )


class BaseURIListSchema(ContainingSchema):
    """Which base URIs are wanted, and how much of each."""

    figures = fields.Boolean(
        metadata=_described("Tell of each the number of its datasets and their size, too")
    )


class BaseURIItemSchema(ma.Schema):
    """A base URI in a list."""

    base_uri = fields.String(required=True)
    public = fields.Boolean(metadata=_described("Whoever comes may search it; absent: it is not public"))
    price_per_tb = fields.String(metadata=_described(_PRICE))
    currency = fields.String(metadata=_described(_CURRENCY))
    last_indexed = fields.Nested(IndexRunSchema, metadata=_described("Absent: it has not been indexed"))
    number_of_datasets = fields.Integer(metadata=_described("With `figures=true` alone"))
    size_in_bytes = fields.Integer(metadata=_described("Of its datasets together; with `figures=true` alone"))


class BaseURIObjectSchema(ma.Schema):
    """A base URI, and who may search and register datasets in it."""

    base_uri = fields.String(required=True)
    users_with_search_permissions = fields.List(fields.String(), required=True)
    users_with_register_permissions = fields.List(fields.String(), required=True)
    public = fields.Boolean(
        metadata=_described("Whoever comes may search it, without a token; absent: it is not public")
    )
    price_per_tb = fields.String(metadata=_described(_PRICE))
    currency = fields.String(metadata=_described(_CURRENCY))


class BaseURIPutSchema(ma.Schema):
    """Who may search and register datasets in a base URI.

    What is left out stays as it is on a base URI that is registered; on a new one, a list is empty, and `public` false.
    """

    base_uri = fields.String(metadata=_described("Ignored: the base URI in the path counts"))
    users_with_search_permissions = _strings("User names")
    users_with_register_permissions = _strings("User names")
    public = fields.Boolean(metadata=_described("Whether whoever comes may search it, without a token"))
    price_per_tb = Price(
        allow_none=True,
        metadata=_described("What 10^12 bytes cost a year; null: nothing is known of it, nor of a currency"),
    )
    currency = Currency(
        allow_none=True, metadata=_described("As ISO 4217 calls it, such as `EUR`; it comes with the price")
    )
    last_indexed = fields.Raw(metadata=_described("Ignored"))


# The audit


class AuditRecordSchema(ma.Schema):
    """One administrative act."""

    id = fields.Integer(required=True, metadata=_described("Grows with time, though not without gaps"))
    at = fields.Float(required=True, metadata=_described("When: seconds since the epoch, UTC"))
    actor = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "Who: a user, or `operator:` and the name of an operating system user; null: nobody with a token"
        ),
    )
    action = fields.String(required=True, metadata=_described("What, such as `user.create`"))
    subject = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "To whom or what: a user name, a base URI, the URI of a dataset; null: the server"
        ),
    )
    base_uri = fields.String(
        required=True, allow_none=True, metadata=_described("The base URI that it has to do with, if any")
    )
    details = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata=_described("What changed, as `[old, new]`, and what was lost"),
    )
    origin = fields.String(
        required=True, metadata=_described("From where: a client's address, `command line` or `python`")
    )
    request_id = fields.String(
        required=True,
        allow_none=True,
        metadata=_described("The `X-Request-ID` of the request, if it was one"),
    )
    credential = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "What it was done with, such as `token 12`; null: a token that allows all that its user may do"
        ),
    )


class AuditFilterSchema(ma.Schema):
    """Which records are wanted."""

    actor = fields.String(metadata=_described("Acts of this user"))
    action = fields.String(
        metadata=_described("Acts of this kind; with a dot at its end, all that begin so: `user.`")
    )
    subject = fields.String(metadata=_described("Acts on this user, base URI or dataset"))
    base_uri = fields.String(metadata=_described("Acts that have to do with this base URI"))
    since = Moment(metadata=_described("Acts at this time or later: seconds since the epoch, or ISO 8601"))
    until = Moment(metadata=_described("Acts before this time"))
