"""The cloud is drawn coarsely while it moves where that is too slow, and sharply at rest."""

import json

import numpy as np
import pytest
from browser import needs_browser, title_after
from street_frame import CAM2IMG, IMAGE, LIDAR2CAM, LIDAR2IMG, frame

from gemini_det3d.visualization.page import Camera, frame_data, render_page

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


def after(folder, script: str, *frames):
    """What the script's `said` holds at the end."""
    page = folder / "view.html"
    data = [frame_data(each) for each in frames or [frame(results=())]]
    page.write_text(render_page(data, (), "t"), encoding="utf-8")
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


# Looks to the left, from where it stands.
TO_LEFT = CAM2IMG @ np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
SAY = """
  const seen = () => cloud.controls.target.clone().sub(cloud.camera.position).normalize().toArray();
  const pressed = () => [...document.querySelectorAll('[data-view][aria-pressed=true]')]
    .map((button) => button.dataset.view);
"""


@needs_browser
def test_cloud_and_camera_s_view_look_ahead_where_the_front_camera_is_not_the_first(tmp_path):
    cameras = [Camera(IMAGE, TO_LEFT, "left"), Camera(IMAGE, LIDAR2IMG, "front")]
    said = after(tmp_path, SAY + """
      const said = []; for (const key of ['o', 't', 'c']) { press(key); said.push(seen()); }
    """, frame(results=(), cameras=cameras, front=1))  # fmt: skip
    for x, y, _ in said:
        assert x > 0 and abs(y) < 0.05 * x


@needs_browser
def test_camera_s_view_goes_on_to_the_next_frame_s_camera(tmp_path):
    frames = [frame(results=(), cameras=[Camera(IMAGE, matrix)]) for matrix in (LIDAR2IMG, TO_LEFT)]
    first, second, back = after(tmp_path, SAY + """
      press('c'); const said = [seen()]; press('ArrowRight'); said.push(seen());
      press('ArrowLeft'); said.push(seen());
    """, *frames)  # fmt: skip
    assert first[0] > 0.9 and second[1] > 0.9 and back == pytest.approx(first)


@needs_browser
def test_cloud_turned_by_hand_is_no_button_s_view_and_stays_from_frame_to_frame(tmp_path):
    said = after(tmp_path, SAY + """
      press('c'); const said = [pressed()]; right(); said.push(pressed());
      const turned = seen(); press('ArrowRight'); said.push(seen().join() === turned.join());
      press('c'); said.push(pressed());
      canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: 5, bubbles: true, cancelable: true }));
      said.push(pressed());
    """, frame(results=()), frame(results=()))  # fmt: skip
    assert said == [["camera"], [], True, ["camera"], []]


@needs_browser
def test_camera_s_view_holds_the_whole_image_in_a_cloud_of_any_shape(tmp_path):
    wide, narrow, overview = after(tmp_path, """
      const said = [], host = canvas.parentElement;
      const share = () => Math.tan(cloud.camera.fov * Math.PI / 360) * cloud.camera.aspect;
      const shape = (width, height) => { host.style.width = `${width}px`;
        host.style.height = host.style.minHeight = `${height}px`; cloud.resize(); };
      shape(600, 200); press('c'); said.push(cloud.camera.fov);
      shape(200, 400); said.push(share());
      press('o'); said.push(cloud.camera.fov);
    """)  # fmt: skip
    pose = Camera(IMAGE, LIDAR2IMG).pose()["fov_deg"][0]
    assert wide == pytest.approx(pose) and overview == pytest.approx(50)
    assert narrow == pytest.approx(np.tan(np.radians(pose / 2)) * 121 / 73)


@needs_browser
def test_enlarging_an_image_keeps_what_is_lit_and_the_focus(tmp_path):
    cameras = [Camera(IMAGE, LIDAR2IMG, "a"), Camera(IMAGE, CAM2IMG @ LIDAR2CAM, "b")]
    said = after(tmp_path, """
      const lit = () => document.querySelectorAll('#images .lit').length;
      const large = () => [...document.querySelectorAll('figure')].map((f) => f.className);
      document.querySelector('#boxes tbody tr').click();
      const button = document.querySelectorAll('figcaption button')[1], said = [lit()];
      const say = () => said.push([lit(), document.activeElement === button, large(),
        button.getAttribute('aria-pressed')]);
      button.focus(); button.click(); say(); button.click(); say();
    """, frame(results=(), cameras=cameras))  # fmt: skip
    assert said == [2, [2, True, ["", "large"], "true"], [2, True, ["", ""], "false"]]


@needs_browser
def test_keys_work_after_a_box_was_ticked_and_belong_to_a_slider_while_it_has_the_focus(tmp_path):
    said = after(tmp_path, """
      const key = (node) => { node.focus();
        node.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
        return document.getElementById('frame').value; };
      const said = [key(document.querySelector('#classes input')),
        key(document.getElementById('score')), key(document.getElementById('color'))];
    """, frame(results=()), frame(results=()), frame(results=()))  # fmt: skip
    assert said == ["1", "1", "1"]
