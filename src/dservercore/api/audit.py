"""``/audit``: who did what (administrators only)."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore.auth import guards
from dservercore.catalog import audit
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import answers
from dservercore.rest.schemas import AuditFilterSchema, AuditRecordSchema
from dservercore.rest.sort import DESCENDING, SortParameters

blp = Blueprint("audit", __name__, url_prefix="/audit", description="The record of administrative acts")


@blp.route("")
class Audit(MethodView):
    """The record of administrative acts."""

    @guards.admin_only
    @answers(blp, 200, AuditRecordSchema, many=True, errors=(401, 403, 404, 422))
    @listing(blp, sort="-at", allowed_sort_fields=["at"])
    @blp.arguments(AuditFilterSchema, location="query")
    def get(
        self,
        wanted: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        actor: Actor,
    ) -> Response:
        """List who did what to users, permissions, base URIs and registrations (administrators only).

        Newest first. Reading leaves no record, and no request changes or deletes one.
        """
        newest_first = sort_parameters.order["at"] == DESCENDING
        found = audit.list_records(audit.Filter(**wanted), slice_of(pagination_parameters), newest_first)
        return page_answer(found, pagination_parameters)
