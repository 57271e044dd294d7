// What is found, missed, false, or found by one set alone. Overlaps come from Python.
"use strict";
var View = {};
(() => {
  const sameClass = (a, b) => a.name.toLowerCase() === b.name.toLowerCase();

  // Boxes of one set by their number in it, which overlaps speak of.
  View.boxesOf = (frame, set) => frame.boxes.filter((box) => box.set === set);

  View.isShown = (box, state) => state.sets.has(box.set) && state.classes.has(box.name) &&
    (box.score === null || box.score >= state.score);

  // One box of `set` for each of `other`, the best scores first, as evaluations do.
  // Returns the partner's number for every shown box that has one.
  function pair(frame, set, other, state) {
    const partners = View.boxesOf(frame, other);
    const taken = new Map(), used = new Set();
    const boxes = View.boxesOf(frame, set).filter((box) => View.isShown(box, state));
    for (const box of boxes.sort((a, b) => b.score - a.score)) {
      const hit = (box.overlaps[other] || []).find(([n, iou]) => iou >= state.overlap &&
        sameClass(partners[n], box) && !used.has(n) &&
        (other === 0 || View.isShown(partners[n], state)));
      if (!hit) continue;
      taken.set(box, hit[0]);
      used.add(hit[0]);
    }
    return { boxes, taken };
  }

  // Boxes of two result sets that have no partner in the other.
  function unlike(frame, a, b, state) {
    const { boxes, taken } = pair(frame, a, b, state);
    const others = View.boxesOf(frame, b).filter((box) => View.isShown(box, state));
    return { mine: boxes.filter((box) => !taken.has(box)),
      count: boxes.length + others.length - 2 * taken.size };
  }

  View.judge = (frame, names, state) => {
    const verdicts = new Map(frame.boxes.map((box) => [box, ""]));
    const sets = [...state.sets].filter((set) => set > 0).sort();
    const there = sets.filter((set) => !frame.missing.includes(set));
    const truth = View.boxesOf(frame, 0);
    const found = new Map();
    let isFalse = false;
    for (const set of frame.has_truth ? there : []) {
      const { boxes, taken } = pair(frame, set, 0, state);
      found.set(set, new Set(taken.values()));
      boxes.forEach((box) => verdicts.set(box, taken.has(box) ? "found" : "false positive"));
      isFalse = isFalse || taken.size < boxes.length;
    }
    const wanted = [...truth.keys()].filter((t) => state.classes.has(truth[t].name));
    const judged = [...found.keys()];
    wanted.forEach((t) => {
      const missing = judged.filter((set) => !found.get(set).has(t)).map((set) => names[set]);
      const whom = missing.length === judged.length ? "all" : missing.join(", ");
      const by = judged.length > 1 ? ` by ${whom}` : "";
      if (missing.length) verdicts.set(truth[t], `missed${by}`);
    });
    const pairs = there.flatMap((a) => there.filter((b) => b !== a).map((b) => [a, b]));
    const apart = pairs.map(([a, b]) => [a, unlike(frame, a, b, state)]);
    if (!frame.has_truth && there.length > 1) {
      there.forEach((a) => View.boxesOf(frame, a).forEach((box) => {
        const all = apart.filter(([set]) => set === a).every(([, u]) => u.mine.includes(box));
        if (all) verdicts.set(box, "in no other set");
      }));
    }
    const count = (set) => wanted.filter((t) => found.get(set).has(t)).length;
    return {
      verdicts, sets, wanted: wanted.length, found: count, false: isFalse,
      missed: judged.some((set) => count(set) < wanted.length),
      differ: apart.some(([, u]) => u.count > 0),
      difference: Math.max(0, ...apart.map(([, u]) => u.count)),
    };
  };

  // Frames that a filter leaves, in the order in which they are shown.
  View.matching = (data, kind, state) => {
    const all = [...data.frames.keys()];
    if (kind === "all") return all;
    const verdicts = all.map((index) => View.judge(data.frames[index], data.sets, state));
    if (kind !== "biggest") return all.filter((index) => verdicts[index][kind]);
    return all.filter((index) => verdicts[index].difference > 0)
      .sort((a, b) => verdicts[b].difference - verdicts[a].difference);
  };
})();
