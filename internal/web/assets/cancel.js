import { byId, el } from "./dom.js";
import { ask } from "./feed.js";
import * as w from "./words.js";

let token = ""; // for as long as the page is open

// cancel asks for the token, and cancels a migration.
export function cancel(s, tokenFile, done) {
  const dialog = byId("cancel");
  const problem = el("p", { class: "notice bad", role: "alert", hidden: true });
  const input = el("input", { type: "password", name: "token", required: true, autocomplete: "off", value: token });
  const go = el("button", { class: "danger" }, "Cancel the migration");
  const form = el("form", {
    submit: async (e) => {
      e.preventDefault();
      problem.hidden = true;
      go.disabled = true;
      try {
        const reply = await ask("/v1/cancel", {
          method: "POST", headers: { Authorization: `Bearer ${input.value.trim()}`, "Content-Type": "application/json" }, body: JSON.stringify({ guest: s.id }),
        });
        token = input.value.trim();
        if (form.isConnected) dialog.close(); // else it asks of another by now
        done(`${w.guest(s)}: ${w.outcome(reply)}`);
      } catch (err) {
        problem.textContent = err.message;
        problem.hidden = false;
        go.disabled = false;
        input.select();
      }
    },
  },
  el("label", {}, "Token of this daemon ", input),
  el("p", { class: "hint" }, "It is in a file on the host: ", el("code", {}, `sudo cat ${tokenFile}`)),
  problem,
  el("div", { class: "buttons" }, el("button", { type: "button", click: () => dialog.close() }, "Leave it"), go));
  dialog.replaceChildren(
    el("h2", { id: "t-cancel" }, `Cancel ${w.guest(s)}?`),
    el("p", {}, "Its migration ends, and the guest goes on at its source, unless its destination is taking it over already."),
    form);
  dialog.showModal();
  input.focus();
}
