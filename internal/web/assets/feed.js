// The feed is the daemon's events. A page that nobody looks at lets go of them after a while: a
// browser has few connections to one place, which its tabs share.

const HIDDEN = 30e3; // milliseconds

export function follow(handlers, state) {
  let source = null;
  let hidden = 0;
  const begin = () => {
    if (source) return;
    source = new EventSource("/events");
    source.onopen = () => state("live");
    source.onerror = () => {
      state("lost");
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      source = null; // refused, as while the page is open too often, or the daemon is being replaced
      setTimeout(() => document.hidden || begin(), 3000); // one that is seen again begins by itself
    };
    for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (e) => handle(JSON.parse(e.data)));
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (!document.hidden) return begin();
    hidden = setTimeout(() => {
      source?.close();
      source = null;
      state("paused");
    }, HIDDEN);
  });
  begin();
}

// ask asks the daemon for something else; what it refuses is an Error in its words.
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the daemon does not answer");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.error ?? `the daemon answers ${answer.status}`), { status: answer.status });
  return body;
}
