# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus is asked, and what becomes of its answers and of its silence."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.monitor import prometheus
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.main import metrics
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import admit
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import (
    STANDARD,
    at_interval,
    monitor_program,
    monitoring_vars,
    queries_of,
    system_series,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems, read_system

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def server():
    """A Prometheus that knows `up` and `table`, refuses `bad(`, and breaks at `broken`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            query = urllib.parse.parse_qs(body)["query"][0]
            kind = "matrix" if self.path.endswith("query_range") or query == "table" else "vector"
            values = [[100.0, "1"], [101.0, "NaN"], [102.0, "+Inf"]]
            series = [{"metric": {"node": node}, "values": values} for node in ("n2", "n1")]
            status, answer = 200, {"data": {"resultType": kind, "result": series}}
            if query == "bad(":
                status, answer = 400, {"errorType": "bad_data", "error": "unclosed left parenthesis"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"no JSON" if query == "broken" else json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_points_count_from_the_start_and_are_numbers():
    """NaN is missing; an infinity is the greatest number there is, and so breaks what it should."""
    values = [[100.0, "1.5"], [101.0, "NaN"], [102.0, "+Inf"], [103.0, "-Inf"]]
    top = sys.float_info.max
    assert prometheus.points(values, 100.0) == [[0.0, 1.5], [2.0, top], [3.0, -top]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([{"node": "n1", "job": "node"}, {"node": "n2"}], ["n1", "n2"]),
        ([{"node": "n1", "to": "a"}, {"node": "n1", "to": "b"}], ["node=n1, to=a", "node=n1, to=b"]),
        ([{}], ["all"]),
    ],
)
def test_a_series_is_named_by_its_node_where_that_is_enough(labels, expected):
    found = [{"label": "", "labels": each} for each in labels]
    prometheus.label_all(found)
    assert [line["label"] for line in found] == expected


def test_a_mistake_is_told_and_silence_is_none(server):
    assert prometheus.query_problem(server, "up") is None
    assert prometheus.query_problem(server, "bad(") == "unclosed left parenthesis"
    assert "gives a matrix" in prometheus.query_problem(server, "table")
    assert prometheus.query_problem(NOBODY, "bad(") is None


def test_what_cannot_be_had_is_a_problem_beside_what_can(server):
    series = [{"name": name, "query": name, "criterion": None} for name in ("up", "bad(", "broken")]
    found = metrics({"prometheus": server, "series": series}, 100.0, 102.0)
    assert [len(each["lines"]) for each in found["series"]] == [2, 0, 0]
    assert [line["label"] for line in found["series"][0]["lines"]] == ["n1", "n2"]
    assert [problem.split(":")[0] for problem in found["problems"]] == ["bad(", "broken"]


def test_without_prometheus_a_run_still_ends_at_once():
    series = [{"name": str(i), "query": "up", "criterion": None} for i in range(20)]
    began = time.monotonic()
    found = metrics({"prometheus": NOBODY, "series": series}, 100.0, 102.0)
    assert time.monotonic() - began < 2
    assert len(found["problems"]) == 20
    assert all("does not answer" in problem for problem in found["problems"])


PLAN = {
    "scenario": {"system": "etcd"},
    "criteria": [
        {"name": "error_rate", "threshold": 0.1, "comparison": "<="},
        {"name": "lag", "query": "max(lag)", "unit": "s", "threshold": 1, "comparison": "<"},
    ],
    "steady_state": [{"state": "healthy", "is": True}, {"promql": "up", "above": 0}],
}


def test_the_plan_asks_for_standard_series_the_systems_and_its_own_queries():
    etcd = system_series(read_system("etcd"))
    program = monitor_program(PLAN, {"n1": "10.0.0.1"}, {"etcd": etcd, "other": [{"name": "x"}]})
    names = [(series["name"], series["criterion"]) for series in program["series"]]
    known = [*(each["name"] for each in STANDARD), *(each["name"] for each in etcd)]
    assert names == [*((name, None) for name in known), ("lag", "lag")]
    assert all({"name", "title", "unit", "query"} <= set(series) for series in program["series"])
    assert "gc_pressure" in known


def test_rates_span_four_scrapes_of_whatever_interval():
    """A range shorter than two scrapes gives nothing, and figures would be missing without a reason."""
    entries = [{"name": "x", "query": "rate(a[$__rate_interval]) / rate(b[$__rate_interval])"}, {"name": "y"}]
    found = at_interval(entries, "query", 2.5)
    assert found == [{"name": "x", "query": "rate(a[10000ms]) / rate(b[10000ms])"}, {"name": "y"}]
    own = [entry for name in known_systems() for entry in system_series(read_system(name))]
    program = monitor_program(PLAN, {"n1": "10.0.0.1"}, {"etcd": own}, scrape_interval_s=15.0)
    queries = [series["query"] for series in program["series"]]
    assert not any("$" in query for query in queries)
    assert {span for query in queries for span in re.findall(r"\[(.+?)\]", query)} == {"60000ms"}


def test_a_query_that_prometheus_refuses_keeps_the_run_from_starting():
    """The reason bears the key, so that the user finds it in the file."""
    queries = queries_of(PLAN)
    assert queries == {"success_criteria.lag.promql": "max(lag)", "steady_state[1].promql": "up"}
    answer = {
        "blockers": [],
        "incapable": [],
        "unhealthy": [],
        "queries": {"success_criteria.lag.promql": "no"},
    }
    admission = admit({"observer1": answer}, {})
    assert admission.status == ExitStatus.BAD_INPUT
    assert admission.reasons == ["success_criteria.lag.promql: Prometheus on observer1 says: no"]


def test_prometheus_sees_the_systems_that_serve_metrics():
    etcd = read_system("etcd")
    silent = etcd.model_copy(update={"metrics": None})
    targets = monitoring_vars({"etcd": etcd, "silent": silent})["testbed_metrics"]
    assert targets == [{"system": "etcd", "port": 2379, "path": "/metrics"}]
