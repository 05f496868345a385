// The page: views, what they are told, and what is said aloud. It asks nobody but the daemon that it
// came from.
import { cancel } from "./cancel.js";
import { Checks } from "./checks.js";
import { show } from "./detail.js";
import { byId, el, Keyed, set, text } from "./dom.js";
import { follow } from "./feed.js";
import { History } from "./history.js";
import { Migrations } from "./migrations.js";
import * as w from "./words.js";

const page = {
  host: "",
  tokenFile: "",
  actions: {
    show: (s) => show(s, page.host),
    cancel: (s) => cancel(s, page.tokenFile, page.say),
  },
  tile: (...args) => migrations.tile(...args),

  // say has a screen reader tell something, once it has told what was before.
  say(words) {
    const p = el("p", {}, words);
    byId("said").append(p);
    setTimeout(() => p.remove(), 20e3);
  },
};

const migrations = new Migrations(page);
const history = new History(page);
const checks = new Checks(page);

const notices = new Keyed(byId("notices"), (n) => n.text, (n) => ({ node: el("p", { class: `notice ${n.tone}` }, n.text) }));

// noticesOf are what somebody should see to.
function noticesOf(h) {
  const all = [];
  const add = (tone, words) => all.push({ tone, text: words });
  if (h.draining) add("warn", "The daemon is stopping: no migration begins, and it ends when those under way have.");
  if (h.configuration.refused) add("bad", `The configuration was not reloaded: ${h.configuration.refused.error}`);
  else if (h.configuration.differs) add("warn", "The configuration's files differ from what is in use: systemctl reload sluice");
  if (h.configuration.restart?.length) add("warn", `A restart is needed for ${h.configuration.restart.join(", ")}.`);
  for (const e of h.certificates.reload_errors ?? []) add("bad", `Certificates were not reloaded: ${e.error}`);
  for (const words of h.certificates.warnings ?? []) add("warn", words);
  if (h.history.problem) add("bad", `History: ${h.history.problem}`);
  for (const l of h.leaving ?? []) if (l.overdue) add("bad", `Nobody can tell yet where guest ${l.guest} runs, which went to ${l.peer}: ${l.last}`);
  for (const e of h.earlier ?? []) add("", `An earlier sluice of this host (process ${e.pid}, ${e.version}) finishes ${w.count(e.sessions, "session")}.`);
  return all;
}

follow({
  host(h) {
    const build = document.documentElement.dataset.build;
    if (h.build !== build && !document.querySelector("dialog[open]")) return location.reload(); // the daemon is another one
    page.host = h.name;
    page.tokenFile = h.token_file;
    text(byId("name"), h.name);
    notices.update(noticesOf(h));
    checks.host(h);
  },
  peers: (all) => checks.peers(all),
  sessions: (all) => migrations.sessions(all),
  ended(all) {
    migrations.ended(all);
    history.load();
  },
  checks: (c) => checks.checks(c),
}, (state) => {
  set(byId("link"), "class", `link ${state}`);
  text(byId("link"), { live: "Live", lost: "Connection lost, trying again", paused: "Paused" }[state]);
});

// Views are chosen by the address, so that "back" works and a view can be linked to. No element has
// their names as its id: a browser would scroll to it.
const views = [...document.querySelectorAll("[data-view]")];

function route(moved) {
  const named = views.find((v) => `#${v.dataset.view}` === location.hash);
  if (moved && !named && location.hash) return; // it is a place in the view
  const view = named ?? views[0];
  for (const v of views) v.hidden = v !== view;
  for (const a of document.querySelectorAll("nav a")) set(a, "aria-current", a.hash === `#${view.dataset.view}` ? "page" : null);
  if (!moved) return;
  scrollTo(0, 0);
  view.querySelector("h1").focus({ preventScroll: true });
}

addEventListener("hashchange", () => route(true));
route(false);
setInterval(() => migrations.draw(), 15e3); // results go after a while
