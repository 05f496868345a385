import { ChannelTable } from "./channels.js";
import { Charts } from "./chart.js";
import { byId, children, el, table } from "./dom.js";
import { ask } from "./feed.js";
import * as w from "./words.js";

const NOTES = [["limit", "Limits"], ["decision", "Decisions"], ["warning", "Warnings"]];

// show tells all that is known of one session, in a dialog.
export async function show(s, host) {
  const dialog = byId("session");
  draw(dialog, s, host, el("p", { class: "empty" }, "Loading"));
  if (!dialog.open) dialog.showModal();
  const turn = (dialog.turn = {});
  const late = (...what) => turn === dialog.turn && draw(dialog, ...what); // unless another is shown by then
  try {
    late(await ask(`/v1/sessions/${s.id}`), host);
  } catch (err) {
    late(s, host, el("p", { class: "notice warn" }, err.message));
  }
}

function draw(dialog, s, host, more) {
  const [from, to] = w.way(s, host);
  const close = el("button", { type: "button", class: "close", "aria-label": "Close", click: () => dialog.close() }, "✕");
  const focused = dialog.contains(document.activeElement);
  dialog.replaceChildren(...children([
    el("div", { class: "titled" }, el("h2", { id: "t-session" }, w.guest(s)),
      el("span", { class: `badge ${w.tone(s)}` }, s.ended ? w.outcome(s) : w.phase(s.phase)), close),
    el("p", { class: "way" }, from, el("span", { class: "arrow", role: "img", "aria-label": "to" }, "→"), to),
    s.cause && el("p", { class: `notice ${w.tone(s) === "bad" ? "bad" : ""}` }, s.cause),
    more, charts(s), phases(s), passes(s), notes(s), channels(s), el("h3", {}, "All that is known"), facts(s),
  ]));
  if (focused) close.focus();
}

function facts(s) {
  const all = [
    ["Started", w.clock(s.started)],
    ["Took", s.ended ? w.took(s) : ""],
    ["Downtime", s.downtime_ns ? w.fromNano(s.downtime_ns) : ""],
    ["Carried", w.size(s.sent + s.received)],
    ["Asked by", w.asker(s.asked)],
    ["Options", s.options?.join(" ")],
    ["Secured by", w.secrecy(s)],
    ["TLS", w.tls(s)],
    ["Path", s.path],
    ["Address", s.address],
    ["Disks made", s.disks_made?.join(", ")],
    ["Code of the cause", s.code],
    ["UUID", s.uuid],
    ["Session", s.id],
    ["Told by", s.host ? `sluice ${s.version} on ${s.host}, process ${s.pid}` : ""],
  ];
  return el("dl", { class: "facts" }, all.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

const length = (s) => Math.max(1, (s.ended ? new Date(s.ended) : new Date()) - new Date(s.started));

function phases(s) {
  if (!s.phases?.length) return "";
  const end = length(s);
  const spans = s.phases.map((p, i) => ({ name: w.phase(p.phase), at: p.at_ms, took: Math.max(0, (s.phases[i + 1]?.at_ms ?? end) - p.at_ms) }));
  const t = table("Phases", [{ name: "Phase" }, { name: "After", number: true }, { name: "Took", number: true }], "small");
  const line = el("div", { class: "timeline", "aria-hidden": "true" });
  spans.forEach((p, i) => {
    const part = el("span", { class: `s${i % 5}`, title: `${p.name}: ${w.span(p.took)}` });
    part.style.flexGrow = p.took;
    line.append(part);
    t.rows.append(t.row([el("span", { class: `key s${i % 5}` }, p.name), w.span(p.at), w.span(p.took)]));
  });
  return [el("h3", {}, "Phases"), line, t.node];
}

// passes are folded: a guest that is busy has hundreds.
function passes(s) {
  if (!s.passes?.length) return "";
  const t = table("Passes over memory", [{ name: "Pass" }, { name: "After", number: true }, { name: "Left", number: true }, { name: "Changed", number: true }], "small");
  for (const p of s.passes) t.rows.append(t.row([String(p.pass), w.span(p.at_ms), w.size(p.remaining), p.pass > 1 || p.dirty_rate ? w.rate(p.dirty_rate) : ""]));
  return el("details", {}, el("summary", {}, w.count(s.passes.length, "pass", "passes"), " over memory"), t.node);
}

function charts(s) {
  const x = s.samples;
  if (!x || !(x.at_ms?.length > 1)) return "";
  const both = new Charts();
  both.begin(x, Boolean(s.ended));
  return [el("h3", {}, "Over time"), both.node];
}

function channels(s) {
  if (!s.channels?.length) return "";
  const t = new ChannelTable();
  t.update(s.channels);
  return [el("h3", {}, "Channels"), t.node];
}

function notes(s) {
  return NOTES.map(([kind, title]) => {
    const all = (s.notes ?? []).filter((n) => n.kind === kind);
    return all.length ? [el("h3", {}, title), el("ul", { class: "notes" }, all.map((n) => el("li", { class: kind }, el("span", { class: "when" }, `after ${w.span(n.at_ms)}`), " ", n.text)))] : "";
  });
}
