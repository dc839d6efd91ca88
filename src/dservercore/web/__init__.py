"""Pages for people: views, templates, static files and forms."""
