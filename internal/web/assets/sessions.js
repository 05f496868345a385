import { el, Keyed, table, text } from "./dom.js";
import * as w from "./words.js";

const COLUMNS = [
  { name: "Guest" }, { name: "Peer" }, { name: "Outcome" }, { name: "Ended" },
  { name: "Took", number: true }, { name: "Downtime", number: true }, { name: "Carried", number: true }, { name: "Cause" },
];

// SessionTable lists sessions that ended.
export class SessionTable {
  constructor(name, actions) {
    const t = table(name, COLUMNS, "sessions");
    this.empty = el("p", { class: "empty" }, "No migration has ended.");
    this.node = el("div", {}, t.node, this.empty);
    this.table = t;
    this.rows = new Keyed(t.rows, w.key, (s) => {
      const state = el("span", { class: `badge ${w.tone(s)}` }, w.outcome(s));
      const row = t.row([
        el("button", { type: "button", class: "name", click: () => actions.show(s) }, w.guest(s)),
        el("span", { class: "way" }, `${s.direction === "in" ? "from" : "to"} `, el("b", {}, s.peer)),
        state, el("time", { datetime: s.ended }, w.clock(s.ended)), w.took(s),
        s.downtime_ns ? w.fromNano(s.downtime_ns) : "", w.size(s.sent + s.received), el("span", { class: "cause" }, s.cause ?? ""),
      ], { "data-session": s.id });
      return { node: row, update: (now) => { text(state, w.outcome(now)); state.className = `badge ${w.tone(now)}`; } };
    });
  }

  update(all) {
    this.rows.update(all);
    this.table.node.hidden = all.length === 0;
    this.empty.hidden = all.length > 0;
  }
}
