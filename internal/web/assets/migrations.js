import { Card } from "./card.js";
import { byId, el, Keyed, set, text } from "./dom.js";
import { ask } from "./feed.js";
import { SessionTable } from "./sessions.js";
import * as w from "./words.js";

const SHOWN = 2 * 60e3; // milliseconds that a result keeps its card
const DAY = 86400e3;

// Migrations is the first view: what is under way, and what was just now.
export class Migrations {
  constructor(page) {
    this.page = page;
    this.live = [];
    this.results = new Map(); // cards whose migrations have ended, by their keys
    this.cards = new Keyed(byId("live"), w.key, (s) => this.card(s));
    this.recent = new SessionTable("Sessions that ended last", page.actions);
    byId("recent").append(this.recent.node);
    this.tiles = new Keyed(byId("tiles"), (t) => t.name, (t) => {
      const value = el("strong"), words = el("span", { class: "words" });
      const link = el("a", { href: t.href }, el("span", { class: "name" }, t.name), value, words);
      return { node: el("li", {}, link), update: (now) => { text(value, now.value); text(words, now.words); set(link, "class", now.tone ?? null); } };
    });
  }

  card(s) {
    const card = new Card(s, this.page.host, this.page.actions);
    return { node: card.node, update: (now) => (now.ended ? card.ended || card.end(now) : card.update(now)) };
  }

  sessions(live) {
    const before = new Set(this.live.map(w.key));
    for (const s of live) {
      const key = w.key(s);
      const returned = this.results.delete(key); // it was missing for a moment, and has not ended
      if (this.known && !returned && !before.has(key)) this.page.say(`${w.guest(s)}: migration has begun`);
    }
    this.known = true;
    // One that is missing has ended: the event that has its result may come a moment later.
    for (const s of this.live) {
      const key = w.key(s);
      if (!live.some((o) => w.key(o) === key)) this.results.set(key, { session: s, until: Date.now() + SHOWN });
    }
    this.live = live;
    this.draw();
  }

  ended(all) {
    this.endedLast = all;
    this.recent.update(all.slice(0, 8));
    this.draw();
    this.summary();
  }

  draw() {
    for (const [key, r] of this.results) {
      const result = this.endedLast?.find((s) => w.key(s) === key);
      if (result && !r.session.ended) {
        r.session = { ...result, phases: r.session.phases };
        const paused = result.downtime_ns ? `, paused for ${w.fromNano(result.downtime_ns)}` : "";
        this.page.say(`${w.guest(result)}: ${w.outcome(result)}${paused}${result.cause ? `: ${result.cause}` : ""}`);
      }
      if (Date.now() > r.until) this.results.delete(key);
    }
    const cards = [...this.live, ...[...this.results.values()].map((r) => r.session)];
    this.cards.update(cards);
    byId("idle").hidden = cards.length > 0;
    const n = this.live.length;
    document.title = `${n ? `(${n}) ` : ""}${this.page.host ? `${this.page.host} · ` : ""}sluice`;
    this.tile("Under way", "#migrations", n, n ? w.rate(this.live.reduce((sum, s) => sum + s.rate, 0)) : "nothing moves", n ? "busy" : null);
  }

  // summary counts what ended within a day.
  async summary() {
    try {
      const since = new Date(Date.now() - DAY).toISOString();
      const day = await ask(`/v1/history?since=${since}`);
      if (day.problem) throw new Error(day.problem);
      const moved = day.sessions.filter((s) => s.outcome === "moved").length;
      const failed = day.sessions.filter((s) => s.outcome === "failed" || s.outcome === "unknown").length;
      this.tile("Last 24 hours", "#history", `${moved} moved`, failed ? `${failed} failed` : "none failed", failed ? "bad" : "good");
    } catch (err) {
      this.tile("Last 24 hours", "#history", "not known", err.message, "warn");
    }
  }

  tile(name, href, value, words, tone) {
    this.all ??= new Map(["Under way", "Last 24 hours", "Peers", "Certificate", "Checks"].map((n) => [n, null]));
    this.all.set(name, { name, href, value, words, tone });
    this.tiles.update([...this.all.values()].filter(Boolean));
  }
}
