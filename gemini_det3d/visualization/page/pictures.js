// Two pictures of a frame laid over each other, with an edge that is dragged.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const titles = [...new Set(data.frames.flatMap((frame) => frame.pictures.map((p) => p.title)))];
  const predicted = titles.find((title) => title.startsWith("prediction"));
  const state = { frame: 0, left: titles[0],
    right: predicted || titles.find((title) => title.startsWith("truth")) || titles.at(-1) };

  function make(parent, tag, attributes = {}, text = null) {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    if (text !== null) node.textContent = text;
    parent.appendChild(node);
    return node;
  }

  const pictureOf = (title) => data.frames[state.frame].pictures.find((p) => p.title === title);

  // The whole picture keeps its shape inside the height there is.
  function fit(picture) {
    const host = $("compare"), shape = picture.width / picture.height;
    const width = Math.min(host.parentElement.clientWidth, 0.7 * innerHeight * shape);
    host.style.width = $("split").style.width = `${width}px`; // the slider's edge is the picture's
    host.style.height = `${width / shape}px`;
  }

  function drawPair() {
    for (const [side, node] of [["left", $("over")], ["right", $("under")]]) {
      const picture = pictureOf(state[side]);
      node.hidden = !picture;
      if (picture) { node.src = picture.uri; node.alt = picture.title; fit(picture); }
      $(side).value = state[side];
    }
    const share = Number($("split").value);
    $("over").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    $("edge").style.left = `${share}%`;
    document.querySelectorAll("#thumbs button").forEach((button) =>
      button.setAttribute("aria-pressed", [state.left, state.right].includes(button.dataset.title)));
  }

  function drawThumbs() {
    const host = $("thumbs");
    host.replaceChildren();
    data.frames[state.frame].pictures.forEach(({ title, uri }) => {
      const button = make(host, "button", { title: "Show on the right; with Shift on the left" });
      button.dataset.title = title;
      make(button, "img", { src: uri, alt: "" });
      make(button, "span", {}, title);
      button.addEventListener("click", (event) => {
        state[event.shiftKey ? "left" : "right"] = title;
        drawPair();
      });
    });
  }

  function drawTable() {
    const table = $("rows");
    table.tHead.replaceChildren();
    table.tBodies[0].replaceChildren();
    const head = make(table.tHead, "tr");
    data.columns.forEach((text) => make(head, "th", {}, text));
    data.frames[state.frame].rows.forEach((cells) => {
      const row = make(table.tBodies[0], "tr");
      cells.forEach((text, n) => {
        const cell = make(row, "td");
        const color = n === 0 && Object.hasOwn(data.swatches, text) && data.swatches[text];
        if (color) make(cell, "span", { class: "swatch", style: `background:${color}` });
        cell.append(text);
      });
    });
    table.hidden = !data.frames[state.frame].rows.length;
    table.parentElement.hidden = table.hidden && !data.frames[state.frame].summary;
  }

  function order() {
    const all = [...data.frames.keys()];
    if ($("order").value === "all") return all;
    return all.sort((a, b) => data.frames[b].error - data.frames[a].error);
  }

  function draw() {
    const list = order(), frame = data.frames[state.frame];
    $("frame").value = state.frame;
    $("position").textContent = `${list.indexOf(state.frame) + 1} of ${list.length}`;
    $("summary").textContent = frame.summary;
    $("notes").textContent = data.notes.join(". ");
    drawTable(); // first: it leaves the pictures their width
    drawThumbs();
    drawPair();
  }

  function step(by) {
    const list = order();
    state.frame = list[(list.indexOf(state.frame) + by + list.length) % list.length];
    draw();
  }

  function swap() {
    [state.left, state.right] = [state.right, state.left];
    drawPair();
  }

  const KEYS = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), x: swap };
  data.frames.forEach((frame, index) => make($("frame"), "option", { value: index }, frame.name));
  for (const side of ["left", "right"]) {
    titles.forEach((title) => make($(side), "option", { value: title }, title));
    $(side).addEventListener("change", () => { state[side] = $(side).value; drawPair(); });
  }
  $("order-label").hidden = data.frames.some((frame) => frame.error === null);
  $("order").addEventListener("change", () => { state.frame = order()[0]; draw(); });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("swap").addEventListener("click", swap);
  $("frame").addEventListener("change", () => { state.frame = Number($("frame").value); draw(); });
  $("split").addEventListener("input", drawPair);
  const drag = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const { left, width } = $("compare").getBoundingClientRect();
    $("split").value = 100 * (event.clientX - left) / width;
    drawPair();
  };
  for (const kind of ["pointerdown", "pointermove"]) $("compare").addEventListener(kind, drag);
  document.querySelectorAll("#compare img").forEach((node) => { node.draggable = false; });
  addEventListener("resize", drawPair);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.altKey || event.metaKey) return;
    if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
  });
  draw();
  document.body.dataset.ready = "yes";
})();
