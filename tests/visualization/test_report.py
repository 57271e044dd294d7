"""A report's page: text stays text, nothing is loaded, tables sort."""

from __future__ import annotations

import base64
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import ERROR, dump, needs_browser, title_after
from PIL import Image

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.visualization.palette import (
    BACKGROUND,
    SERIES_ON_DARK,
    SERIES_ON_LIGHT,
)
from gemini_det3d.visualization.report import (
    Chart,
    Charts,
    Listing,
    Pictures,
    Report,
    Series,
    Spread,
    Table,
    Text,
    render_report,
)

ROOT = Path(__file__).resolve().parents[2]
ATTACK = "</script><img src=x onerror=alert(1)>\"'&\u2028<!--{{ 7*7 }}"


class Page(HTMLParser):
    """Elements with their attributes, the text, and what the data element holds."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.text, self.data, self._inside = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = "data" if dict(attrs).get("id") == "data" else tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "data":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def line_chart(name="a", ys=(1.0, 2.0), **more) -> Charts:
    return Charts("Charts", [Chart("c", [Series(name, range(len(ys)), ys)], "x", "y", **more)])


def attacked(tmp_path) -> Page:
    picture = tmp_path / "x onerror=alert(1)&.png"
    Image.new("RGB", (7, 5)).save(picture)
    sections = [
        Text(ATTACK, [ATTACK], note=ATTACK),
        Table(ATTACK, [ATTACK], [[ATTACK]], note=ATTACK),
        Charts(ATTACK, [Chart(ATTACK, [Series(ATTACK, [ATTACK], [1.0])], ATTACK, ATTACK)]),
        Listing(ATTACK, ["+ " + ATTACK, "- " + ATTACK, ATTACK], is_diff=True),
        Pictures(ATTACK, [picture]),
    ]
    return Page(render_report(Report(ATTACK, sections, [ATTACK])))


def test_text_that_is_markup_makes_no_element_and_comes_back_as_it_is(tmp_path):
    page = attacked(tmp_path)
    assert [image["src"].split(",")[0] for image in page.all("img")] == ["data:image/png;base64"]
    assert len(page.all("script")) == 3  # data, plotly, ours
    assert not [k for _, attrs in page.found for k in attrs if k.startswith("on")]
    assert sum(ATTACK in text for text in page.text) >= 12 and "49" not in page.text
    assert json.loads(page.data)["charts"][0]["series"][0]["name"] == ATTACK


def test_page_asks_for_nothing_from_elsewhere_and_forbids_it(tmp_path):
    page = attacked(tmp_path)
    asked = [v for _, attrs in page.found for k, v in attrs.items() if k in ("src", "href")]
    assert all(value.startswith(("data:image/", "#s")) for value in asked)
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_script_writes_no_markup():
    script = (ROOT / "gemini_det3d/visualization/report/report.js").read_text()
    assert not [w for w in ("innerHTML", "outerHTML", "insertAdjacent", "eval(") if w in script]


def test_page_without_charts_leaves_plotly_out():
    small = render_report(Report("r", [Text("t", ["x"])]))
    assert len(small) < 30_000 < 1_000_000 < len(render_report(Report("r", [line_chart()])))


def test_cells_are_sorted_by_their_mean_and_missing_ones_have_no_value():
    rows = [["a", Spread(10.0, 0.5)], ["b", Spread(9.0)], ["c", None], ["d", math.nan], ["e", "+2"]]
    cells = [row[1] for row in Table("t", ["n", "v"], rows).cells()]
    assert cells == [("10.00 ± 0.50", 10.0), ("9.00", 9.0), ("-", ""), ("-", ""), ("+2", 2.0)]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("9.5 (8.0 to 11.0)", 9.5), ("2 of 10", 2.0), ("+1.20 to +3.40", 1.2), ("-", ""), ("7 %", 7.0),
     ("2026-01-02", "2026-01-02"), ("3d", "3d"), ("-0.5 to 1", -0.5)],
)  # fmt: skip
def test_cells_that_begin_with_a_number_are_sorted_by_it(cell, value):
    ((shown,),) = Table("t", ["v"], [[cell]]).cells()
    assert shown == (cell, value)


def test_spread_is_of_the_finite_values_with_the_sample_deviation():
    assert Spread.of([1.0, 3.0, math.nan]) == Spread(2.0, math.sqrt(2))
    assert Spread.of([4.0]) == Spread(4.0) and Spread.of([]) is None
    assert math.isnan(Spread.of([math.inf, math.nan]).mean)


def test_values_that_are_not_finite_become_gaps_that_json_can_hold():
    page = Page(render_report(Report("r", [line_chart(ys=[1.0, math.nan, math.inf, None, 2.5])])))
    assert json.loads(page.data)["charts"][0]["series"][0]["y"] == [1.0, None, None, None, 2.5]


def test_every_chart_has_its_figures_as_a_table():
    page = Page(render_report(Report("r", [line_chart("loss", [3.0, 9.0, 0.5])])))
    text = " ".join(" ".join(page.text).split())
    assert "points first last lowest highest" in text and "loss 3 3 0.5 0.5 9" in text


def test_line_of_one_name_looks_alike_in_all_charts_of_a_section():
    charts = [
        Chart(title, [Series(name, [0], [1.0]) for name in names], "x", "y")
        for title, names in (("p", "abc"), ("q", "cb"))
    ]
    page = Page(render_report(Report("r", [Charts("k", charts)])))
    first, second = (chart["series"] for chart in json.loads(page.data)["charts"])
    assert [line["place"] for line in first] == [0, 1, 2]
    assert [(line["name"], line["place"]) for line in second] == [("c", 2), ("b", 1)]


def test_what_is_noted_of_a_line_stands_in_the_legend_and_changes_nothing_else():
    charts = [
        Chart("p", [Series("easy", [0], [1.0], note=f"AP {ap}")], "x", "y") for ap in (41, 52)
    ]
    page = Page(render_report(Report("r", [Charts("k", charts)])))
    lines = [chart["series"][0] for chart in json.loads(page.data)["charts"]]
    assert [line["name"] for line in lines] == ["easy (AP 41)", "easy (AP 52)"]
    assert [line["place"] for line in lines] == [0, 0]


def test_line_of_few_points_shows_each():
    modes = []
    for number in (1, 100):
        page = Page(render_report(Report("r", [line_chart(ys=[1.0] * number)])))
        modes.append(json.loads(page.data)["charts"][0]["mode"])
    assert modes == ["lines+markers", "lines"]


def test_large_picture_is_shrunk_and_what_is_none_is_one_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1601, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    page = render_report(Report("r", [Pictures("p", [tmp_path / "a.png", tmp_path / "none.png"])]))
    assert "data:image/jpeg" in page and "none.png" not in page
    assert len(page) < (tmp_path / "a.png").stat().st_size
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(FormatError, match="b.png: is no picture"):
        render_report(Report("r", [Pictures("p", [tmp_path / "b.png"])]))


@pytest.mark.parametrize("kind", ["RGBA", "P", "LA"])
def test_large_picture_with_gaps_stands_on_white(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1601, 4), dtype=np.uint8)
    noise[:, :, 3], noise[:300, :400] = 255, 0
    picture = Image.fromarray(noise)
    picture = picture.quantize(250) if kind == "P" else picture.convert(kind)
    picture.save(tmp_path / "a.png")
    page = render_report(Report("r", [Pictures("p", [tmp_path / "a.png"])]))
    data = base64.b64decode(page.split("data:image/jpeg;base64,")[1].split('"')[0])
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert shown[20:200, 20:300].min() > 250 and shown[400:, 600:].mean() < 200


def luminance(color: str) -> float:
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize(
    ("ground", "colors"), [(BACKGROUND, SERIES_ON_DARK), ("#FFFFFF", SERIES_ON_LIGHT)]
)
def test_lines_stand_out_three_to_one_on_both_grounds(ground, colors):
    for color in colors:
        low, high = sorted([luminance(color), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) >= 3, color


@needs_browser
def test_browser_draws_lines_sorts_tables_and_shows_an_attack_as_text(tmp_path):
    rows = [["a", 2.0], ["b", 10.0], ["c", None], ["d", Spread(1.0, 0.1)]]
    chart = Chart("c", [Series(ATTACK, [0, 1, 2], [1, 4, 2], [0.1, 0.2, 0.1])], "x", "y")
    page = render_report(Report("r", [Table("t", ["n", "v"], rows), Charts("k", [chart])]))
    script = """
      const press = () => document.querySelectorAll("th button")[1].click();
      const order = () => [...document.querySelectorAll("table.sortable tbody tr")]
        .map((row) => row.cells[0].textContent).join("");
      press(); const up = order(); press();
      document.body.dataset.orders = up + "," + order();
    """
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    dom, log = dump(tmp_path / "report.html", script)
    assert 'data-ready="yes"' in dom and not ERROR.search(log), ERROR.findall(log)
    assert 'data-orders="dabc,badc"' in dom  # what is missing stays last
    assert 'aria-sort="descending"' in dom
    assert dom.count('class="js-line"') == 2 and "<img" not in dom.split("<main>")[1]


@needs_browser
def test_names_that_look_like_numbers_are_no_numbers_and_keep_their_order(tmp_path):
    lines = [Series("runs", ["16", "4"], [1, 4]), Series("mean", ["2", "16", "4"], [3, 1, 4])]
    page = render_report(Report("r", [Charts("k", [Chart("c", lines, "", "y")])]))
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    said = title_after(tmp_path / "report.html", """
      const timer = setInterval(() => {
        if (document.documentElement.dataset.ready !== 'yes') return;
        clearInterval(timer);
        const { xaxis } = document.querySelector('.chart')._fullLayout;
        document.title = xaxis.type + ' ' + xaxis._categories.join();
      }, 50);
    """)  # fmt: skip
    assert said == "category 2,16,4"


@needs_browser
def test_long_names_keep_their_column_and_many_lines_their_axis(tmp_path):
    head = ["variant", *(f"a figure with a long name {n}" for n in range(11))]
    table = Table("t", head, [["a_name_without_a_blank_" * 4, *range(11)]])
    lines = [Series(f"degraded_loss_number_{n}", [0, 1, 2], [n, 4, 2]) for n in range(13)]
    charts = Charts("k", [Chart("c", lines, "iteration", "loss")])
    (tmp_path / "r.html").write_text(render_report(Report("r", [table, charts])), encoding="utf-8")
    said = title_after(tmp_path / "r.html", """
      const timer = setInterval(() => {
        if (document.documentElement.dataset.ready !== 'yes') return;
        clearInterval(timer);
        const box = (selector) => document.querySelector(selector).getBoundingClientRect();
        const plot = box('.nsewdrag'), legend = box('.legend'), chart = box('.chart');
        document.title = [box('tbody td').width, legend.top - box('.xtitle').bottom,
          chart.bottom - legend.bottom, plot.height].map(Math.round).join();
      }, 50);
    """)  # fmt: skip
    name, gap, below, plot = map(int, said.split(","))
    assert name > 150 and gap >= 0 and below >= -2 and plot > 150
