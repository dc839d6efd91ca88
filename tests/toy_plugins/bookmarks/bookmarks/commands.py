"""What the administrator has at the command line."""

import click

from bookmarks import models


@click.group(name="bookmarks")
def bookmarks_cli():
    """Show what is bookmarked and suggested."""


@bookmarks_cli.command(name="suggested")
def suggested():
    """List the datasets that were suggested on the page."""
    for uri in models.uris_of(None):
        click.echo(uri)
