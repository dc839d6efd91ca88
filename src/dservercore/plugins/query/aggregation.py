"""Aggregations: which stages there are, and what they make of documents where the database cannot do it.

A stage is parsed once, into a function from documents to documents. Whatever is not in the list is refused by its name,
wherever it stands: what a stage reads is what comes out of the one before it, and nothing else.
"""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from operator import itemgetter
from typing import Any

from dservercore.plugins.query import conditions, expressions, projections
from dservercore.plugins.query.accumulators import ACCUMULATORS, Room
from dservercore.plugins.query.conditions import Filter
from dservercore.plugins.query.expressions import FIELD, Document, Expression, parts_of, refused, size_of
from dservercore.plugins.query.language import InvalidQueryError, checked_value, parse_filter
from dservercore.plugins.query.matching import compiled
from dservercore.plugins.query.sort_keys import Ordering
from dservercore.plugins.query.time_limit import TimeLimit
from dservercore.plugins.query.values import LONG_BOUNDS, MISSING, is_number, order_key

#: Stages that an aggregation may have.
MOST_STAGES = 50

#: Bytes of JSON that a page of results may have.
MOST_PAGE_BYTES = 16 * 2**20

#: Documents that are kept to find the first ones in an order; for more of them, all are.
MOST_FIRST = 10_000

#: The stages that make one document of each.
_ONE_OF_ONE = {"$addFields", "$project", "$set", "$unset"}

#: The stages that put documents together.
_MAKE_VALUES = {"$addFields", "$group", "$project", "$set"}

#: The operators whose value is small, whatever they are given.
_SMALL = {
    *("$abs", "$add", "$ceil", "$divide", "$floor", "$mod", "$multiply", "$size", "$subtract", "$type"),
    *("$and", "$cmp", "$eq", "$gt", "$gte", "$in", "$isArray", "$lt", "$lte", "$ne", "$not", "$or"),
    *("$avg", "$count", "$sum"),
}

#: Fields that a stage may sort by.
MOST_SORT_FIELDS = 32

Documents = Iterable[Document]


@dataclass(frozen=True)
class Stage:
    """A parsed stage.

    :ivar name: such as ``$match``
    :ivar given: what stands behind it
    :ivar apply: given documents and the room for those that must be kept, returns what becomes of them
    :ivar used: the fields at the top of a document that it looks at; None: all
    :ivar only: whether no other field comes out of it
    :ivar key: what it sorts by, if that is all that it does
    """

    name: str
    given: Any
    apply: Callable[[Documents, Room], Iterator[Document]]
    used: set[str] | None = field(default_factory=set)
    only: bool = False
    key: Callable[[Document], Any] | None = None


@dataclass(frozen=True)
class Pipeline:
    """A checked aggregation."""

    stages: tuple[Stage, ...]

    def split(self) -> tuple[list[Filter], Pipeline]:
        """Return the filters that it begins with, which are about datasets, and what follows them."""
        number = 0
        while number < len(self.stages) and self._is_about_datasets(self.stages[number]):
            number += 1
        return [stage.given for stage in self.stages[:number]], Pipeline(self.stages[number:])

    @staticmethod
    def _is_about_datasets(stage: Stage) -> bool:
        return stage.name == "$match" and "_id" not in (stage.used or ())

    def starts_with(self, name: str) -> bool:
        """Return whether the first stage is of a kind."""
        return self.stages[:1] != () and self.stages[0].name == name

    def as_mongo(self) -> list[dict[str, Any]]:
        """Return the stages as they can be handed to MongoDB.

        MongoDB looks at how large a document is when it has come to the end. Before that, nothing keeps it from
        comparing values that a few stages have made of themselves, for years, and nobody can end that. So it has to
        write down what comes out of a stage that may have made a document larger, which fails at 16 MB.
        """
        stages: list[dict[str, Any]] = []
        for number, stage in enumerate(self.stages, 1):
            stages.append({stage.name: stage.given.query if stage.name == "$match" else stage.given})
            if number < len(self.stages) and stage.name in _MAKE_VALUES and _has_values(stage.given):
                stages.append({"$match": {"$expr": {"$gte": [{"$bsonSize": "$$ROOT"}, 0]}}})
        return stages

    @property
    def needed(self) -> set[str] | None:
        """The fields at the top of a document without which its answer would be another one; None: all."""
        needed: set[str] = set()
        for stage in self.stages:
            if stage.used is None:
                return None
            needed |= stage.used
            if stage.only:
                return needed
        return None

    def run(self, documents: Documents, limit: TimeLimit, page: slice) -> tuple[list[Document], int]:
        """Return a page of what becomes of documents, without ``_id``, and how many there are on all pages.

        :raises InvalidValueError: if an operator is given what it does not take, or too much is to be kept
        :raises OutOfTimeError: if it takes too long
        """
        token = expressions.time_limit.set(limit)
        try:
            return self._page(_timed(documents, limit), limit, page)
        except RecursionError:
            raise refused("what it makes is nested too deeply.") from None
        finally:
            expressions.time_limit.reset(token)

    def _page(self, documents: Documents, limit: TimeLimit, page: slice) -> tuple[list[Document], int]:
        room, answer, number = Room(), PageOfResults(), 0
        last_sort = self._last_sort(page.stop)
        before, after = self.stages[:last_sort], self.stages[last_sort:]
        counted = _Counted(_flow(before, documents, room, limit))
        flow: Documents = counted
        if after:  # of all that are sorted, those behind the page need be counted alone
            flow = _flow(after[1:], _first(page.stop, counted, after[0].key, room), room, limit)
        for number, document in enumerate(flow, 1):
            if page.start < number <= page.stop:
                answer.take(document)
        return answer.documents, counted.number if after else number

    def _last_sort(self, most: int) -> int:
        """Return the place of a sort behind which documents are neither left out nor added; else how many stages."""
        for place in range(len(self.stages) - 1, -1, -1):
            if self.stages[place].key and most <= MOST_FIRST:
                return place
            if self.stages[place].name not in _ONE_OF_ONE:
                break
        return len(self.stages)


def _flow(stages: Sequence[Stage], documents: Documents, room: Room, limit: TimeLimit) -> Documents:
    for stage, following in zip_longest(stages, stages[1:]):
        if stage.key and following and following.name == "$limit" and following.given <= MOST_FIRST:
            # Of all documents, only so many need be kept; the stage that follows lets all of them through.
            documents = _timed(_first(int(following.given), documents, stage.key, room), limit)
        else:
            documents = _timed(stage.apply(documents, room), limit)
    return documents


def _has_values(given: Any) -> bool:
    """Return whether values of a document may be in what an expression makes, or a stage that has expressions."""
    if isinstance(given, str):
        return given.startswith("$")
    if isinstance(given, dict):
        return any(_has_values(value) for name, value in given.items() if name not in _SMALL)
    return isinstance(given, list) and any(map(_has_values, given))


class _Counted:
    """Documents, and how many there were."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.number = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            self.number += 1
            yield document


def _first(number: int, documents: Documents, key: Any, room: Room) -> Iterator[Document]:
    """Yield the first documents in an order, of which no more than so many are ever kept."""
    kept: list[tuple[Any, int, Document]] = []
    for document in documents:
        own = key(document)
        if len(kept) == number:
            if not number or not own < kept[-1][0]:
                continue
            room.give_back(kept.pop()[1])
        insort_right(kept, (own, room.take(document), document), key=itemgetter(0))
    for _, size, document in kept:
        room.give_back(size)
        yield document


class PageOfResults:
    """The documents of a page, in memory."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._left = MOST_PAGE_BYTES

    def take(self, document: Document) -> None:
        """Add one, without ``_id``.

        :raises InvalidValueError: if the page is too large
        """
        document = {name: value for name, value in document.items() if name != "_id"}
        self._left -= size_of(document)
        if self._left < 0:
            raise refused(
                f"the page has more than {MOST_PAGE_BYTES // 2**20} MB: ask for a smaller page_size, or project the"
                " fields that are needed."
            )
        self.documents.append(document)


def _timed(documents: Documents, limit: TimeLimit) -> Iterator[Document]:
    for document in documents:
        limit.seconds_left()
        yield document


# Parsing


def parse_pipeline(given: Any) -> Pipeline:
    """Return an aggregation, as a request has it.

    :raises InvalidValueError: 422 naming the first thing in it that is wrong or not supported
    """
    if not isinstance(given, list):
        raise refused("Must be a list of stages.")
    if len(given) > MOST_STAGES:
        raise refused(f"Has more than {MOST_STAGES} stages.")
    try:
        checked = checked_value(FIELD, given)
    except InvalidQueryError as error:
        raise refused(error.message) from None
    return Pipeline(tuple(_stage(number, stage) for number, stage in enumerate(checked, 1)))


def _stage(number: int, given: Any) -> Stage:
    if not isinstance(given, dict) or len(given) != 1:
        raise refused(f'stage {number} must be an object with one member, such as {{"$limit": 10}}.')
    ((name, value),) = given.items()
    if name not in STAGES:
        raise refused(f"stage {number}: {name} is not supported; there are {', '.join(sorted(STAGES))}.")
    return STAGES[name](name, value)


def _match(name: str, given: Any) -> Stage:
    try:
        parsed = parse_filter(given, takes_ids=True)
    except InvalidQueryError as error:
        raise refused(f"$match: {error.message}") from None
    match = compiled(parsed.condition)
    used = _fields_of(parsed.condition)
    return Stage(name, parsed, lambda documents, room: filter(match, documents), used)


def _fields_of(condition: conditions.Condition) -> set[str]:
    if isinstance(condition, conditions.OnValue):
        return {condition.path[0]}
    if isinstance(condition, conditions.Not):
        return _fields_of(condition.condition)
    return set().union(*map(_fields_of, condition.conditions))


def _sort(name: str, given: Any) -> Stage:
    if not isinstance(given, dict) or not 0 < len(given) <= MOST_SORT_FIELDS:
        raise refused(f"$sort takes an object with 1 to {MOST_SORT_FIELDS} fields.")
    for direction in given.values():
        if not is_number(direction) or direction not in (1, -1):
            raise refused("$sort takes 1 (ascending) or -1 (descending) for each field.")
    paths = [(parts_of(path, "$sort"), int(direction)) for path, direction in given.items()]
    key = Ordering(paths).key
    used = {parts[0] for parts, _ in paths}
    return Stage(
        name, given, lambda documents, room: iter(sorted(_kept(documents, room), key=key)), used, key=key
    )


def _kept(documents: Documents, room: Room) -> Iterator[Document]:
    for document in documents:
        room.take(document)
        yield document


def _limit(name: str, given: Any) -> Stage:
    number = _whole_number(name, given, least=1)
    return Stage(name, given, lambda documents, room: islice(iter(documents), number))


def _skip(name: str, given: Any) -> Stage:
    number = _whole_number(name, given, least=0)
    return Stage(name, given, lambda documents, room: islice(iter(documents), number, None))


def _whole_number(name: str, given: Any, least: int) -> int:
    is_whole = is_number(given) and given == given and abs(given) <= LONG_BOUNDS[1] and given == int(given)
    if not is_whole or not least <= given <= LONG_BOUNDS[1]:
        raise refused(f"{name} takes a whole number, {least} or more.")
    return min(int(given), 2**62)


def _projection(name: str, given: Any) -> Stage:
    if name == "$project":
        projection = projections.project(given)
    elif name == "$unset":
        projection = projections.unset(given)
    else:
        projection = projections.add_fields(given, name)
    used = projection.used if projection.only is None else projection.only
    if projection.only is None and used is not None:
        return Stage(name, given, lambda documents, room: map(projection.apply, documents), used)
    return Stage(
        name, given, lambda documents, room: map(projection.apply, documents), used, used is not None
    )


def _count(name: str, given: Any) -> Stage:
    if not isinstance(given, str) or not given or given.startswith("$") or "." in given or "\0" in given:
        raise refused(
            "$count takes a name for the number: no empty one, without . and \\0, and not with $ in front."
        )

    def apply(documents: Documents, room: Room) -> Iterator[Document]:
        number = sum(1 for _ in documents)
        if number:
            yield {given: number}

    return Stage(name, given, apply, only=True)


def _unwind(name: str, given: Any) -> Stage:
    options = {"path": given} if isinstance(given, str) else given
    known = {"path", "includeArrayIndex", "preserveNullAndEmptyArrays"}
    if not isinstance(options, dict) or "path" not in options or not options.keys() <= known:
        raise refused(f"$unwind takes a path, or an object with {', '.join(sorted(known))}.")
    path, place = options["path"], options.get("includeArrayIndex")
    keeps = options.get("preserveNullAndEmptyArrays", False)
    if not isinstance(path, str) or not path.startswith("$"):
        raise refused("$unwind: path begins with $.")
    if not isinstance(keeps, bool):
        raise refused("$unwind: preserveNullAndEmptyArrays is true or false.")
    parts = parts_of(path[1:], "$unwind")
    place_parts = None if place is None and "includeArrayIndex" not in options else parts_of(place, "$unwind")

    def unwound(document: Document) -> Iterator[Document]:
        value: Any = document
        for part in parts:
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        if isinstance(value, list) and value:
            elements: Iterable[tuple[int | None, Any]] = enumerate(value)
        elif value is MISSING or value is None or value == []:
            if not keeps:
                return
            elements = [(None, MISSING if isinstance(value, list) else value)]
        else:
            elements = [(None, value)]
        for index, element in elements:
            result = _with(document, parts, element)
            yield _with(result, place_parts, index) if place_parts else result

    def apply(documents: Documents, room: Room) -> Iterator[Document]:
        for document in documents:
            yield from unwound(document)

    return Stage(name, given, apply, {parts[0]})


def _with(document: Document, parts: list[str], value: Any) -> Document:
    """Return a copy of a document with another value at a path."""
    name, *rest = parts
    if rest:
        inner = document.get(name)
        if value is MISSING and not isinstance(inner, dict):
            return document
        value = _with(inner if isinstance(inner, dict) else {}, rest, value)
    if value is MISSING:
        return {other: given for other, given in document.items() if other != name}
    return {**document, name: value}


def _group(name: str, given: Any) -> Stage:
    if not isinstance(given, dict) or "_id" not in given:
        raise refused("$group takes an object with _id, the expression to group by.")
    group_of, parsed = _group_of(given["_id"])
    made = {field: _accumulator(field, value) for field, value in given.items() if field != "_id"}

    def apply(documents: Documents, room: Room) -> Iterator[Document]:
        groups: dict[Any, tuple[Any, list[Any]]] = {}
        for document in documents:
            value = group_of(document)
            key = order_key(value)
            if key not in groups:
                room.take(value)
                groups[key] = value, [kind(room) for kind, _ in made.values()]
            for accumulator, (_, argument) in zip(groups[key][1], made.values(), strict=True):
                accumulator.take(argument.evaluate(document))
        for value, accumulators in groups.values():
            results = (accumulator.result() for accumulator in accumulators)
            yield {"_id": value, **dict(zip(made, results, strict=True))}

    used = expressions.names_of([parsed, *(argument for _, argument in made.values())])
    return Stage(name, given, apply, used, only=True)


def _group_of(given: Any) -> tuple[Callable[[Document], Any], Expression]:
    """Return what gives the value that a document is grouped by, and the expression that it is made of.

    What is missing is null; so it is, too, where an object with one member is grouped by.
    """
    if isinstance(given, dict) and len(given) == 1 and not next(iter(given)).startswith("$"):
        parsed, (name,) = expressions.parse(given), given
        return lambda document: {name: parsed.evaluate(document).get(name)}, parsed
    parsed = expressions.parse(given)

    def evaluate(document: Document) -> Any:
        value = parsed.evaluate(document)
        return None if value is MISSING else value

    return evaluate, parsed


def _accumulator(name: str, given: Any) -> tuple[Any, Expression]:
    if not name or name.startswith("$") or "." in name or "\0" in name:
        raise refused(f"$group: {name!r} is not a name for a field.")
    if not isinstance(given, dict) or len(given) != 1:
        raise refused(f'$group: {name} must be an object with one accumulator, such as {{"$sum": 1}}.')
    ((kind, argument),) = given.items()
    if kind not in ACCUMULATORS:
        raise refused(
            f"the accumulator {kind} is not supported in $group; there are {', '.join(sorted(ACCUMULATORS))}."
        )
    if kind == "$count":
        if argument != {}:
            raise refused("$group: $count takes an empty object.")
        argument = 1
    elif isinstance(argument, list):
        if len(argument) != 1:
            raise refused(f"$group: {kind} takes one expression.")
        (argument,) = argument
    return ACCUMULATORS[kind], expressions.parse(argument)


def _sort_by_count(name: str, given: Any) -> Stage:
    is_expression = isinstance(given, str) and given.startswith("$")
    is_expression |= isinstance(given, dict) and next(iter(given), "").startswith("$")
    if not is_expression:
        raise refused("$sortByCount takes an expression, such as a path with $ in front.")
    group = _group("$group", {"_id": given, "count": {"$sum": 1}})
    sort = _sort("$sort", {"count": -1})
    return Stage(
        name,
        given,
        lambda documents, room: sort.apply(group.apply(documents, room), room),
        group.used,
        only=True,
    )


STAGES: Mapping[str, Callable[[str, Any], Stage]] = {
    "$addFields": _projection,
    "$count": _count,
    "$group": _group,
    "$limit": _limit,
    "$match": _match,
    "$project": _projection,
    "$set": _projection,
    "$skip": _skip,
    "$sort": _sort,
    "$sortByCount": _sort_by_count,
    "$unset": _projection,
    "$unwind": _unwind,
}
