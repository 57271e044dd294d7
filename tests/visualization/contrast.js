// Contrast of all text of a page with what lies behind it (WCAG 2.2), the least first. Opacity
// counts; over a photograph it is that with black or white, whichever is worse. Also of the mark of
// the focus with both grounds.
"use strict";
function contrasts() { // eslint-disable-line no-unused-vars
  const numbers = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, under, share = 1) => [0, 1, 2].map((c) =>
    top[3] * share * top[c] + (1 - top[3] * share) * under[c]);
  const luminance = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, c) => {
    const v = color[c] / 255;
    return sum + weight * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const chain = (node) => (node.parentElement ? [...chain(node.parentElement), node] : [node]);
  const textOf = (node) => [...node.childNodes].filter((child) => child.nodeType === 3)
    .map((child) => child.data).join("").trim();

  function measure(node, base, isOnPicture) {
    let ground = base, share = 1;
    for (const each of chain(node)) {
      const { backgroundColor, opacity } = getComputedStyle(each);
      if (!isOnPicture || each.closest("figcaption")) ground = over(numbers(backgroundColor), ground);
      share *= Number(opacity);
    }
    return contrast(over(numbers(getComputedStyle(node).color), ground, share), ground);
  }

  const page = numbers(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.body.querySelectorAll("*")].filter((node) =>
    textOf(node) && node.getClientRects().length && !node.closest("script, style, svg"));
  const found = texts.flatMap((node) => {
    const isOnPicture = Boolean(node.closest("#images figcaption"));
    const bases = isOnPicture ? [[0, 0, 0], [255, 255, 255]] : [page];
    return bases.map((base) => [measure(node, base, isOnPicture), textOf(node).slice(0, 40)]);
  });
  const variable = (name) => {
    const node = document.body.appendChild(document.createElement("i"));
    node.style.color = `var(${name})`;
    return numbers(getComputedStyle(node).color);
  };
  return {
    least: found.sort((a, b) => a[0] - b[0]).slice(0, 3), count: found.length,
    focus: ["--ground", "--panel"].map((name) => contrast(variable("--lit"), variable(name))),
  };
}
