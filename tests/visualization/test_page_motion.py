"""The cloud is drawn coarsely while it moves where that is too slow, and sharply at rest."""

import json

import pytest
from browser import needs_browser, title_after
from street_frame import frame

from gemini_det3d.visualization.page import frame_data, render_page

# Frames of the screen come when the test says so.
CLOCK = """
  const cloud = View.shownCloud, canvas = cloud.canvas, waiting = [];
  window.requestAnimationFrame = (done) => waiting.push(done);
  cloud.isWaiting = false;
  let now = 1000;
  const frames = (count, ms, act = () => {}) => {
    for (let i = 0; i < count; i++) {
      act(); now += ms; waiting.splice(0).forEach((done) => done(now));
    }
  };
  const right = () => press('ArrowRight', { shiftKey: true });
  const full = canvas.width;
"""


def after(folder, script: str):
    """What the script's `said` holds at the end."""
    page = folder / "view.html"
    page.write_text(render_page([frame_data(frame(results=()))], (), "t"), encoding="utf-8")
    return json.loads(title_after(page, CLOCK + script + "document.title = JSON.stringify(said);"))


@needs_browser
def test_slow_frames_lower_the_pixels_while_the_cloud_moves_and_rest_restores_them(tmp_path):
    said = after(tmp_path, """
      const { geometry } = cloud;
      const counts = () => [canvas.width / full, geometry.index ? geometry.drawRange.count : 1009];
      const said = [counts()];
      frames(40, 80, right); said.push(counts());
      frames(4, 80); said.push(counts());
    """)  # fmt: skip
    before, moving, rest = said
    assert before == rest == [1, 1009]
    assert moving[0] < 0.4 and moving[1] < 200


@needs_browser
def test_quick_frames_change_nothing(tmp_path):
    assert after(tmp_path, """
      const said = [];
      frames(40, 17, () => { right(); said.push(canvas.width / full); });
    """) == [1] * 40  # fmt: skip


@needs_browser
def test_picture_at_rest_is_that_of_a_cloud_that_was_never_coarse(tmp_path):
    slow, quick = (after(tmp_path, f"""
      const said = []; let least = 1;
      frames(40, {ms}, () => {{ right(); least = Math.min(least, canvas.width / full); }});
      frames(4, 80); cloud.render();
      said.push(least, canvas.toDataURL());
    """) for ms in (80, 17))  # fmt: skip
    assert slow[0] < 0.5 and quick[0] == 1
    assert slow[1] == quick[1] and len(slow[1]) > 5000


@needs_browser
def test_pointer_meets_the_same_box_while_the_cloud_is_coarse(tmp_path):
    sharp, coarse, beside = after(tmp_path, """
      const meet = (dx) => {
        const at = cloud.boxes[0].corners.map((corner) => new THREE.Vector3(...corner))
          .reduce((sum, corner) => sum.add(corner)).divideScalar(8).project(cloud.camera);
        const { left, top, width, height } = canvas.getBoundingClientRect();
        canvas.dispatchEvent(new PointerEvent('click', {
          clientX: left + width * (1 + at.x) / 2 + dx, clientY: top + height * (1 - at.y) / 2 }));
        const rows = [...document.querySelectorAll('#boxes tbody tr')];
        return rows.map((row) => row.matches('.lit'));
      };
      cloud.render(); const said = [meet(0)];
      frames(40, 80, right); said.push(meet(0), meet(300));
    """)  # fmt: skip
    assert sharp == coarse == [True, False] and beside == [False, False]


@needs_browser
def test_pace_gets_finer_again_after_a_while_and_takes_longer_each_time(tmp_path):
    levels = after(tmp_path, """
      const pace = new View.Pace(), said = [];
      const note = (count, ms) => {
        for (let i = 0; i < count; i++) pace.note(ms);
        said.push(pace.level);
      };
      note(5, 50); note(39, 17); note(1, 17); note(5, 50); note(79, 17); note(1, 17);
      note(9, 5000);
    """)  # fmt: skip
    assert levels == [1, 1, 0, 1, 1, 0, 0]


@needs_browser
def test_keys_turn_the_cloud_and_come_nearer(tmp_path):
    said = after(tmp_path, """
      const { position } = cloud.camera, { target } = cloud.controls, said = [];
      const say = () => {
        const { x, y, z } = position.clone().sub(target), far = Math.hypot(x, y, z);
        said.push([...[Math.atan2(y, x), Math.asin(z / far)].map((a) => a * 180 / Math.PI), far]);
      };
      say(); right(); say(); press('ArrowUp', { shiftKey: true }); say(); press('+'); say();
      for (let i = 0; i < 60; i++) press('ArrowDown', { shiftKey: true }); say();
    """)  # fmt: skip
    start, turned, raised, near, lowest = said
    assert (turned[0] - start[0]) % 360 == pytest.approx(5)
    assert raised[1] - turned[1] == pytest.approx(5)
    assert near[2] / raised[2] == pytest.approx(0.9)
    assert lowest[1] == pytest.approx(-90, abs=1) and lowest[2] == pytest.approx(near[2])
