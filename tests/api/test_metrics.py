"""`/metrics`: who may read it, and what is in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from dservercore import create_app, sql_db
from dservercore.catalog import metrics, passwords
from dservercore.catalog.scope import OPERATOR
from dservercore.cli import config_cli
from dservercore.errors import ConfigurationError
from dservercore.settings.configuration import read_environment
from support.world import ADMIN, CHAMPION, NOBODY, STRANGER, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

TOKEN = "k3Jx9vQ2mZ7pLw4TtB8r"
INSIDE, OUTSIDE = "10.1.2.3", "192.0.2.7"


def get(place: World, address: str = OUTSIDE, **headers: str) -> Any:
    """Return the answer to a scraper at an address."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return place.client.get("/metrics", headers=named, environ_overrides={"REMOTE_ADDR": address})


def samples(place: World) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of each metric by the values of its labels, which are in the order of their names."""
    answer = get(place, Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def changes(before: dict[tuple[str, ...], float], after: dict[tuple[str, ...], float]) -> dict[Any, float]:
    """Return by how much each value has grown, of those that have."""
    grown = {labels: value - before.get(labels, 0) for labels, value in after.items()}
    return {labels: growth for labels, growth in grown.items() if growth}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    """A server whose metrics are for a token, and two networks."""
    with world(
        tmp_path_factory.mktemp("metrics"),
        key_pair,
        DSERVER_METRICS_TOKEN=TOKEN,
        DSERVER_METRICS_NETWORKS="10.0.0.0/8, 2001:db8::/32",
        DSERVER_TRUSTED_PROXIES="10.9.9.9",
    ) as place:
        yield place


class TestWhoMayRead:
    def test_nobody_where_nothing_is_configured(self, tmp_path, key_pair):
        with world(tmp_path, key_pair) as place:
            unknown = place.client.get("/no-such-address")
            for address in ("127.0.0.1", "::1", INSIDE):
                answer = get(place, address, Authorization=f"Bearer {TOKEN}")
                assert (answer.status_code, answer.json) == (404, unknown.json)
            assert place.send("GET", "/metrics", ADMIN).status_code == 404

    def test_who_has_the_token_from_anywhere(self, here):
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert get(here, Authorization=f"{scheme} {TOKEN}").status_code == 200

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "Bearer",
            "Bearer ",
            TOKEN,
            f"Basic {TOKEN}",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN.lower()}",
            f"Bearer {TOKEN} {TOKEN}",
            "Bearer \xff\xfe",
            "Bearer " + "x" * 8000,
        ],
    )
    def test_nobody_with_another_token(self, here, value):
        refused = get(here)
        answer = get(here, Authorization=value)
        assert (answer.status_code, answer.json) == (403, refused.json)
        assert TOKEN not in answer.text

    def test_no_user_with_a_token_of_the_api(self, here):
        assert here.send("GET", "/metrics", ADMIN).status_code == 403

    def test_the_token_opens_nothing_else(self, here):
        answer = here.client.get("/users", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code in (401, 422)

    @pytest.mark.parametrize("address", [INSIDE, "::ffff:10.1.2.3", "2001:db8::1"])
    def test_who_is_in_a_network(self, here, address):
        assert get(here, address).status_code == 200

    @pytest.mark.parametrize(
        "address", [OUTSIDE, "127.0.0.1", "::1", "11.0.0.1", "", "unknown", "2001:db9::1"]
    )
    def test_nobody_who_is_in_none(self, here, address):
        assert get(here, address).status_code == 403

    @pytest.mark.parametrize(
        "header",
        ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"],
    )
    def test_nobody_who_says_that_he_is(self, here, header):
        assert get(here, OUTSIDE, **{header: INSIDE}).status_code == 403
        assert get(here, OUTSIDE, **{header: f"for={INSIDE}"}).status_code == 403

    def test_a_trusted_proxy_is_believed(self, here):
        assert get(here, "10.9.9.9", **{"X-Forwarded-For": INSIDE}).status_code == 200
        assert get(here, "10.9.9.9", **{"X-Forwarded-For": OUTSIDE}).status_code == 403
        assert get(here, "10.9.9.9", **{"X-Forwarded-For": f"{INSIDE}, {OUTSIDE}"}).status_code == 403

    @pytest.mark.parametrize(
        ("proxy", "headers"),
        [
            (INSIDE, {"X-Forwarded-For": OUTSIDE}),
            (INSIDE, {"X-Real-IP": OUTSIDE}),
            ("10.9.9.9", {"X-Forwarded-Proto": "https"}),
            ("10.9.9.9", {"X-Forwarded-For": "unknown"}),
            ("10.9.9.9", {"X-Forwarded-For": "10.9.9.9"}),
        ],
    )
    def test_a_proxy_in_the_network_that_hides_who_asks_opens_it_to_nobody(self, here, proxy, headers):
        assert get(here, proxy, **headers).status_code == 403
        assert get(here, proxy, **headers, Authorization=f"Bearer {TOKEN}").status_code == 200

    @pytest.mark.parametrize("origin", ["https://evil.example.org", "null"])
    def test_no_page_in_a_browser_of_the_network(self, here, origin):
        assert get(here, INSIDE, Origin=origin).status_code == 403

    def test_a_unix_socket_where_it_is_named(self, tmp_path, key_pair):
        with world(tmp_path, key_pair, DSERVER_METRICS_NETWORKS="unix") as place:
            assert get(place, "").status_code == 200
            assert get(place, "127.0.0.1").status_code == 403
            assert get(place, "", **{"X-Forwarded-For": OUTSIDE}).status_code == 403

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nobody_changes_it(self, here, method):
        answer = here.client.open("/metrics", method=method, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 405

    def test_it_is_not_in_the_document_of_the_api(self, here):
        assert "/metrics" not in here.client.get("/doc/openapi.json").json["paths"]


class TestWhatIsInIt:
    def test_requests_by_route_and_never_by_path(self, here):
        samples(here)
        before = samples(here)["dserver_request_seconds_count"]
        info = dataset_info()
        assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
        for _ in range(3):
            assert here.send("GET", f"/uuids/{info['uuid']}").status_code == 200
        here.send("GET", f"/no/such/{info['uuid']}")
        here.send("GET", "/metrics/%00%ff")
        here.send("GET", f"/users/{STRANGER}", ADMIN)
        here.client.open("/me", method="BREW")
        grown = changes(before, samples(here)["dserver_request_seconds_count"])
        grown.pop(("GET", "/metrics", "200"))
        assert grown == {
            ("PUT", "/uris/<uri:uri>", "201"): 1,
            ("GET", "/uuids/<uuid>", "200"): 3,
            ("GET", "other", "404"): 2,
            ("GET", "/users/<username>", "404"): 1,
            ("other", "other", "405"): 1,
        }

    def test_nothing_that_names_somebody_or_something(self, here):
        secret = "zanzibar"
        here.send(
            "GET", f"/uris/s3://{secret}/x?{secret}=1", headers={"X-Request-ID": secret, "Origin": secret}
        )
        here.send("GET", f"/{secret}")
        here.send("POST", "/uris", json={"free_text": secret})
        here.client.open("/me", method=secret.upper(), headers={"Authorization": f"Bearer {secret}"})
        said = get(here, INSIDE).text
        assert "dserver_request_seconds_count" in said
        for name in (secret, secret.upper(), CHAMPION, ADMIN, STRANGER, "s3:", TOKEN):
            assert name not in said

    def test_kinds_of_requests_have_an_end(self):
        recorder = metrics.Recorder(None)
        for number in range(metrics.MAX_REQUESTS + 50):
            recorder.request("GET", f"/{number}", "200", 0.1)
        families = {family.name: family for family in recorder.collect()}
        counts = [s for s in families["dserver_request_seconds"].samples if s.name.endswith("_count")]
        assert len(counts) == metrics.MAX_REQUESTS + 1
        assert sum(sample.value for sample in counts) == metrics.MAX_REQUESTS + 50

    def test_times_are_in_seconds_by_class(self):
        recorder = metrics.Recorder(None)
        for seconds in (0.0005, 0.003, 0.003, 7, 70):
            recorder.request("GET", "/me", "200", seconds)
        (family,) = (f for f in recorder.collect() if f.name == "dserver_request_seconds")
        up_to = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
        assert (up_to["0.001"], up_to["0.0025"], up_to["0.005"], up_to["10.0"], up_to["+Inf"]) == (
            1,
            1,
            3,
            4,
            5,
        )
        assert [s.value for s in family.samples if s.name.endswith("_sum")] == [pytest.approx(77.0065)]

    def test_searches_by_what_came_of_them(self, here):
        info = dataset_info(
            readme="description: chlorophyll measured in seedlings\n", name="greenhouse-seven"
        )
        assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201

        def outcomes(*texts: str, path: str = "/uris") -> dict[Any, float]:
            before = samples(here)["dserver_searches_total"]
            for words in texts:
                assert here.send("GET", path, query_string={"free_text": words}).status_code == 200
            return changes(before, samples(here)["dserver_searches_total"])

        assert outcomes("chlorophyll", "seedlings") == {("as_typed",): 2}
        assert outcomes("chlorophxll") == {("corrected",): 1}
        assert outcomes("chlorophyll greenhouse quartz") == {("relaxed",): 1}
        assert outcomes("qqqqqqqq") == {("empty",): 1}
        assert outcomes("chlorophyll", "qqqqqqqq", path="/uris.ndjson") == {("as_typed",): 1, ("empty",): 1}
        assert outcomes("") == {}  # a list
        before = samples(here)["dserver_searches_total"]
        assert here.send("GET", "/uris?free_text=a&sort=no_such_field").status_code == 422
        assert samples(here)["dserver_searches_total"] == before

    def test_searches_that_were_cut_off(self, tmp_path, key_pair):
        with world(
            tmp_path, key_pair, DSERVER_METRICS_TOKEN=TOKEN, DSERVER_SEARCH_TIMEOUT="0.000001"
        ) as place:
            assert place.send("GET", "/uris?free_text=beans").status_code == 503
            assert changes({}, samples(place)["dserver_searches_total"]) == {("timed_out",): 1}

    def test_refusals(self, here):
        before = samples(here)["dserver_refusals_total"]
        here.client.get("/me")
        here.client.get("/me", headers={"Authorization": "Bearer garbage"})
        here.client.get("/me", headers={"Authorization": "Bearer dserver_garbage"})
        here.send("GET", "/me", STRANGER)
        here.send("GET", "/users", NOBODY)
        assert changes(before, samples(here)["dserver_refusals_total"]) == {
            ("missing_token",): 1,
            ("invalid_token",): 2,
            ("not_accepted",): 1,
            ("forbidden",): 1,
        }

    def test_sign_ins(self, here):
        before = samples(here)["dserver_sign_ins_total"]
        with here.app.app_context():
            metrics.sign_in("password", "success")
            metrics.sign_in("oidc:keycloak", "refused")
            metrics.sign_in("zanzibar", "refused")
            metrics.sign_in("link", "zanzibar")  # type: ignore[arg-type]
        grown = changes(before, samples(here)["dserver_sign_ins_total"])
        assert grown == {("password", "success"): 1, ("oidc", "refused"): 1}

    def test_who_tries_to_sign_in(self, here):
        before = samples(here)["dserver_sign_ins_total"]
        password = "salt marsh lantern 47"
        with here.app.app_context():
            passwords.set_password(CHAMPION, password, actor=OPERATOR)
            sql_db.session.commit()
        nobody = [("nobody-at-all", "x", 401)] * 10 + [("nobody-at-all", "x", 429)]
        for username, given, status in [(CHAMPION, password, 200), (CHAMPION, "wrong", 401), *nobody]:
            sent = {"username": username, "password": given}
            assert here.app.test_client().post("/auth/token", json=sent).status_code == status
        assert changes(before, samples(here)["dserver_sign_ins_total"]) == {
            ("password", "success"): 1,
            ("password", "refused"): 11,
            ("password", "limited"): 1,
        }

    def test_how_much_there_is(self, here):
        before = samples(here)
        info = dataset_info()
        assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
        after = samples(here)
        assert after["dserver_datasets"][()] == before["dserver_datasets"][()] + 1
        assert after["dserver_base_uris"] == {(): 2}
        assert after["dserver_users"] == {(): 4}
        assert after["dserver_journal_entries"] == {(): 0}
        assert after["dserver_jobs"] == {("waiting",): 0, ("running",): 0, ("failed",): 0}
        assert after["dserver_database_up"] == {(): 1}
        assert set(after["process_resident_memory_bytes"]) == {("0",)}

    def test_a_database_that_does_not_answer(self, tmp_path, key_pair):
        with world(tmp_path, key_pair, DSERVER_METRICS_TOKEN=TOKEN) as place:
            with place.app.app_context():
                sql_db.session.execute(text("DROP TABLE journal_entry"))
                sql_db.session.commit()
            found = samples(place)
            assert found["dserver_database_up"] == {(): 0}
            assert "dserver_datasets" not in found
            assert samples(place)["dserver_request_seconds_count"]["GET", "/metrics", "200"] == 1


class TestSettings:
    @pytest.mark.parametrize(
        "token",
        ["short", "x" * 40, "change-me-change-me-change-me", "k3Jx9vQ2mZ 7pLw4TtB8r", "k3Jx9vQ2mZ7pLw4Ttß8r"],
    )
    def test_a_token_that_cannot_be_one_stops_the_server_and_is_not_shown(self, tmp_path, token):
        file = tmp_path / "token"
        file.write_text(token)
        for setting, value in (("DSERVER_METRICS_TOKEN", token), ("DSERVER_METRICS_TOKEN_FILE", str(file))):
            with pytest.raises(ConfigurationError, match=f"{setting}: can be guessed") as error:
                read_environment({"DSERVER_DATA_DIR": str(tmp_path), setting: value})
            assert token not in str(error.value)
        with pytest.raises(ConfigurationError, match="DSERVER_METRICS_TOKEN: can be guessed"):
            create_app({"DSERVER_METRICS_TOKEN": token})

    def test_a_file_without_a_token_and_two_tokens_stop_the_server(self, tmp_path):
        file = tmp_path / "token"
        file.write_text(" \n")
        settings = {"DSERVER_DATA_DIR": str(tmp_path), "DSERVER_METRICS_TOKEN_FILE": str(file)}
        with pytest.raises(ConfigurationError, match=r"DSERVER_METRICS_TOKEN_FILE: .*token is empty"):
            read_environment(settings)
        with pytest.raises(
            ConfigurationError, match="DSERVER_METRICS_TOKEN_FILE: DSERVER_METRICS_TOKEN is set"
        ):
            read_environment({**settings, "DSERVER_METRICS_TOKEN": TOKEN})

    def test_the_token_comes_from_a_file(self, tmp_path):
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        read = read_environment({"DSERVER_DATA_DIR": str(tmp_path), "DSERVER_METRICS_TOKEN_FILE": str(file)})
        assert read["DSERVER_METRICS_TOKEN"] == TOKEN

    @pytest.mark.parametrize("value", ["localhost", "10.0.0.1/8", "10.0.0.0/99", "*"])
    def test_what_is_no_network_stops_the_server(self, value):
        with pytest.raises(ConfigurationError, match=r"DSERVER_METRICS_NETWORKS=.*no address or network"):
            create_app({"DSERVER_METRICS_NETWORKS": value})

    def test_the_token_is_shown_to_nobody(self, here):
        info = here.send("GET", "/config/info", ADMIN)
        assert info.json["config"]["dserver_metrics_token"] == "***"
        printed = here.app.test_cli_runner().invoke(config_cli, ["show"]).stdout
        assert json.loads(printed)["DSERVER_METRICS_TOKEN"] == "***"
        assert TOKEN not in info.text + printed

    def test_a_library_that_is_missing_stops_the_server(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        with pytest.raises(
            ConfigurationError, match=r"DSERVER_METRICS_TOKEN: .*pip install prometheus-client"
        ):
            create_app({"DSERVER_METRICS_TOKEN": TOKEN})
        assert create_app({}).test_client().get("/config/health").status_code == 200
