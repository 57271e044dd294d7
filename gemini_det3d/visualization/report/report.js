"use strict";
// Charts by plotly in the colours of the scheme, and tables that sort. Text is written as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "x", "cross"];
  const light = window.matchMedia("(prefers-color-scheme: light)");
  const plots = [...document.querySelectorAll(".chart")];

  function plain(text) { // plotly reads a few tags in names; an escaped one is shown as it is
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  function band(series, color) {
    const known = series.x.map((x, i) => [x, series.y[i], series.deviation[i]])
      .filter(([, y, d]) => y !== null && d !== null);
    const up = known.map(([x, y, d]) => [x, y + d]);
    const down = known.map(([x, y, d]) => [x, y - d]).reverse();
    const outline = [...up, ...down];
    return {
      x: outline.map(([x]) => x), y: outline.map(([, y]) => y), type: "scatter", mode: "lines",
      fill: "toself", fillcolor: color, opacity: 0.18, line: { width: 0 }, hoverinfo: "skip",
      showlegend: false,
    };
  }

  function traces(chart, colors) {
    return chart.series.flatMap((series, i) => {
      const { place } = series, round = Math.floor(place / colors.length);
      const color = colors[place % colors.length];
      const line = {
        x: series.x, y: series.y, name: plain(series.name), mode: chart.mode, type: "scatter",
        line: { color, width: 2, dash: dashes[(place + round) % dashes.length] },
        marker: { color, size: 7, symbol: symbols[(place + round) % symbols.length] },
        legendgroup: String(i),
      };
      if (!series.deviation) return [line];
      return [{ ...band(series, color), legendgroup: String(i) }, line];
    });
  }

  function layout(chart, isLight, width) {
    const style = getComputedStyle(document.documentElement);
    const color = isLight ? "#1b2129" : style.getPropertyValue("--text").trim();
    const grid = isLight ? "#d5dbe1" : style.getPropertyValue("--line").trim();
    const names = chart.categories; // plotly takes "0.5" for a number and "2024-01" for a date
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true };
    return {
      autosize: true, ...(width ? { width } : {}),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color, family: "system-ui, sans-serif", size: 12 },
      margin: { l: 50, r: 10, t: 28, b: 40 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: color },
      showlegend: chart.series.length > 1,
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
      hovermode: "x unified", hoverlabel: { font: { color: "#1b2129" }, bgcolor: "#ffffff" },
      xaxis: {
        ...axis, title: { text: plain(chart.x_title) },
        ...(names.length ? { type: "category", categoryarray: names } : {}),
      },
      yaxis: {
        ...axis, title: { text: plain(chart.y_title) },
        ...(chart.y_range ? { range: chart.y_range } : {}),
      },
    };
  }

  // Lines that the legend takes, about.
  function legendRows(chart, place) {
    const longest = Math.max(...chart.series.map((series) => String(series.name).length), 0);
    const columns = Math.max(1, Math.floor(place.clientWidth / (50 + 7 * longest)));
    return chart.series.length > 1 ? Math.ceil(chart.series.length / columns) : 0;
  }

  function draw(isLight, width) {
    const colors = isLight ? data.colors.light : data.colors.dark;
    const config = { displaylogo: false, responsive: true };
    return Promise.all(plots.map((place) => {
      const chart = data.charts[Number(place.dataset.chart)];
      place.style.height = `${20 + 1.4 * legendRows(chart, place)}rem`;
      return Plotly.react(place, traces(chart, colors), layout(chart, isLight, width), config);
    }));
  }

  function compare(a, b) {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  }

  function sort(table, column) {
    const heads = [...table.tHead.rows[0].cells], head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = [...table.tBodies[0].rows];
    const value = (row) => row.cells[column].dataset.value;
    rows.sort((p, q) => {
      const order = compare(value(p), value(q));
      return down && value(p) !== "" && value(q) !== "" ? -order : order;
    });
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("th button").forEach((button, column) => {
      button.addEventListener("click", () => sort(table, column));
    });
  });
  light.addEventListener("change", () => draw(light.matches));
  window.addEventListener("beforeprint", () => draw(true, 640)); // fits a page's width
  window.addEventListener("afterprint", () => draw(light.matches));
  draw(light.matches).then(() => { document.documentElement.dataset.ready = "yes"; });
})();
