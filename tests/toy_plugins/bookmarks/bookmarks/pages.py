"""A page: whoever comes by suggests a dataset to the administrator."""

from flask import redirect, render_template, request, url_for
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from bookmarks import models
from dservercore import db
from dservercore.web.forms import Form
from dservercore.web.pages import Pages

pages = Pages("bookmark_pages", __name__, url_prefix="/suggest-a-bookmark", template_folder="templates")


class Suggestion(Form):
    uri = StringField("URI of a dataset", [InputRequired(), Length(max=1024)])


@pages.route("", methods=["GET", "POST"])
def suggest():
    form = Suggestion()
    if form.validate_on_submit():
        models.add(None, form.uri.data)
        db.commit()
        return redirect(url_for(".suggest", thanks=1), 303)
    status = 422 if request.method == "POST" else 200
    return render_template("bookmarks/suggest.html", form=form), status
