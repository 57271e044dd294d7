// Draws the frames of the page: cloud by plotly, image as SVG, both linked with the table.
// All geometry comes from Python. Names are written with textContent, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg"; // a name that is never loaded
  const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4],
    [0, 4], [1, 5], [2, 6], [3, 7], [0, 7], [3, 4]]; // the last two cross the front
  const DASHES = ["dash", "solid", "dot", "dashdot", "longdash"]; // by set; truth is dashed
  const SVG_DASHES = ["7 5", "", "2 5", "9 4 2 4", "14 5"];
  const state = {
    frame: 0, lit: null, view: "orbit", hover: false,
    sets: new Set(data.sets.keys()), classes: new Set(Object.keys(data.classes)),
  };
  let shown = []; // boxes of the frame that are shown, with their verdicts

  // ---- data --------------------------------------------------------------------------------
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  const decoded = { frame: -1 };
  function points(index) {
    if (decoded.frame === index) return decoded;
    const from = data.frames[index].points;
    const grid = new DataView(bytes(from.xyz).buffer);
    const axes = [0, 1, 2].map((axis) => {
      const values = new Float32Array(from.shown);
      for (let i = 0; i < from.shown; i++) {
        values[i] = from.origin[axis] + from.step * grid.getInt16(2 * (3 * i + axis), true);
      }
      return values;
    });
    Object.assign(decoded, { frame: index, axes,
      intensity: from.intensity && Array.from(bytes(from.intensity)),
      colors: from.colors && bytes(from.colors) });
    return decoded;
  }

  const sameClass = (a, b) => a.name.toLowerCase() === b.name.toLowerCase();
  const isShown = (box) => state.sets.has(box.set) && state.classes.has(box.name) &&
    (box.score === null || box.score >= Number($("score").value));

  // One detection for each labelled box, the best scores first, as evaluations do.
  function judge(index) {
    const frame = data.frames[index];
    const threshold = Number($("overlap").value);
    const truth = frame.boxes.filter((box) => box.set === 0);
    const verdicts = new Map(frame.boxes.map((box) => [box, ""]));
    const found = data.sets.map(() => new Set());
    data.sets.forEach((_, set) => {
      if (set === 0 || !frame.has_truth || !state.sets.has(set)) return;
      const boxes = frame.boxes.filter((box) => box.set === set && isShown(box));
      for (const box of boxes.sort((a, b) => b.score - a.score)) {
        const hit = box.overlaps.find(([t, iou]) => iou >= threshold &&
          sameClass(truth[t], box) && !found[set].has(t));
        if (hit) found[set].add(hit[0]);
        verdicts.set(box, hit ? "found" : "false positive");
      }
    });
    const sets = [...state.sets].filter((set) => set > 0);
    const wanted = [...truth.keys()].filter((t) => state.classes.has(truth[t].name));
    wanted.forEach((t) => {
      const missing = sets.filter((set) => !found[set].has(t)).map((set) => data.sets[set]);
      if (missing.length) verdicts.set(truth[t], "missed by " + missing.join(", "));
    });
    const count = (set) => wanted.filter((t) => found[set].has(t)).length;
    return { verdicts, sets, wanted: wanted.length, found: count,
      missed: sets.some((set) => count(set) < wanted.length),
      false: [...verdicts.values()].includes("false positive"),
      differ: wanted.some((t) => new Set(sets.map((set) => found[set].has(t))).size > 1) };
  }

  function matching() {
    const kind = $("filter").value;
    const all = [...data.frames.keys()];
    return kind === "all" ? all : all.filter((index) => judge(index)[kind]);
  }

  // ---- cloud -------------------------------------------------------------------------------
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const boxColor = (box) => (box.set === 0 ? style("--truth") : data.classes[box.name]);

  function pointTrace() {
    const { axes: [x, y, z], intensity, colors } = points(state.frame);
    const kind = $("color").value;
    const marker = { size: 1.2, colorscale: "Cividis", color: z, cmin: -2, cmax: 3 };
    const low = Array.from(z).sort((a, b) => a - b);
    if (low.length) {
      marker.cmin = low[Math.floor(0.02 * low.length)];
      marker.cmax = low[Math.floor(0.98 * (low.length - 1))];
    }
    if (kind === "intensity" && intensity) {
      Object.assign(marker, { color: intensity, cmin: 0, cmax: 255 });
    }
    if (kind === "camera" && colors) {
      marker.color = Array.from(x, (_, i) =>
        `rgb(${colors[3 * i]},${colors[3 * i + 1]},${colors[3 * i + 2]})`);
    }
    return { type: "scatter3d", mode: "markers", x, y, z, marker, hoverinfo: "skip" };
  }

  function lineTrace(boxes, color, width, dash) {
    const trace = { type: "scatter3d", mode: "lines", x: [], y: [], z: [], customdata: [],
      line: { color, width, dash }, hoverinfo: "none", connectgaps: false };
    boxes.forEach((box) => EDGES.forEach(([a, b]) => {
      for (const corner of [a, b, null]) {
        [trace.x, trace.y, trace.z].forEach((values, axis) =>
          values.push(corner === null ? null : box.corners[corner][axis]));
        trace.customdata.push(shown.indexOf(box));
      }
    }));
    return trace;
  }

  function handles() {
    const center = (axis) => shown.map((box) =>
      box.corners.reduce((sum, corner) => sum + corner[axis], 0) / 8);
    return { type: "scatter3d", mode: "markers", x: center(0), y: center(1), z: center(2),
      customdata: shown.map((_, i) => i), hoverinfo: "none",
      marker: { size: 5, symbol: "diamond", color: shown.map(boxColor) } };
  }

  function traces() {
    const groups = new Map();
    shown.forEach((box) => {
      const key = `${box.set}|${box.set === 0 ? "" : box.name}`;
      groups.set(key, [...(groups.get(key) || []), box]);
    });
    const lines = [...groups.values()].map((boxes) => lineTrace(
      boxes, boxColor(boxes[0]), 4, DASHES[boxes[0].set % DASHES.length]));
    const lit = state.lit === null ? [] : [shown[state.lit]];
    return [pointTrace(), ...lines, handles(), lineTrace(lit, style("--lit"), 9, "solid")];
  }

  function extent() {
    const { axes } = points(state.frame);
    return axes.map((values, axis) => {
      let low = Infinity, high = -Infinity;
      const reach = (value) => { low = Math.min(low, value); high = Math.max(high, value); };
      values.forEach(reach);
      shown.forEach((box) => box.corners.forEach((corner) => reach(corner[axis])));
      return low > high ? [-1, 1] : [low - 0.5, high + 0.5];
    });
  }

  // plotly's scene has its origin at the middle of the axes; one unit is `scale` metres.
  function camera(ranges, scale) {
    const place = (point) => Object.fromEntries(["x", "y", "z"].map((name, axis) =>
      [name, (point[axis] - (ranges[axis][0] + ranges[axis][1]) / 2) / scale]));
    const real = data.frames[state.frame].camera;
    if (state.view === "camera" && real) {
      const ahead = real.position.map((value, axis) => value + 15 * real.forward[axis]);
      return { eye: place(real.position), center: place(ahead), up: { x: 0, y: 0, z: 1 } };
    }
    if (state.view === "top") {
      return { eye: { x: -0.001, y: 0, z: 1.9 }, center: { x: 0, y: 0, z: 0 }, up: { x: 1, y: 0, z: 0 } };
    }
    return { eye: place([-9, 0, 9]), center: place([14, 0, -2]), up: { x: 0, y: 0, z: 1 } };
  }

  function layout() {
    const ranges = extent();
    const spans = ranges.map(([low, high]) => high - low);
    const scale = Math.max(...spans) / 2;
    const axis = (index, title) => ({ range: ranges[index], title: { text: title },
      color: style("--text"), gridcolor: style("--line"), zerolinecolor: style("--line"),
      showbackground: false, showspikes: false });
    return { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false,
      paper_bgcolor: style("--ground"), uirevision: `${state.frame}|${state.view}`,
      scene: { xaxis: axis(0, "x (m)"), yaxis: axis(1, "y (m)"), zaxis: axis(2, "z (m)"),
        aspectmode: "manual", aspectratio: { x: spans[0] / scale, y: spans[1] / scale, z: spans[2] / scale },
        camera: camera(ranges, scale), dragmode: "turntable" } };
  }

  function drawCloud() {
    const config = { displaylogo: false, responsive: true, displayModeBar: false };
    return Plotly.react($("cloud"), traces(), layout(), config);
  }

  // ---- image and table -----------------------------------------------------------------------
  function make(parent, tag, attributes = {}, text = null, space = null) {
    const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    if (text !== null) node.textContent = text;
    parent.appendChild(node);
    return node;
  }

  function listen(node, index) {
    node.dataset.box = index;
    node.addEventListener("mouseenter", () => light(index));
    node.addEventListener("click", () => light(index));
    node.addEventListener("focus", () => light(index));
  }

  function drawImage() {
    const image = data.frames[state.frame].image;
    const svg = $("image");
    svg.replaceChildren();
    svg.toggleAttribute("hidden", !image);
    if (!image) return;
    svg.setAttribute("viewBox", `-0.5 -0.5 ${image.width} ${image.height}`);
    make(svg, "image", { href: image.uri, x: -0.5, y: -0.5, width: image.width, height: image.height,
      preserveAspectRatio: "none" }, null, SVG);
    shown.forEach((box, index) => {
      const group = make(svg, "g", {}, null, SVG);
      const color = box.set === 0 ? "#ffffff" : data.classes[box.name];
      for (const kind of ["halo", "edge", "reach"]) {
        box.lines.forEach(([x1, y1, x2, y2]) => {
          const line = make(group, "line", { x1, y1, x2, y2, class: kind }, null, SVG);
          if (kind === "edge") {
            line.setAttribute("stroke", color);
            line.setAttribute("stroke-dasharray", SVG_DASHES[box.set % SVG_DASHES.length]);
          }
        });
      }
      listen(group, index);
    });
  }

  function bestOverlap(box) {
    const frame = data.frames[state.frame];
    if (box.set > 0) return frame.has_truth ? (box.overlaps[0] || [0, 0])[1].toFixed(2) : "–";
    const truth = frame.boxes.filter((other) => other.set === 0);
    const ious = shown.flatMap((other) => other.overlaps
      .filter(([t]) => truth[t] === box).map(([, iou]) => iou));
    return ious.length ? Math.max(...ious).toFixed(2) : "–";
  }

  function drawTable(verdicts) {
    const body = document.querySelector("#boxes tbody");
    body.replaceChildren();
    shown.forEach((box, index) => {
      const row = make(body, "tr", { tabindex: 0 });
      const first = make(row, "td");
      make(first, "span", { class: "swatch", style: `background:${boxColor(box)}` });
      first.append(data.sets[box.set]);
      [box.name, box.score === null ? "–" : box.score.toFixed(2), box.size.join(" × "),
        box.distance.toFixed(1), box.inside, bestOverlap(box), verdicts.get(box)]
        .forEach((text) => make(row, "td", {}, text));
      listen(row, index);
    });
  }

  function light(index) {
    if (state.lit === index) return;
    state.lit = index;
    document.querySelectorAll("[data-box]").forEach((node) =>
      node.classList.toggle("lit", Number(node.dataset.box) === index));
    const trace = lineTrace(index === null ? [] : [shown[index]], style("--lit"), 9, "solid");
    const { x, y, z, customdata } = trace;
    Plotly.restyle($("cloud"), { x: [x], y: [y], z: [z], customdata: [customdata] },
      [$("cloud").data.length - 1]);
  }

  // ---- the page ----------------------------------------------------------------------------
  function summary(verdict) {
    const frame = data.frames[state.frame];
    const lines = verdict.sets.map((set) => frame.missing.includes(set)
      ? `${data.sets[set]}: no result file of this frame`
      : frame.has_truth ? `${data.sets[set]}: finds ${verdict.found(set)} of ${verdict.wanted}` : "");
    if (!frame.has_truth) lines.push("no labels");
    if (!frame.image) lines.push("no image");
    if (!frame.camera) lines.push("no calibration");
    $("summary").textContent = lines.filter(Boolean).join(" · ");
    const { shown: count, total, far } = frame.points;
    const notes = [`${count.toLocaleString("en")} of ${total.toLocaleString("en")} points shown` +
      (far ? ` (${far} lie beyond 300 m)` : "") + "; points inside a box are counted before", ...data.notes];
    $("notes").textContent = notes.join(". ") + ".";
  }

  function draw() {
    const verdict = judge(state.frame);
    const list = matching();
    shown = data.frames[state.frame].boxes.filter(isShown);
    state.lit = null;
    $("score-value").textContent = Number($("score").value).toFixed(2);
    $("frame").value = state.frame;
    const place = list.indexOf(state.frame);
    $("position").textContent = list.length
      ? `${place < 0 ? "–" : place + 1} of ${list.length}` : "no such frame";
    drawImage();
    drawTable(verdict.verdicts);
    summary(verdict);
    return drawCloud();
  }

  function step(by) {
    const list = matching();
    if (!list.length) return;
    const later = list.findIndex((index) => index >= state.frame);
    const here = list.indexOf(state.frame);
    const from = here >= 0 ? here + by : by > 0 ? later : (later < 0 ? list.length : later) - 1;
    state.frame = list[(from + list.length) % list.length];
    draw();
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
        draw();
      });
    });
  }

  const KEYS = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), o: () => look("orbit"),
    t: () => look("top"), c: () => look("camera"), Escape: () => light(null) };
  function look(view) { state.view = view; drawCloud(); }

  data.frames.forEach((frame, index) => make($("frame"), "option", { value: index }, frame.name));
  toggles("sets", data.sets.map((name, set) => [set, name]), state.sets);
  toggles("classes", Object.entries(data.classes).map(([n, color]) => [n, n, color]), state.classes);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("frame").addEventListener("change", () => { state.frame = Number($("frame").value); draw(); });
  ["score", "overlap"].forEach((id) => $(id).addEventListener("input", draw));
  $("color").addEventListener("change", drawCloud);
  $("filter").addEventListener("change", () =>
    (matching().includes(state.frame) ? draw() : (step(1), draw())));
  document.querySelectorAll("[data-view]").forEach((button) =>
    button.addEventListener("click", () => look(button.dataset.view)));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.altKey || event.metaKey) return;
    if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", draw);
  draw().then(() => {
    const pick = (event) => {
      const index = event.points[0] && event.points[0].customdata;
      if (index !== undefined && index !== null) light(index);
    };
    $("cloud").on("plotly_hover", pick);
    $("cloud").on("plotly_click", pick);
    document.body.dataset.ready = "yes";
  });
})();
