import { byId, text } from "./dom.js";
import { ask } from "./feed.js";
import { SessionTable } from "./sessions.js";
import * as w from "./words.js";

const PAGE = 100; // sessions

// History is the second view: what ended, as far as it is kept.
export class History {
  constructor(page) {
    this.page = page;
    this.limit = PAGE;
    this.loaded = [];
    this.list = new SessionTable("Sessions that ended", page.actions);
    this.form = byId("filters");
    byId("sessions").append(this.list.node);
    this.form.addEventListener("submit", (e) => e.preventDefault());
    this.form.elements.text.addEventListener("input", () => this.draw());
    for (const name of ["outcome", "since"]) this.form.elements[name].addEventListener("change", () => this.load());
    byId("more").addEventListener("click", () => {
      this.limit += PAGE;
      this.load();
    });
  }

  // load asks for what the filters want. An answer that comes after that to a later question is not
  // shown.
  async load() {
    const f = this.form.elements;
    const q = new URLSearchParams({ limit: this.limit });
    if (f.outcome.value) q.set("failed", "true");
    if (f.since.value) q.set("since", new Date(Date.now() - f.since.value * 3600e3).toISOString());
    const turn = (this.turn = {});
    try {
      const answer = await ask(`/v1/history?${q}`);
      if (turn !== this.turn) return;
      this.loaded = answer.sessions;
      this.problem = answer.problem ? `Not all of it: ${answer.problem}` : "";
    } catch (err) {
      if (turn !== this.turn) return;
      this.problem = `History can't be read: ${err.message}`;
    }
    this.draw();
  }

  draw() {
    const words = this.form.elements.text.value.trim().toLowerCase();
    const shown = this.loaded.filter((s) => [s.guest, s.uuid, s.peer, s.cause, s.code, s.id].some((v) => v?.toLowerCase().includes(words)));
    this.list.update(shown);
    text(byId("found"), this.problem || w.count(shown.length, "session"));
    byId("more").hidden = this.loaded.length < this.limit;
  }
}
