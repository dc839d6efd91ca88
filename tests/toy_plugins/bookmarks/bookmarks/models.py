"""The table, and what is done with it."""

from sqlalchemy import delete, select

from dservercore import sql_db


class Bookmark(sql_db.Model):
    __tablename__ = "bookmark"
    # Made by the migrations of this package.
    __table_args__ = {"info": {"own_migrations": True}}

    id = sql_db.Column(sql_db.Integer, primary_key=True)
    # NULL: somebody suggested the dataset on the page.
    username = sql_db.Column(sql_db.String(64))
    uri = sql_db.Column(sql_db.String(1024), nullable=False)


def uris_of(username):
    """Return the URIs of a user's bookmarks, in order; of suggestions where it is None."""
    wanted = select(Bookmark.uri).where(Bookmark.username.is_not_distinct_from(username))
    return sorted(sql_db.session.execute(wanted).scalars())


def users_of(uri):
    """Return who has bookmarked a dataset, in order."""
    wanted = select(Bookmark.username).where(Bookmark.uri == uri, Bookmark.username.is_not(None))
    return sorted(sql_db.session.execute(wanted).scalars())


def add(username, uri):
    """Bookmark a dataset, if it is not bookmarked."""
    if uri not in uris_of(username):
        sql_db.session.add(Bookmark(username=username, uri=uri))


def remove(username, uri):
    """Take a bookmark out, if it is there."""
    sql_db.session.execute(delete(Bookmark).where(Bookmark.username == username, Bookmark.uri == uri))


def forget(uri):
    """Take out everybody's bookmarks of a dataset."""
    sql_db.session.execute(delete(Bookmark).where(Bookmark.uri == uri))
