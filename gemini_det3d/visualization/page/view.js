// State, controls and table of the page. Names are written with textContent, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const { make } = View;
  const state = {
    frame: 0, lit: null, view: "orbit", color: "height", large: null, score: 0.3, overlap: 0.5,
    sets: new Set(data.sets.keys()), classes: new Set(Object.keys(data.classes)),
  };
  document.body.classList.toggle("labels-only", data.sets.length < 2); // nothing to find or to score
  document.body.classList.toggle("no-boxes", data.frames.every((frame) => !frame.boxes.length));
  let shown = []; // boxes of the frame that are shown
  const frameNow = () => data.frames[state.frame];
  // The truth is white beside results; alone it shows its classes.
  const isWhite = (box) => box.set === 0 && data.sets.length > 1;
  const onDark = (box) => (isWhite(box) ? "#ffffff" : data.classes[box.name]);

  let cloud = null;
  try {
    cloud = new View.Cloud(document.querySelector("#cloud canvas"), (index, isClick) => {
      if (index !== null || isClick) light(index);
    }, () => press(null));
    View.shownCloud = cloud;
  } catch (error) {
    $("legend").textContent = "This browser has no WebGL: the cloud cannot be drawn.";
  }

  // ---- cloud -------------------------------------------------------------------------------
  function drawPoints() {
    const frame = frameNow(), select = $("color");
    const kinds = Object.entries(View.COLORINGS).filter(([, c]) => !c.has || c.has(frame.points));
    select.replaceChildren();
    kinds.forEach(([key, { title }]) => make(select, "option", { value: key }, title));
    const kind = kinds.some(([key]) => key === state.color) ? state.color : "height";
    select.value = kind;
    if (!cloud) return;
    const legend = cloud.setPoints(frame, kind, data.classes);
    const host = $("legend");
    host.replaceChildren();
    if (legend.ends) {
      host.append(`${View.COLORINGS[kind].title} ${legend.ends[0]}`);
      make(host, "span", { class: "ramp", style: `background:linear-gradient(90deg,${View.RAMP})` });
      host.append(legend.ends[1] + " · ");
    }
    host.append((legend.text ? legend.text + " · " : "") + `rings every ${cloud.ringStep} m`);
  }

  // null: turned by hand, as no button shows it.
  function press(view) {
    state.view = view;
    document.querySelectorAll("[data-view]").forEach((button) =>
      button.setAttribute("aria-pressed", button.dataset.view === view));
  }

  function look(view) {
    press(view);
    const { cameras, front } = frameNow();
    const chosen = cameras[state.large ?? front];
    const pose = chosen && chosen.pose && { ...chosen.pose, aspect: chosen.width / chosen.height };
    const ahead = [cameras[front], ...cameras].find((camera) => camera && camera.pose);
    if (cloud) cloud.look(view, pose, ahead ? ahead.pose.forward : [1, 0, 0]);
  }

  // ---- boxes -------------------------------------------------------------------------------
  function listen(node, index) {
    node.dataset.box = index;
    for (const kind of ["mouseenter", "click", "focus"]) node.addEventListener(kind, () => light(index));
  }

  function light(index) {
    if (state.lit === index) return;
    state.lit = index;
    document.querySelectorAll("[data-box]").forEach((node) => {
      const isLit = node.classList.toggle("lit", Number(node.dataset.box) === index);
      if (node.matches("tr")) node.setAttribute("aria-current", isLit);
    });
    if (cloud) cloud.light(index);
  }

  function bestOverlap(box) {
    const best = (rows) => (rows && rows[0] ? rows[0][1] : 0);
    if (box.set > 0) return frameNow().has_truth ? best(box.overlaps[0]).toFixed(2) : "–";
    const number = View.boxesOf(frameNow(), 0).indexOf(box);
    const ious = shown.flatMap((other) => (other.set ? other.overlaps[0] || [] : [])
      .filter(([t]) => t === number).map(([, iou]) => iou));
    return ious.length ? Math.max(...ious).toFixed(2) : "–";
  }

  function drawTable(verdicts) {
    const body = document.querySelector("#boxes tbody");
    body.replaceChildren();
    shown.forEach((box, index) => {
      const row = make(body, "tr", { tabindex: 0 });
      const first = make(row, "td");
      make(first, "span", { class: "swatch", style: `background:${onDark(box)}` });
      first.append(data.sets[box.set]);
      [box.name, box.score === null ? "–" : box.score.toFixed(2), box.size.map((m) => m.toFixed(1)).join(" × "),
        box.distance.toFixed(1), box.inside, bestOverlap(box), verdicts.get(box)]
        .forEach((text) => make(row, "td", {}, text));
      listen(row, index);
    });
  }

  // ---- the page ----------------------------------------------------------------------------
  function summary(verdict) {
    const frame = frameNow();
    const lines = verdict.sets.map((set) => frame.missing.includes(set)
      ? `${data.sets[set]}: no result file of this frame`
      : frame.has_truth ? `${data.sets[set]}: finds ${verdict.found(set)} of ${verdict.wanted}` : "");
    if (!frame.has_truth) lines.push("no labels");
    if (!frame.cameras.length) lines.push("no image");
    else if (!frame.cameras.some((camera) => camera.pose)) lines.push("no calibration");
    if (verdict.sets.length > 1) lines.push(`result sets differ by ${verdict.difference} boxes`);
    $("summary").textContent = lines.filter(Boolean).join(" · ");
    const { shown: count, total, far } = frame.points;
    const cut = Object.entries(frame.cut).map(([set, all]) =>
      `${data.sets[set]}: ${View.boxesOf(frame, Number(set)).length} of ${all.toLocaleString("en")} boxes` +
      (Number(set) ? ", those that score best" : ", the nearest"));
    const notes = [...cut, `${count.toLocaleString("en")} of ${total.toLocaleString("en")} points shown` +
      (far ? ` (${far} lie beyond 300 m or nowhere)` : "") + "; points inside a box are counted before", ...data.notes];
    $("notes").textContent = notes.join(". ") + ".";
  }

  function drawImages() {
    View.drawImages($("images"), frameNow().cameras, shown, onDark, state.large, (n) => {
      state.large = n === state.large ? null : n;
      View.enlarge($("images"), state.large);
      if (state.large !== null || state.view === "camera") look("camera");
    }, listen);
  }

  // What sliders and toggles change; the points stay.
  function drawBoxes() {
    state.score = Number($("score").value);
    state.overlap = Number($("overlap").value);
    const verdict = View.judge(frameNow(), data.sets, state);
    const list = View.matching(data, $("filter").value, state);
    shown = frameNow().boxes.filter((box) => View.isShown(box, state));
    state.lit = null;
    $("score-value").textContent = state.score.toFixed(2);
    $("frame").value = state.frame;
    const place = list.indexOf(state.frame);
    $("position").textContent = list.length
      ? `${place < 0 ? "–" : place + 1} of ${list.length}` : "no such frame";
    drawImages();
    drawTable(verdict.verdicts);
    summary(verdict);
    if (cloud) cloud.setBoxes(shown, onDark);
  }

  function show(frame) {
    state.frame = frame;
    drawPoints();
    drawBoxes();
    if (state.view === "camera") look("camera"); // which moves from frame to frame
  }

  function step(by) {
    const list = View.matching(data, $("filter").value, state);
    if (!list.length) return drawBoxes();
    const here = list.indexOf(state.frame);
    const from = here >= 0 ? here + by : by > 0 ? 0 : list.length - 1;
    return show(list[(from + list.length) % list.length]);
  }

  function toggles(id, entries, chosen) {
    entries.forEach(([key, text, color]) => {
      const label = make($(id), "label");
      const box = make(label, "input", { type: "checkbox" });
      box.checked = true;
      if (color) make(label, "span", { class: "swatch", style: `background:${color}` });
      label.append(text);
      box.addEventListener("change", () => {
        if (box.checked) chosen.add(key); else chosen.delete(key);
        drawBoxes();
      });
    });
  }

  const KEYS = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), o: () => look("orbit"),
    t: () => look("top"), c: () => look("camera"), Escape: () => light(null) };
  const turn = (...by) => () => { if (cloud) cloud.turn(...by); };
  const TURNS = { ArrowLeft: turn(-1, 0, 0), ArrowRight: turn(1, 0, 0), ArrowUp: turn(0, 1, 0),
    ArrowDown: turn(0, -1, 0) }; // with Shift
  const ZOOMS = { "+": turn(0, 0, 1), "-": turn(0, 0, -1) }; // + may take Shift

  data.frames.forEach((frame, index) => make($("frame"), "option", { value: index }, frame.name));
  const scores = data.frames.flatMap((frame) => frame.boxes.map((box) => box.score ?? 0));
  $("score").min = scores.reduce((a, b) => Math.min(a, b), 0);
  $("score").max = scores.reduce((a, b) => Math.max(a, b), 1);
  toggles("sets", data.sets.map((name, set) => [set, name]), state.sets);
  toggles("classes", Object.entries(data.classes).map(([n, color]) => [n, n, color]), state.classes);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("frame").addEventListener("change", () => show(Number($("frame").value)));
  ["score", "overlap"].forEach((id) => $(id).addEventListener("input", drawBoxes));
  $("color").addEventListener("change", () => { state.color = $("color").value; drawPoints(); });
  $("filter").addEventListener("change", () => {
    const list = View.matching(data, $("filter").value, state);
    if (!list.length || list.includes(state.frame) && $("filter").value !== "biggest") drawBoxes();
    else show(list[0]);
  });
  document.querySelectorAll("[data-view]").forEach((button) =>
    button.addEventListener("click", () => look(button.dataset.view)));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=checkbox]), select") || event.ctrlKey || event.altKey || event.metaKey) return;
    const act = ZOOMS[event.key] || (event.shiftKey ? TURNS : KEYS)[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  // view.html#frame=000007&color=label&view=top opens at that.
  const wanted = new URLSearchParams(location.hash.slice(1));
  const first = data.frames.findIndex((frame) => frame.name === wanted.get("frame"));
  if (wanted.get("color") in View.COLORINGS) state.color = wanted.get("color");
  show(Math.max(first, 0));
  if (cloud) cloud.resize();
  look(["top", "camera"].includes(wanted.get("view")) ? wanted.get("view") : "orbit");
  if (cloud) cloud.render();
  document.body.dataset.ready = "yes";
})();
