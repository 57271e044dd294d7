// Each camera's image with the projected boxes, as SVG.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg"; // a name that is never loaded
  const DASHES = ["7 5", "", "2 5", "9 4 2 4", "14 5"]; // by set; truth is dashed

  View.make = (parent, tag, attributes = {}, text = null, space = null) => {
    const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    if (text !== null) node.textContent = text;
    parent.appendChild(node);
    return node;
  };

  function extent(lines) {
    const xs = lines.flatMap(([x1, , x2]) => [x1, x2]), ys = lines.flatMap(([, y1, , y2]) => [y1, y2]);
    const x = Math.min(...xs), y = Math.min(...ys);
    return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
  }

  function drawBox(svg, box, lines, color, area) {
    const group = View.make(svg, "g", {}, null, SVG);
    View.make(group, "title", {}, `${box.name} ${box.score === null ? "" : box.score.toFixed(2)}`, SVG);
    View.make(group, "rect", { ...area, class: "area" }, null, SVG);
    const d = lines.map(([x1, y1, x2, y2]) => `M${x1} ${y1}L${x2} ${y2}`).join("");
    const edge = { stroke: color, "stroke-dasharray": DASHES[box.set % DASHES.length] };
    for (const kind of ["halo", "edge", "reach"]) {
      View.make(group, "path", { d, class: kind, ...(kind === "edge" ? edge : {}) }, null, SVG);
    }
    return group;
  }

  // Nothing is drawn anew: what is lit and what has the focus stay so. large: of an image, or null.
  View.enlarge = (host, large) => {
    [...host.children].forEach((figure, n) => {
      figure.classList.toggle("large", n === large);
      figure.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", n === large));
    });
  };

  // host: element to fill; onEnlarge(n): the title of image n was clicked; listen(node, n): of box n.
  View.drawImages = (host, cameras, boxes, color, large, onEnlarge, listen) => {
    host.replaceChildren();
    host.style.setProperty("--columns", cameras.length > 2 ? 3 : cameras.length || 1);
    cameras.forEach(({ name, uri, width, height }, n) => {
      const figure = View.make(host, "figure");
      const svg = View.make(figure, "svg", { role: "img", viewBox: `-0.5 -0.5 ${width} ${height}`,
        "aria-label": `${name} with projected boxes` }, null, SVG);
      View.make(svg, "image", { href: uri, x: -0.5, y: -0.5, width, height,
        preserveAspectRatio: "none" }, null, SVG);
      // The smallest last: a box can be pointed at anywhere within, and none hides behind a larger one.
      boxes.map((box, index) => ({ box, index, area: extent(box.lines[n]) }))
        .filter(({ box }) => box.lines[n].length)
        .sort((a, b) => b.area.width * b.area.height - a.area.width * a.area.height)
        .forEach(({ box, index, area }) =>
          listen(drawBox(svg, box, box.lines[n], color(box), area), index));
      if (cameras.length > 1) {
        const caption = View.make(figure, "figcaption");
        View.make(caption, "button", { title: "Enlarge, and take its view" }, name)
          .addEventListener("click", () => onEnlarge(n));
      }
    });
    View.enlarge(host, large);
  };
})();
