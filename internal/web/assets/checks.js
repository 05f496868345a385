import { byId, el, Keyed, set, table, text } from "./dom.js";
import { ask } from "./feed.js";
import * as w from "./words.js";

const SOON = 30; // days
const RESULTS = { ok: "In order", warning: "Warning", error: "Error" };
const TONES = { ok: "good", warning: "warn", error: "bad" };

// Checks are the views of peers and of the host: what was found of them, and what the daemon knows.
export class Checks {
  constructor(page) {
    this.page = page;
    this.buttons = [...document.querySelectorAll(".checker")].map((place) => {
      const words = el("span", { class: "when" });
      const button = el("button", { type: "button", click: () => ask("/check", { method: "POST" }).catch((err) => page.say(err.message)) }, "Check again");
      place.append(words, button);
      return { words, button };
    });
    this.peerTable = table("Peers", [{ name: "Peer" }, { name: "Guests go by" }, { name: "Address" }, { name: "sluice" }, { name: "libvirt" }, { name: "QEMU" }, { name: "Paths" }, { name: "Findings" }], "peers");
    this.noPeers = el("p", { class: "empty" }, "No peers are configured.");
    byId("peer-list").append(this.peerTable.node, this.noPeers);
    this.peerRows = new Keyed(this.peerTable.rows, (p) => JSON.stringify(p), (p) => ({ node: this.peerRow(p) }));
    const list = el("ul", { class: "findings" });
    byId("findings").append(list);
    this.findings = new Keyed(list, (f) => JSON.stringify(f), (f) => ({ node: finding(f) }));
    this.certificates = new Keyed(byId("certificates"), (c) => JSON.stringify(c), (c) => ({ node: certificate(c) }));
  }

  peers(all) {
    this.listed = all;
    this.draw();
  }

  checks(c) {
    this.found = c;
    for (const { words, button } of this.buttons) {
      button.disabled = c.running;
      text(words, c.running ? "Checking" : c.error ? `The check failed: ${c.error}` : c.peers ? `Checked at ${w.clock(c.peers.time)}` : "");
    }
    this.draw();
  }

  draw() {
    const { host, peers } = this.found ?? {};
    const listed = this.listed ?? [];
    const rows = listed.map((p) => ({
      ...p, view: peers?.peers?.find((v) => v.name === p.name), findings: (peers?.findings ?? []).filter((f) => f.peer === p.name && f.result !== "ok"),
    }));
    this.peerRows.update(rows);
    this.peerTable.node.hidden = rows.length === 0;
    this.noPeers.hidden = rows.length > 0;
    if (peers) {
      const reached = rows.filter((r) => r.view && r.view.way !== "none").length;
      this.page.tile("Peers", "#peers", `${reached} of ${rows.length}`, "can take guests", reached < rows.length ? "warn" : "good");
    }
    if (host) {
      const order = ["error", "warning", "ok"];
      this.findings.update([...host.findings].sort((a, b) => order.indexOf(a.result) - order.indexOf(b.result)));
      const errors = host.errors + (peers?.errors ?? 0), warnings = host.warnings + (peers?.warnings ?? 0);
      const words = [errors && w.count(errors, "error"), warnings && w.count(warnings, "warning")].filter(Boolean);
      this.page.tile("Checks", "#host", words[0] ?? "In order", words[1] ?? `${w.count(host.findings.length, "thing")} looked at`, errors ? "bad" : warnings ? "warn" : "good");
    }
  }

  peerRow(p) {
    const v = p.view;
    const o = v?.offers ?? {};
    const wrong = p.findings.map((f) => el("li", { class: TONES[f.result] }, el("b", {}, `${RESULTS[f.result]}: `), f.text, f.remedy ? el("span", { class: "remedy" }, f.remedy) : ""));
    return this.peerTable.row([
      el("div", {}, el("strong", { class: "name" }, p.name), el("details", {}, el("summary", { "aria-label": `More of ${p.name}` }, "More"), more(p, o))),
      v ? el("span", { class: `badge ${v.way === "none" ? "bad" : v.way === "sluice" ? "good" : "warn"}` }, v.way === "none" ? "No way" : v.way) : el("span", { class: "badge dim" }, "Not checked yet"),
      p.address, o.sluice ?? "", v?.libvirt ?? "", o.qemu ?? "", (o.paths ?? []).join(", "),
      wrong.length ? el("ul", { class: "wrong" }, wrong) : v && v.way !== "sluice" ? v.text : v ? "None" : "",
    ], { "data-peer": p.name });
  }

  // host shows what the daemon is and has in use.
  host(h) {
    this.certificates.update(h.certificates.expiry.map((e) => ({ ...e, left: w.daysLeft(e.not_after) })));
    const first = h.certificates.expiry.reduce((a, b) => (a && a.not_after < b.not_after ? a : b), null);
    if (first) {
      const left = w.daysLeft(first.not_after);
      this.page.tile("Certificate", "#host", left < 0 ? "Expired" : w.count(left, "day"), left < 0 ? first.what : `left of the ${first.what === "ca" ? "authority's" : first.what + " certificate"}`, left < 0 ? "bad" : first.warn || left < SOON ? "warn" : "good");
    }
    const c = h.confinement;
    const facts = [
      ["Version", h.version], ["Started", w.clock(h.started)], ["Peers connect at", h.listen], ["libvirt", h.libvirt],
      ["Configuration", `${h.configuration.files.join(", ")}, loaded ${w.clock(h.configuration.loaded)}`],
      ["Certificates", h.certificates.why], ["Priority string", h.priority], ["AES-GCM", h.aes],
      ["Confinement", c ? [`uid ${c.uid}`, c.capabilities?.join(", ") || "no capabilities", c.landlock ? `Landlock ${c.landlock}` : "no Landlock"].join(", ") : ""],
      ["History", h.history.file || "since the daemon's start alone"], ["Interception", h.intercept ? h.intercept.on ? `on, for the ports ${h.intercept.ports}` : h.intercept.problem || "off" : ""],
    ].filter(([, value]) => value);
    byId("facts").replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }
}

// more is the rest of what is known of a peer.
function more(p, o) {
  const native = o.native_tls;
  const facts = [
    ["TLS", [o.tls, o.priority || p.priority].filter(Boolean).join(", ")],
    ["Names in its certificate", p.names?.join(", ")],
    ["Without a sluice", p.view ? `here ${p.view.without_sluice || "no"}, there ${o.without_sluice || "not known"}` : ""],
    ["Interception", o.interception],
    ["QEMU's own TLS", native ? (native.ready ? "ready" : native.text || "no") : ""],
    ["libvirt's address", p.view?.libvirt_uri],
    ["Its clients may", o.access],
    ["Socket", p.socket],
  ].filter(([, value]) => value);
  return el("dl", { class: "more" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function finding(f) {
  return el("li", { class: TONES[f.result] },
    el("span", { class: `badge ${TONES[f.result]}` }, RESULTS[f.result]),
    el("div", {}, el("b", {}, f.check), el("p", {}, f.text), f.remedy ? el("p", { class: "remedy" }, f.remedy) : ""));
}

function certificate(c) {
  const tone = c.left < 0 ? "bad" : c.warn || c.left < SOON ? "warn" : "good";
  return el("li", { class: tone },
    el("span", { class: "what" }, { server: "As a server", client: "As a client", ca: "Authority" }[c.what] ?? c.what),
    el("strong", {}, c.left < 0 ? "Expired" : `${w.count(c.left, "day")} left`),
    el("span", { class: "subject" }, c.subject),
    el("span", { class: "when" }, `until ${new Date(c.not_after).toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" })}`));
}
