// Figures in words, the same as the command line has them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// size is bytes with three digits that count.
export function size(n) {
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n >= 10 ? n.toFixed(1) : n.toFixed(2)} ${UNITS[unit]}`;
}

export const rate = (n) => `${size(n)}/s`;

// span is a length of time, in milliseconds.
export function span(ms) {
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([n]) => s >= n);
  const big = Math.floor(s / units[first][0]);
  const small = units[first + 1] && Math.floor((s % units[first][0]) / units[first + 1][0]);
  return `${big} ${units[first][1]}${small ? ` ${small} ${units[first + 1][1]}` : ""}`;
}

export const fromNano = (ns) => span(ns / 1e6);

// clock is a moment as the reader's clock has it.
export function clock(at) {
  const d = new Date(at);
  const today = d.toDateString() === new Date().toDateString();
  if (today) return d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const year = d.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return d.toLocaleString([], { day: "numeric", month: "short", year, hour: "2-digit", minute: "2-digit" });
}

// daysLeft is how many whole days there are until a moment.
export const daysLeft = (at) => Math.floor((new Date(at) - Date.now()) / 86400e3);

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// PHASES are those of a migration in their order; some have no disks to move, or no post-copy.
export const PHASES = ["connect", "begin", "prepare", "disks", "memory", "postcopy", "finish", "confirm"];

export const phase = (name) => ({ postcopy: "post-copy" })[name] ?? name;

const OUTCOMES = { moved: "Moved", failed: "Failed", cancelled: "Cancelled", unknown: "Not known", done: "Done" };

export const outcome = (s) => OUTCOMES[s.outcome || "done"] ?? s.outcome;

// tone is how an outcome is coloured; the word says it, too.
export const tone = (s) => ({ moved: "good", failed: "bad", unknown: "bad", cancelled: "dim" })[s.outcome] ?? "dim";

// guest names a session: of an intercepted connection the guest is not known.
export const guest = (s) => s.guest || s.uuid || s.intended || `(${s.kind})`;

// key tells sessions apart: one between two addresses of a host is there twice.
export const key = (s) => `${s.id}-${s.direction}`;

// way is from where to where a session goes, seen from host.
export const way = (s, host) => (s.direction === "in" ? [s.peer, host] : [host, s.peer]);

export const tls = (s) => [s.tls, s.suite, s.group].filter(Boolean).join(" ") || (s.path ? "none" : "");

// secrecy is who keeps a guest's memory and disks secret on the way.
export function secrecy(s) {
  if (!s.disks || s.disks === s.memory) return s.memory ?? "";
  return s.memory ? `memory: ${s.memory}, disks: ${s.disks}` : s.disks;
}

export function asker(a) {
  if (!a) return "";
  if (a.uid === undefined) return a.certificate ?? "";
  return `${a.user ? `${a.user} (uid ${a.uid})` : `uid ${a.uid}`}${a.pid ? `, process ${a.pid}` : ""}`;
}

export const took = (s) => span(new Date(s.ended) - new Date(s.started));
