"""Text of the pages reads on its ground (WCAG 2.2, AA), in the dark and in the light."""

import html
import json
from pathlib import Path

import numpy as np
import pytest
from browser import needs_browser, title_after
from street_frame import IMAGE, LIDAR2IMG, frame

from gemini_det3d.visualization.page import (
    Camera,
    Picture,
    PictureFrame,
    frame_data,
    picture_data,
    render_page,
    render_pictures,
)
from gemini_det3d.visualization.report import (
    Chart,
    Charts,
    Listing,
    Report,
    Series,
    Table,
    Text,
    render_report,
)

SCHEMES = {"dark": "--blink-settings=preferredColorScheme=0",
           "light": "--blink-settings=preferredColorScheme=1"}  # fmt: skip
MEASURE = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


def view_page() -> str:
    cameras = [Camera(IMAGE, LIDAR2IMG, "front"), Camera(IMAGE, None, "left")]
    data = frame_data(frame(cameras=cameras))
    return render_page([data], ["found"], "A street", ["a note"])


def pictures_page() -> str:
    grey = np.full((31, 41, 3), 128, np.uint8)
    pictures = [Picture("rgb", grey), Picture("truth", grey, True)]
    data = picture_data(PictureFrame("a", pictures, [["wall", "0.50"]], "mIoU 0.5", 0.5))
    return render_pictures([data], ["class", "IoU"], "Rooms", ["a note"], {"wall": "#444444"})


def report_page() -> str:
    lines = [Series(name, [1, 2], [2.0, 1.0]) for name in "ab"]
    chart = Chart("loss", lines, "x", "y")
    sections = [
        Text("Text", ["A line"], note="a note"),
        Table("Table", ["name", "AP"], [["a", 1.0], ["b", None]], note="a note"),
        Charts("Charts", [chart]),
        Listing("Config", ["+ added", "- removed", "same"], is_diff=True),
    ]
    return render_report(Report("A training", sections, ["a line"]))


@needs_browser
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", [view_page, pictures_page, report_page])
def test_text_and_focus_stand_out_from_their_ground(tmp_path, page, scheme):
    path = tmp_path / "page.html"
    path.write_text(page(), encoding="utf-8")
    script = f"""{MEASURE}
      const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
      document.title = JSON.stringify({{ isDark, ...contrasts() }});
    """
    measured = json.loads(html.unescape(title_after(path, script, SCHEMES[scheme])))
    assert measured["isDark"] == (scheme == "dark") and measured["count"] > 10
    assert measured["least"][0][0] >= 4.5, measured["least"]
    assert min(measured["focus"]) >= 3
