"""The page of a dataset and that of its copies: what they show to whom, whatever somebody has written."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from markupsafe import Markup
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dservercore import plugin_host, sql_db
from dservercore.auth import sign_in
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.files import kept, listing
from dservercore.catalog.scope import OPERATOR
from dservercore.plugin_api import ExportFormat, ExtensionABC, PageSection
from dservercore.web.dataset_pages import commands
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info
from web.browser import be_wide, complaints, enter, follow, needs_browser, run_scripts, session_of, until

OF_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
OTHER = "bf6727bf-29c7-43dd-b42f-a5d7ede28337"
SCRIPT = "<script>alert(1)</script>"


def manifest(*relpaths: str) -> dict[str, Any]:
    return {
        "dtoolcore_version": "3.19.0",
        "hash_function": "md5sum_hexdigest",
        "items": {
            hashlib.sha1(path.encode()).hexdigest(): {
                "relpath": path,
                "size_in_bytes": 1000 * number,
                "hash": f"{number:032x}",
                "utc_timestamp": 1536832115.0,
            }
            for number, path in enumerate(relpaths, 1)
        },
    }


def path_of(base_uri: str = RED, uuid: str = UUID, kind: str = "datasets") -> str:
    return f"/{kind}/{base_uri.replace('://', '/')}/{uuid}"


def words(page: str) -> str:
    """What is read on a page, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture
def reads(app, client):
    """``reads(username, path)`` returns the answer that the browser of a user gets; None: that of a visitor."""

    def read(username: str | None, path: str, **headers: str):
        client.delete_cookie(sign_in.PLAIN_COOKIE)
        if username:
            client.set_cookie(sign_in.PLAIN_COOKIE, session_of(app, username))
        return client.get(path, headers={**OF_BROWSER, **headers})

    return read


class TestWhoMaySeeIt:
    def test_whoever_may_search_its_base_uri(self, register, reads):
        register(uuid=UUID)
        page = reads(READER, path_of())
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        for text in ("bean-harvest", "Beans from the greenhouse", "beans", "loam", UUID, "olga", "5.74 MB"):
            assert text in words(page.text)

    def test_to_others_it_is_as_if_there_were_none(self, register, reads):
        register(uuid=UUID)
        register(base_uri=BLUE, uuid=OTHER)
        kinds = ("datasets", "dataset-readme", "dataset-manifest", "dataset-export/x")
        answers = {
            re.sub(r'value="[^"]*"', "", page.text.replace(place, "HERE"))
            for who, base_uri, uuid in [
                (NOBODY, RED, UUID),
                (NOBODY, RED, OTHER),
                (NOBODY, "s3://unknown", UUID),
                (NOBODY, BLUE, OTHER),
            ]
            for kind in kinds
            for place in [path_of(base_uri, uuid, kind)]
            for page in [reads(who, place)]
            if page.status_code == 404
        }
        assert len(answers) == 1
        assert "There is no such dataset" in answers.pop()

    def test_whoever_is_not_signed_in_is_led_there_and_back(self, register, reads):
        register(uuid=UUID)
        answer = reads(None, path_of())
        assert (answer.status_code, answer.location) == (
            303,
            f"/sign-in?next=%2Fdatasets%2Fs3%2Fred%2F{UUID}",
        )

    def test_visitors_see_what_is_public_and_no_more(self, app, register, reads):
        register(uuid=UUID)
        register(base_uri=BLUE, uuid=UUID)
        with app.app_context():
            base_uris.set_public(RED, True)
            sql_db.session.commit()
        assert reads(None, path_of()).status_code == 200
        assert "blue" not in reads(None, path_of()).text
        page = reads(None, path_of(BLUE))
        assert page.status_code == 404
        assert "sign in, to see more" in page.text

    def test_the_history_is_for_administrators(self, app, register, reads, client, bearer):
        register(uuid=UUID)
        client.put(
            f"/base-uris/{RED.replace('://', '/')}",
            json={"users_with_search_permissions": [ADMIN, READER], "users_with_register_permissions": []},
            headers=bearer(ADMIN),
        )
        assert "history-title" in reads(ADMIN, path_of()).text
        assert "history-title" not in reads(READER, path_of()).text


class TestReadme:
    def page(self, register, reads, readme: str) -> str:
        register(uuid=UUID, readme=readme)
        page = reads(READER, path_of())
        assert page.status_code == 200
        return page.text

    def test_is_a_table_with_links(self, register, reads):
        readme = "paper: doi:10.1000/x\nowner:\n  orcid: 0000-0002-1825-0097\n  mail: olga@example.org\nweb: https://example.org/a\n"
        page = self.page(register, reads, readme)
        links = dict(re.findall(r'<a href="([^"]*)" rel="noopener noreferrer">([^<]*)</a>', page))
        assert links == {
            "https://doi.org/10.1000/x": "doi:10.1000/x",
            "https://orcid.org/0000-0002-1825-0097": "0000-0002-1825-0097",
            "mailto:olga@example.org": "olga@example.org",
            "https://example.org/a": "https://example.org/a",
        }
        assert "<dt><bdi>orcid</bdi></dt>" in page

    def test_leads_to_datasets_that_one_may_see_alone(self, register, reads):
        register(base_uri=BLUE, uuid=OTHER)
        register(uuid=UUID, readme=f"derived_from: {OTHER}\nself: {UUID}\n")
        assert f'href="/uuid/{OTHER}"' in reads(READER, path_of()).text
        assert f"/uuid/{OTHER}" not in reads(CHAMPION, path_of()).text
        assert f'href="/uuid/{UUID}"' not in reads(READER, path_of()).text

    def test_descriptions_are_markdown_without_html_and_images(self, register, reads):
        readme = (
            "description: |\n  # Plants\n\n"
            "  A *small* [plot](https://example.org/p 'x') of **<b>beans</b>**, see doi:10.1000/x\n\n"
            "  ![a picture](https://example.org/i.png) [bad](javascript:alert(1)) [worse](data:text/html,x)\n\n"
            f"  ![x](data:image/png;base64,AA) {SCRIPT} <img src=x onerror=alert(1)>\n\n"
            "  [r]: javascript:alert(1)\n\n  [r] | x\n\n  | a |\n  |:-:|\n  | b |\n"
        )
        page = self.page(register, reads, readme)
        shown = page[page.index('<div class="lead') : page.index("</div>", page.index('<div class="lead'))]
        assert "<em>small</em>" in shown
        assert '<p class="heading">Plants</p>' in shown
        assert '<a href="https://example.org/p" rel="noopener noreferrer">plot</a>' in shown
        assert '<a href="https://example.org/i.png" rel="noopener noreferrer">a picture</a>' in shown
        assert '<a href="https://doi.org/10.1000/x" rel="noopener noreferrer">doi:10.1000/x</a>' in shown
        assert "<td>b</td>" in shown
        tags = set(re.findall(r"<(\w+)", shown))
        assert tags <= {"div", "p", "em", "strong", "a", "table", "thead", "tbody", "tr", "th", "td"}
        assert set(re.findall(r'href="(\w+):', shown)) == {"https"}

    @pytest.mark.parametrize(
        "readme",
        [
            f"{SCRIPT}",
            f"key: '{SCRIPT}'\n'{SCRIPT}': x\nlist: ['{SCRIPT}']\n",
            f"description: '{SCRIPT}'",
            f"description: '`{SCRIPT}` [{SCRIPT}](https://x.org/\"{SCRIPT})'",
            f'a: https://x.org/"{SCRIPT}\nb: "x@y.org\'{SCRIPT}"',
            f"a: &x '{SCRIPT}'\nb: *x\nc: !<{SCRIPT}> y",
            f"description: ['{SCRIPT}', {{description: '{SCRIPT}'}}]",
        ],
    )
    def test_scripts_are_text(self, register, reads, readme):
        page = self.page(register, reads, readme)
        assert "<script>" not in page
        assert "<script " in page  # those of the page itself
        assert "&lt;script" in page

    @pytest.mark.parametrize(
        "readme",
        [
            "",
            "Just words, no YAML: at: all",
            "a: [unclosed",
            "- only\n- a list",
            "a: {}\nb: []\nc:\n",
            "a: &a [x]\n"
            + "".join(
                f"{k}: &{k} [{','.join(['*' + p] * 9)}]\n" for p, k in zip("abcdefg", "bcdefgh", strict=True)
            ),
            "[" * 1000 + "]" * 1000,
            "a: " + "x" * 100_000,
            "description: " + "x" * 100_000,
            "description: '" + "[" * 19_000 + "'",
            "description: |\n" + "".join(f"{'  ' * n}- x\n" for n in range(1, 60)),
            "description: '" + "*a_ " * 4500 + "'",
            "description: '" + "> " * 9000 + "x'",
            'rtl: "\\u202Eevil\\u2066"',
            "".join(f"k{n}: https://example.org/{n}\n" for n in range(4000)),
            f"a: &x '{'word ' * 10_000}'\n" + "".join(f"k{n}: *x\n" for n in range(2000)),
            f"a: &x '{'word ' * 3000}'\n" + "".join(f"k{n}: {{description: *x}}\n" for n in range(1000)),
            "description: |\n  " + "|a" * 3000 + "\n  " + "|-" * 3000 + "\n" + "  |\n" * 1500,
        ],
        ids=range(18),
    )
    def test_is_shown_whatever_it_is(self, register, reads, readme):
        page = self.page(register, reads, readme)
        assert len(page) < 12 * len(readme) + 100_000
        assert page.rstrip().endswith("</html>")

    def test_no_more_than_so_many_descriptions_are_made_of_markdown(self, register, reads):
        texts = [f"  - description: '*{name}* {'[' * 9000}'\n" for name in "abcd"]
        page = self.page(register, reads, f"parts:\n{''.join(texts)}")
        assert re.findall(r"<em>(\w)</em>", page) == ["a", "b"]
        assert "*c* [[[" in page

    def test_can_be_downloaded_as_it_is_written(self, register, reads):
        readme = f"a:   1 # {SCRIPT}\n"
        register(uuid=UUID, readme=readme)
        answer = reads(READER, path_of(kind="dataset-readme"))
        assert (answer.text, answer.mimetype) == (readme, "text/plain")
        assert "attachment" in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


class TestFiles:
    FILES = ("readme.txt", "raw/plate2/b.tif", "raw/plate10/a.tif", "raw/plate2/a.csv")

    def test_are_shown_one_directory_at_a_time(self, register, reads):
        register(uuid=UUID, manifest=manifest(*self.FILES))
        root = reads(READER, path_of()).text
        assert "raw 3 files" in words(root)
        assert "plate2" not in root
        raw = words(reads(READER, f"{path_of()}?dir=raw/").text)
        assert raw.index("plate2 2 files") < raw.index("plate10 1 file")
        below = reads(READER, f"{path_of()}?dir=raw/plate2/").text
        assert "raw/plate2/a.csv" in below
        assert f"{4:032x}" in below
        assert hashlib.sha1(b"raw/plate2/a.csv").hexdigest() in below

    def test_are_found_by_parts_of_their_paths(self, register, reads):
        register(uuid=UUID, manifest=manifest(*self.FILES))
        page = words(reads(READER, f"{path_of()}?find=TIF+plate").text)
        assert "2 files have TIF plate in the path" in page
        assert page.index("raw/plate2/b.tif") < page.index("raw/plate10/a.tif")
        assert "a.csv" not in page
        assert "No file has that in its path" in reads(READER, f"{path_of()}?find=nothing").text

    def test_have_pages_and_orders_that_are_addresses(self, register, reads):
        register(uuid=UUID, manifest=manifest(*(f"f{n}" for n in range(1, 251))))
        first = reads(READER, path_of()).text
        assert "Page 1 of 3" in first
        (following,) = re.findall(r'rel="next" href="([^"]*)"', first)
        assert following == f"{path_of()}?file_page=2#files"
        assert "f101" in words(reads(READER, following).text)
        largest = words(reads(READER, f"{path_of()}?file_sort=size").text)
        assert largest.index("f250") < largest.index("f249")

    @pytest.mark.parametrize(
        "query",
        [
            "dir=none/",
            "dir=%00",
            "dir=%ff/",
            "dir=../",
            "file_page=-1",
            "file_page=1e9",
            "file_page=" + "9" * 400,
            "file_sort=x",
            "find=%00",
            "find=" + "a+" * 300,
            "find=%25",
        ],
    )
    def test_are_an_answer_whatever_is_asked(self, register, reads, query):
        register(uuid=UUID, manifest=manifest(*self.FILES))
        assert reads(READER, f"{path_of()}?{query}").status_code == 200

    def test_are_sent_alone_to_replace_those_before(self, register, reads):
        register(uuid=UUID, manifest=manifest(*self.FILES))
        part = reads(READER, f"{path_of()}?dir=raw/", **{"HX-Request": "true", "HX-Target": "files"})
        assert part.text.strip().startswith('<section id="files"')
        assert "HX-Target" in part.headers["Vary"]
        assert reads(NOBODY, f"{path_of()}?dir=raw/", **{"HX-Target": "files"}).status_code == 404

    @pytest.mark.parametrize(
        "name",
        [
            SCRIPT,
            '"><img src=x onerror=alert(1)>',
            "line\nbreak",
            "x" * 2000,
            "ملف‮exe.txt",
            "{{ 7 * 7 }}",
            "a&b=c#d?e",
            "%2e%2e",
        ],
    )
    def test_names_are_text(self, register, reads, name):
        register(uuid=UUID, manifest=manifest(name, f"{name}/{name}"))
        page = reads(READER, path_of()).text
        assert "<script>" not in page
        assert "<img" not in page
        links = [unescape(link) for link in re.findall(r'class="name" href="([^"]*)"', page)]
        for link in links:
            inside = reads(READER, link.partition("#files")[0])
            assert "There is no such directory" not in inside.text

    def test_of_a_dataset_with_many_are_put_in_order_first(self, app, register, reads, monkeypatch, tmp_path):
        app.config["DSERVER_DATA_DIR"] = str(tmp_path)
        monkeypatch.setattr(listing, "FEW_ITEMS", 2)
        register(uuid=UUID, manifest=manifest(*self.FILES))
        monkeypatch.setattr(kept, "on_disk", lambda *_: None)
        assert "are being put in order" in reads(READER, path_of()).text
        monkeypatch.undo()
        monkeypatch.setattr(listing, "FEW_ITEMS", 2)
        monkeypatch.setattr(kept, "PATIENCE", 60)
        assert "raw 3 files" in words(reads(READER, path_of()).text)

    def test_the_manifest_can_be_downloaded(self, register, reads):
        register(uuid=UUID, manifest=manifest(*self.FILES))
        answer = reads(READER, path_of(kind="dataset-manifest"))
        assert answer.json == manifest(*self.FILES)
        assert "attachment" in answer.headers["Content-Disposition"]


class TestCopies:
    def test_are_compared(self, register, reads):
        register(uuid=UUID, size_in_bytes=1)
        register(base_uri=BLUE, uuid=UUID, size_in_bytes=2, name="other", manifest=manifest("x"))
        page = words(reads(READER, path_of()).text)
        assert "differs: name, size, files" in page
        register(base_uri=BLUE, uuid=UUID, size_in_bytes=1)
        assert "agrees" in words(reads(READER, path_of()).text)

    def test_have_a_page(self, register, reads):
        register(uuid=UUID)
        register(base_uri=BLUE, uuid=UUID)
        page = reads(READER, f"/uuid/{UUID}").text
        assert "You may see 2 copies" in page
        assert {path_of(), path_of(BLUE)} <= set(re.findall(r'href="([^"]*)"', page))

    def test_elsewhere_leave_no_trace(self, register, reads):
        register(uuid=UUID)
        register(base_uri=BLUE, uuid=UUID)
        alone = reads(CHAMPION, f"/uuid/{UUID}")
        assert (alone.status_code, alone.location) == (303, path_of())
        page = reads(CHAMPION, path_of()).text
        assert "blue" not in page
        assert "Other copies" not in page
        for uuid in (UUID, OTHER, "no-uuid"):
            assert reads(NOBODY, f"/uuid/{uuid}").status_code == 404


class TestCommands:
    @pytest.mark.parametrize("uri", ["s3://a b/$(rm -rf ~)';x", 's3://x/"y"', "s3://x/ü\u202e"])
    def test_are_quoted_for_a_shell_and_for_python(self, app, uri):
        with app.test_request_context():
            made = commands.for_dataset({"uri": uri}, "; rm -rf ~")
        copy, list_, fetch, python, _ = (command.text for command in made.commands)
        assert shlex.split(copy) == ["dtool", "cp", uri, "."]
        assert shlex.split(list_) == ["dtool", "ls", uri]
        assert shlex.split(fetch) == ["dtool", "item", "fetch", uri, "; rm -rf ~"]
        assert uri in [node.value for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Constant)]
        assert (made.package, made.host) == ("dtool-s3", None)

    def test_work_for_a_dataset_on_this_machine(self, app, people, reads, tmp_path):
        place = tmp_path / "it's here"
        place.mkdir()
        with dtoolcore.DataSetCreator("plants", str(place)) as creator:
            (Path(creator.prepare_staging_abspath_promise("a/b.txt"))).write_text("green")
            uri = creator.uri
        with app.app_context():
            base_uri = uri.rpartition("/")[0]
            base_uris.create_base_uri(base_uri, [READER], [])
            info = dtoolcore.DataSet.from_uri(uri)
            document = dataset_info(base_uri, uuid=info.uuid, uri=uri, name="plants", manifest=info._manifest)
            registration.register_dataset(OPERATOR, operator_scope("register"), document)
            sql_db.session.commit()
        page = reads(READER, f"/datasets/{uri.replace('://', '/')}").text
        shown = [
            unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
        ]
        (python,) = [code for code in shown if code.startswith("import dtoolcore")]
        printed = subprocess.run(
            [sys.executable, "-c", python], capture_output=True, text=True, check=True
        ).stdout
        relpath, path = printed.split(" ", 1)
        assert (relpath, Path(path.strip()).read_text()) == ("a/b.txt", "green")
        (copy,) = [code for code in shown if code.startswith("dtool cp")]
        assert shlex.split(copy) == ["dtool", "cp", uri, "."]
        (fetch,) = [code for code in shown if code.startswith("dtool item fetch")]
        assert shlex.split(fetch) == ["dtool", "item", "fetch", uri, hashlib.sha1(b"a/b.txt").hexdigest()]
        (curl,) = [code for code in shown if code.startswith("curl")]
        assert shlex.split(curl)[-1].startswith("http://localhost/uris/file%3A%2F%2F")


def test_extensions_add_sections_and_downloads(app, register, reads, monkeypatch):
    class Extension(ExtensionABC):
        get_blueprint = None

        def dataset_sections(self, dataset, base_uris):
            return [PageSection("Graph <b>", Markup("<p>{}</p>").format(dataset["uri"] + SCRIPT))]

        def export_formats(self):
            return [
                ExportFormat(
                    "x", "Crate", "application/ld+json", ".json", lambda d: json.dumps(d["name"]).encode()
                )
            ]

    info = register(uuid=UUID)
    with app.app_context():
        plugins = dataclasses.replace(plugin_host.plugins(), extensions=(Extension(),))
    monkeypatch.setattr(plugin_host, "plugins", lambda: plugins)
    page = reads(READER, path_of()).text
    assert "Graph &lt;b&gt;" in page
    assert f"<p>{info['uri']}&lt;script&gt;" in page
    answer = reads(READER, path_of(kind="dataset-export/x"))
    assert (answer.json, answer.mimetype) == (info["name"], "application/ld+json")
    assert f'filename="{UUID}.json"' in answer.headers["Content-Disposition"]
    assert reads(READER, path_of(kind="dataset-export/y")).status_code == 404


@needs_browser
class TestInABrowser:
    FILES = (*(f"raw/plate{n}/well.tif" for n in range(1, 120)), "notes.txt", SCRIPT, "w" * 500)

    @pytest.fixture
    def opened(self, app, register, address, chrome):
        register(
            uuid=UUID,
            name="a" * 80,
            readme=f"description: '[x](javascript:alert(1)) {SCRIPT}'\n{'k' * 300}: {'v' * 5000}\n",
            manifest=manifest(*self.FILES),
            tags=["t" * 80],
        )
        enter(chrome, app, address, READER)
        chrome.get(address + path_of())
        return chrome

    @pytest.mark.parametrize("with_scripts", [True, False])
    def test_one_walks_through_the_files(self, opened, address, with_scripts):
        run_scripts(opened, with_scripts)
        opened.get(address + path_of())

        def go(text: str, arrives: str) -> None:
            link = opened.find_element(By.PARTIAL_LINK_TEXT, text)
            link.click() if with_scripts else follow(opened, link)
            until(opened, lambda driver: arrives in driver.find_element(By.ID, "files").text)

        go("raw", "plate2")
        assert opened.current_url.endswith("?dir=raw/#files")
        go("Next", "plate119")
        go("plate119", "well.tif")
        opened.find_element(By.CSS_SELECTOR, "#files summary").click()
        until(opened, lambda driver: "raw/plate119/well.tif" in driver.find_element(By.ID, "files").text)
        opened.back()
        until(opened, lambda driver: "plate118" in driver.find_element(By.ID, "files").text)
        if with_scripts:  # which see what is typed only once they run
            until(opened, lambda driver: driver.execute_script("return document.readyState") == "complete")
        field = opened.find_element(By.ID, "find")
        field.send_keys("plate77")
        if not with_scripts:
            follow(opened, opened.find_element(By.CSS_SELECTOR, "#files form button"))
        until(opened, lambda driver: "raw/plate77/well.tif" in driver.find_element(By.ID, "files").text)
        until(opened, lambda driver: "find=plate77" in driver.current_url)
        assert complaints(opened) == []

    def test_the_keyboard_goes_on_in_the_files(self, opened):
        opened.find_element(By.PARTIAL_LINK_TEXT, "raw").send_keys(Keys.ENTER)
        until(opened, lambda driver: "plate2" in driver.find_element(By.ID, "files").text)
        until(opened, lambda driver: driver.switch_to.active_element.get_attribute("id") == "files-title")

    def test_nothing_sticks_out_of_a_small_window(self, opened, address):
        be_wide(opened, 320)
        opened.get(address + path_of())
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 320

    def test_the_uri_is_copied(self, opened):
        button = opened.find_element(By.CSS_SELECTOR, ".names button[data-copy]")
        opened.execute_cdp_cmd(
            "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        )
        until(opened, lambda _: button.is_displayed())
        button.click()
        until(opened, lambda _: button.text == "Copied")
        copied = opened.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
        assert copied == f"{RED}/{UUID}"
