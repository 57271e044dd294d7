// How finely the cloud is drawn while it moves: as finely as this machine keeps up with.
"use strict";
(() => {
  // Share of the screen's pixels along a side, and of the points; each level costs half as much as
  // the one before. Where there is no GPU, points cost more than pixels.
  const LEVELS = [[1, 1], [0.7, 0.6], [0.5, 0.35], [0.5, 0.2], [0.35, 0.1]];
  const SLOW_MS = 33; // thirty frames a second
  const FAST_MS = 21; // a screen that shows sixty never takes less than 16.7
  const ABSENT_MS = 500; // no frame: the page was hidden
  const JUDGED = 5, PATIENCE = 40; // frames before it gets coarser, and finer

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  View.Pace = class {
    constructor() { this.level = 0; this.patience = PATIENCE; this.forget(); }

    get ratio() { return LEVELS[this.level][0]; }
    get share() { return LEVELS[this.level][1]; }

    forget() { this.times = []; }

    // ms: from one drawn frame to the next that can be drawn. The level stays between movements.
    note(ms) {
      if (ms > ABSENT_MS) return;
      this.times = [...this.times, ms].slice(-this.patience);
      const count = this.times.length;
      const isSlow = count >= JUDGED && mean(this.times.slice(-JUDGED)) > SLOW_MS;
      if (isSlow && this.level < LEVELS.length - 1) this.change(1);
      else if (count === this.patience && mean(this.times) < FAST_MS && this.level > 0) this.change(-1);
    }

    // What was finer and too slow is tried again after twice the time.
    change(by) {
      this.level += by;
      if (by < 0) this.patience *= 2;
      this.forget();
    }
  };
})();
