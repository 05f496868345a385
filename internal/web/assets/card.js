import { ChannelTable } from "./channels.js";
import { Charts } from "./chart.js";
import { el, Keyed, set, text } from "./dom.js";
import { ask } from "./feed.js";
import * as w from "./words.js";

// Card is one migration under way, which becomes its result.
export class Card {
  constructor(s, host, actions) {
    const title = `t-${w.key(s)}`;
    const [from, to] = w.way(s, host);
    this.state = el("span", { class: "badge" });
    this.percent = el("span", { class: "percent" });
    this.eta = el("span", { class: "eta" });
    this.fill = el("div", { class: "fill" });
    this.bar = el("div", { class: "progress", role: "progressbar", "aria-label": `Progress of ${w.guest(s)}`, "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
    this.steps = el("ol", { class: "steps", "aria-label": "Phases" });
    this.stepItems = new Map();
    this.charts = new Charts();
    this.facts = el("dl", { class: "figures" });
    this.values = new Keyed(this.facts, ([name]) => name, ([name]) => {
      const value = el("dd");
      return { node: el("div", {}, el("dt", {}, name), value), update: ([, now]) => text(value, now) };
    });
    this.warning = el("p", { class: "notice warn", hidden: true });
    this.cause = el("p", { class: "notice bad", hidden: true });
    this.noteList = el("ul", { class: "notes" });
    this.notes = new Keyed(this.noteList, (n) => n.kind + n.text, (n) => ({ node: el("li", { class: n.kind }, el("span", { class: "when" }, `after ${w.span(n.at_ms)}`), " ", n.text) }));
    this.channels = new ChannelTable();
    this.channelWords = el("summary");
    this.more = el("details", {}, this.channelWords, this.channels.node);
    this.stop = el("button", { type: "button", class: "quiet", click: () => actions.cancel(this.session), "aria-describedby": title }, "Cancel…");
    this.open = el("button", { type: "button", class: "quiet", click: () => actions.show(this.session), "aria-describedby": title }, "Details");
    this.node = el("article", { class: "card", "aria-labelledby": title, "data-session": s.id },
      el("div", { class: "head" },
        el("h3", { id: title }, w.guest(s)),
        el("p", { class: "way" }, from, el("span", { class: "arrow", "aria-label": "to" , role: "img" }, "→"), to),
        this.state, el("div", { class: "actions" }, this.open, this.stop)),
      el("div", { class: "how" }, this.percent, this.eta),
      this.bar, this.steps, this.cause, this.warning,
      this.charts.node,
      this.facts, this.noteList, this.more);
    this.session = s;
    this.samples(false);
  }

  update(s) {
    this.session = s;
    const p = s.progress ?? {};
    const at = (p.elapsed_ns ?? 0) / 1e6;
    const percent = s.outcome ? 100 : Math.max(0, Math.min(p.phase === "done" ? 100 : 99, Math.floor(p.percent ?? 0)));
    text(this.state, w.phase(s.phase));
    text(this.percent, `${percent} %`);
    text(this.eta, p.stalled ? "no end in sight" : p.eta_ns > 0 ? `about ${w.fromNano(p.eta_ns)} left` : "");
    this.fill.style.transform = `scaleX(${percent / 100})`;
    set(this.bar, "aria-valuenow", percent);
    set(this.bar, "aria-valuetext", `${percent} percent, ${w.phase(s.phase)}`);
    this.showSteps(s);
    if (s.progress) this.charts.add(at, p);
    this.warning.hidden = !p.stalled;
    text(this.warning, p.stalled ?? "");
    this.figures([
      ["Left", p.total ? `${w.size(p.remaining)} of ${w.size(p.total)}` : ""],
      ["Carried", w.size(s.sent + s.received)],
      ["Under way for", w.fromNano(p.elapsed_ns ?? 0)],
      ["Pass", p.iteration > 0 ? p.iteration : ""],
      ["Slowed by", p.throttle ? `${p.throttle} %` : ""],
      ["Secured by", w.secrecy(s)],
      ["TLS", w.tls(s)],
      ["Path", s.path],
      ["Asked by", w.asker(s.asked)],
    ]);
    this.notes.update((s.notes ?? []).slice(-6));
    this.showChannels(s);
    set(this.node, "data-phase", s.phase);
  }

  // end makes it the result.
  end(s) {
    this.session = s;
    this.ended = Date.now();
    set(this.node, "data-outcome", s.outcome || "done");
    text(this.state, w.outcome(s));
    set(this.state, "class", `badge ${w.tone(s)}`);
    const moved = !s.outcome || s.outcome === "moved";
    text(this.percent, moved ? "100 %" : w.outcome(s));
    text(this.eta, s.downtime_ns ? `paused for ${w.fromNano(s.downtime_ns)}` : "");
    this.fill.style.transform = "scaleX(1)";
    set(this.bar, "aria-valuenow", moved ? 100 : null);
    set(this.bar, "aria-valuetext", w.outcome(s));
    this.stop.remove();
    this.warning.hidden = true;
    this.cause.hidden = !s.cause;
    text(this.cause, s.cause ?? "");
    this.showSteps(s);
    this.samples(true);
    this.figures([
      ["Took", w.took(s)],
      ["Downtime", s.downtime_ns ? w.fromNano(s.downtime_ns) : ""],
      ["Carried", w.size(s.sent + s.received)],
      ["On average", w.rate((1000 * (s.sent + s.received)) / Math.max(1, new Date(s.ended) - new Date(s.started)))],
      ["Secured by", w.secrecy(s)],
      ["TLS", w.tls(s)],
      ["Path", s.path],
      ["Asked by", w.asker(s.asked)],
    ]);
    this.showChannels(s);
  }

  // showSteps marks the phases that were and the one that is. Disks and post-copy are shown once
  // they are met, as most migrations have none.
  showSteps(s) {
    const met = new Set((s.phases ?? []).map((p) => p.phase).concat(s.phase));
    const over = s.outcome === "moved";
    const now = w.PHASES.indexOf(s.phase);
    w.PHASES.forEach((name, i) => {
      let item = this.stepItems.get(name);
      if (!item && (met.has(name) || !["disks", "postcopy"].includes(name))) {
        item = el("li", {}, w.phase(name));
        this.stepItems.set(name, item);
        const later = w.PHASES.slice(i + 1).find((n) => this.stepItems.has(n));
        this.steps.insertBefore(item, later ? this.stepItems.get(later) : null);
      }
      if (!item) return;
      set(item, "class", over || i < now ? "was" : i === now ? "is" : null);
      set(item, "aria-current", !over && !s.outcome && i === now ? "step" : null);
    });
  }

  showChannels(s) {
    const all = s.channels ?? [];
    this.more.hidden = all.length === 0;
    text(this.channelWords, `${w.count(all.length, "channel")}${s.disks_made?.length ? `, ${w.count(s.disks_made.length, "disk")} made` : ""}`);
    this.channels.update(all);
  }

  figures(all) {
    this.values.update(all.filter(([, value]) => value !== "" && value !== undefined));
  }

  // samples draws what the daemon has kept of the session: what was before, or all of it.
  samples(over) {
    ask(`/v1/sessions/${this.session.id}`).then(({ samples: x }) => {
      if (x?.at_ms?.length) this.charts.begin(x, over);
    }).catch(() => {}); // it is drawn from now on
  }
}
