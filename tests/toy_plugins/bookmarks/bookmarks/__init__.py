"""An extension: users bookmark datasets, and are told when one of these changes."""

from pathlib import Path

from flask import current_app

from bookmarks import models
from bookmarks.commands import bookmarks_cli
from bookmarks.pages import pages
from bookmarks.routes import blueprint
from dservercore import ExtensionABC
from dservercore.catalog import jobs
from dservercore.settings.parsers import parse_number
from dservercore.settings.table import Setting

TELL = "bookmarks.tell"


class Bookmarks(ExtensionABC):
    #: What a request does is in the database alone, so it may be done again after a deadlock.
    repeatable = True

    def get_settings(self):
        return [
            Setting("BOOKMARKS_MOST", 100, "Most bookmarks that a user may have.", parse_number),
            Setting("BOOKMARKS_OUTBOX", "outbox.txt", "File to which messages to users are added."),
        ]

    def get_blueprint(self):
        return blueprint

    def get_pages(self):
        return [pages]

    def get_commands(self):
        return [bookmarks_cli]

    def get_migrations(self):
        return Path(__file__).parent / "migrations"

    def register_dataset(self, dataset_info):
        """Part of the write: where it is rolled back, nobody is told anything."""
        if models.users_of(dataset_info["uri"]):
            jobs.enqueue(TELL, {"uri": dataset_info["uri"]})

    def get_job_handlers(self):
        return {TELL: tell}

    def after_commit(self, event):
        """The dataset is deleted for good, and nobody waits."""
        if event.kind == "deleted":
            models.forget(event.uri)


def tell(payload):
    """Write a message to each user. It may come twice, where a server is killed at the wrong moment."""
    with open(current_app.config["BOOKMARKS_OUTBOX"], "a") as outbox:
        for username in models.users_of(payload["uri"]):
            outbox.write(f"{username}: {payload['uri']} has changed\n")
