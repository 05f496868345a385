import { el, Keyed, table, text } from "./dom.js";
import * as w from "./words.js";

const COLUMNS = [{ name: "Channel" }, { name: "Sent", number: true }, { name: "Received", number: true }, { name: "Path" }, { name: "TLS" }];

// ChannelTable lists a session's channels, and follows what they carry.
export class ChannelTable {
  constructor() {
    const t = table("Channels", COLUMNS, "small");
    this.node = t.node;
    this.rows = new Keyed(t.rows, (c) => c.name, (c) => {
      const cells = [c.name, el("span"), el("span"), c.path, w.tls(c)];
      return { node: t.row(cells), update: (now) => { text(cells[1], w.size(now.sent)); text(cells[2], w.size(now.received)); } };
    });
  }

  update(all) {
    this.rows.update(all);
  }
}
