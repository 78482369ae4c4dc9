"""The table, the JSON and the chart."""

import json
from xml.etree import ElementTree as ET

from loadtest.bench import chart, report
from loadtest.bench.generator import Sample
from loadtest.bench.results import Figure, Results, judge
from loadtest.bench.stats import Spread

ABOUT = {"date": "2026-01-01 00:00 UTC", "machine": "a <machine> & more", "generator": "wrk"}


def results():
    return Results(
        samples={
            "small": {
                "gateway full": [
                    Sample(1000, 1.0, 21.0, stolen=0.01),
                    Sample(1000, 1.0, 23.0),
                    Sample(1000, 1.0, 22.0),
                ],
                "gateway bare": [Sample(1000, 1.0, 16.0)],
                "envoy full": [Sample(500, 1.0, 42.0), Sample(500, 1.0, 46.0), Sample(500, 1.0, 44.0)],
            }
        },
        figures={"idle.gateway": Figure("idle", 3.31, "KB", "an idle connection of gateway")},
        absent={"haproxy": "apt-get install haproxy"},
        problems=["something went wrong"],
    )


def rendered():
    found = results()
    return report.render(found, judge(found, ["small", "idle"]), ABOUT)


def test_columns_line_up():
    lines = report.table([["name", "value"], ["a longer name", "1"], ["b", "1000000"]]).splitlines()
    assert lines == ["  name             value", "  a longer name        1", "  b              1000000"]


def test_three_figures_that_matter():
    assert [report.number(value) for value in (1.2345, 12.345, 123.45, 12345.6)] == ["1.23", "12.3", "123", "12346"]


def test_the_report_shows_medians_and_spreads():
    assert "gateway full        22.0  21.0..23.0        1000" in rendered()


def test_the_report_shows_every_bar_with_its_verdict():
    text = " ".join(rendered().split())
    assert "full chain / Envoy 0.50 x - 0.65 x pass" in text
    assert "full chain / HAProxy - - 1.8 x not measured" in text
    assert "memory per idle keep-alive connection 3.31 KB - 5 KB pass" in text


def test_absent_peers_and_problems_are_named():
    text = rendered()
    assert "absent: haproxy (not installed; apt-get install haproxy)" in text
    assert "problem: something went wrong" in text


def test_time_stolen_by_the_host_is_named():
    assert "stolen by the host: 0% (at most 1%)" in rendered()


def test_the_document_is_json_and_has_every_sample():
    found = results()
    document = json.loads(json.dumps(report.document(found, judge(found, ["small"]), ABOUT)))
    assert document["scenarios"]["small"]["envoy full"]["cpu_us"] == {"median": 44.0, "low": 42.0, "high": 46.0}
    assert len(document["scenarios"]["small"]["gateway full"]["rounds"]) == 3
    assert document["bars"][0]["passed"] is True
    assert document["bars"][1]["measured"] is None
    assert document["absent"] == {"haproxy": "apt-get install haproxy"}


def test_the_chart_has_the_cheapest_first():
    assert [entry.peer for entry in chart.entries(results())] == ["gateway", "envoy"]


def test_the_chart_is_xml_with_a_bar_for_every_figure():
    svg = ET.fromstring(chart.draw(chart.entries(results()), ABOUT["machine"]))
    bars = [bar.get("class") for bar in svg.iter("{http://www.w3.org/2000/svg}rect") if bar.get("rx")]
    assert bars == ["ours-full", "ours-bare", "full"]


def test_the_chart_suits_dark_pages_too():
    assert "prefers-color-scheme: dark" in chart.draw(chart.entries(results()), "")


def test_a_bar_is_as_long_as_its_figure():
    text = chart.draw([chart.Entry("nginx", Spread(10.0, 10.0, 10.0), Spread(5.0, 5.0, 5.0))], "")
    widths = [float(part.split('"')[0]) for part in text.split('width="')[1:] if 'rx="2"' in part.split(">")[0]]
    assert widths == [520.0, 260.0]


def test_the_chart_of_nothing_is_still_a_chart():
    ET.fromstring(chart.draw([], "nothing"))
