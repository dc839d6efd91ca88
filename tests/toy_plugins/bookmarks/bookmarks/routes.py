"""The routes, made of the same parts as those of the server."""

from flask import current_app, jsonify
from flask.views import MethodView
from marshmallow import Schema, fields

from bookmarks import models
from dservercore import Blueprint, db
from dservercore.auth import guards
from dservercore.catalog import lookup
from dservercore.errors import ConflictError
from dservercore.rest.responses import answers

blueprint = Blueprint("bookmarks", __name__, url_prefix="/bookmarks", description="Bookmarks")


class BookmarksSchema(Schema):
    """What a user has bookmarked."""

    uris = fields.List(fields.String(), required=True)


@blueprint.route("")
class All(MethodView):
    @guards.with_scope("search")
    @answers(blueprint, 200, BookmarksSchema)
    def get(self, search_scope, actor):
        """List your bookmarks."""
        return jsonify(uris=models.uris_of(actor.username))


@blueprint.route("/<uri:uri>")
class One(MethodView):
    @guards.with_scope("search")
    @answers(blueprint, 200, BookmarksSchema, errors=(401, 403, 404, 409))
    def put(self, uri, search_scope, actor):
        """Bookmark a dataset that you may search."""
        lookup.find(search_scope, uri)
        if len(models.uris_of(actor.username)) >= current_app.config["BOOKMARKS_MOST"]:
            raise ConflictError("You have as many bookmarks as you may")
        models.add(actor.username, uri)
        db.commit()
        return jsonify(uris=models.uris_of(actor.username))

    @guards.with_scope("search")
    @answers(blueprint, 200, BookmarksSchema)
    def delete(self, uri, search_scope, actor):
        """Take a bookmark out."""
        models.remove(actor.username, uri)
        db.commit()
        return jsonify(uris=models.uris_of(actor.username))
