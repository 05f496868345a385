import { el, set, svg, text } from "./dom.js";
import { rate, size, span } from "./words.js";

const WIDTH = 600;
const HEIGHT = 120;
const MOST = 480; // points; beyond that every other one goes

// Chart draws figures over a session's time, one line each. series are {name, kind, words}, where
// kind is the class of the line and words tells a value.
class Chart {
  constructor(series) {
    this.series = series.map((s) => ({ ...s, at: [], values: [], line: svg("polyline", { class: `line ${s.kind}` }), now: el("b") }));
    this.area = svg("polygon", { class: `area ${series[0].kind}` });
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      svg("path", { class: "grid", d: `M0 ${HEIGHT / 2}H${WIDTH}M0 0.500H${WIDTH}` }), this.area, this.series.map((s) => s.line));
    this.top = el("span", { class: "top" });
    this.end = el("span", {});
    this.node = el("figure", { class: "chart" },
      el("figcaption", {}, this.series.map((s) => el("span", { class: `key ${s.kind}` }, s.name, " ", s.now))),
      el("div", { class: "plot" }, this.drawing, this.top),
      el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, "0 s"), this.end));
  }

  // begin takes over what was before, in columns, or all of a session that is over.
  begin(at, columns, over = false) {
    this.series.forEach((s, i) => {
      if (over) s.at = s.values = [];
      const first = s.at.length ? s.at[0] : Infinity;
      const n = at.findIndex((t) => t >= first);
      const before = n < 0 ? at.length : n;
      s.at = at.slice(0, before).concat(s.at);
      s.values = (columns[i] ?? []).slice(0, before).concat(s.values);
    });
    this.draw();
  }

  // add adds a value of each series, at a moment in milliseconds since the start.
  add(at, values) {
    this.series.forEach((s, i) => {
      if (s.at.length && at <= s.at.at(-1)) return;
      s.at.push(at);
      s.values.push(values[i]);
      if (s.at.length <= MOST) return;
      s.at = s.at.filter((_, n) => n % 2 === 0);
      s.values = s.values.filter((_, n) => n % 2 === 0);
    });
    this.draw();
  }

  draw() {
    const end = Math.max(...this.series.map((s) => s.at.at(-1) ?? 0), 1);
    const most = ceiling(Math.max(...this.series.flatMap((s) => s.values), 1));
    for (const s of this.series) {
      const points = s.at.map((t, i) => `${((WIDTH * t) / end).toFixed(1)},${(HEIGHT * (1 - s.values[i] / most)).toFixed(1)}`);
      set(s.line, "points", points.join(" "));
      if (s === this.series[0] && points.length) {
        set(this.area, "points", `${((WIDTH * s.at[0]) / end).toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
      }
      text(s.now, s.words(s.values.at(-1) ?? 0));
    }
    text(this.top, this.series[0].words(most));
    text(this.end, span(end));
    set(this.drawing, "aria-label", this.series.map((s) => `${s.name}: ${s.words(s.values.at(-1) ?? 0)} now, at most ${s.words(Math.max(...s.values, 0))}`).join("; "));
  }

  // highest shows the highest value in the key, of a session that is over.
  highest() {
    for (const s of this.series) text(s.now, `at most ${s.words(Math.max(...s.values, 0))}`);
  }
}

// Charts are the two of a session: how fast it goes, and what is left.
export class Charts {
  constructor() {
    this.rates = new Chart([{ name: "carried", kind: "a", words: rate }, { name: "changed by the guest", kind: "b", words: rate }]);
    this.left = new Chart([{ name: "left", kind: "c", words: size }]);
    this.node = el("div", { class: "charts" }, this.rates.node, this.left.node);
  }

  // add adds what a session's progress is now, at a moment in milliseconds since its start.
  add(at, p) {
    this.rates.add(at, [p.rate, p.dirty_rate]);
    if (p.total) this.left.add(at, [p.remaining]);
  }

  // begin takes over what the daemon has kept: what was before, or all of a session that is over.
  begin(x, over) {
    this.rates.begin(x.at_ms, [x.rate, x.dirty_rate], over);
    this.left.begin(...known(x.at_ms, x.remaining), over);
    if (over) [this.rates, this.left].forEach((c) => c.highest());
  }
}

// known leaves out of a column what is before its first value: until libvirt tells it, it is 0.
function known(at, values) {
  const first = Math.max(0, values.findIndex((v) => v > 0));
  return [at.slice(first), [values.slice(first)]];
}

// ceiling is the next round figure, in powers of two as sizes are.
function ceiling(n) {
  const unit = 2 ** (10 * Math.floor(Math.log2(n) / 10));
  for (const step of [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 40, 50, 80, 100, 150, 200, 300, 400, 500, 800, 1024]) {
    if (n <= step * unit) return step * unit;
  }
  return n;
}
