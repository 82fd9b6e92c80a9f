// @ts-check
/** "Copy link": asks for one that works for five minutes, copies it, and shows the command that uses it. */
import { toast } from "./dialogs.js";
import { gettext as _, interpolate } from "./i18n.js";

const form = document.querySelector("form[data-link]");
const shown = document.querySelector("[data-link-shown]");
const until = document.querySelector("[data-link-until]");

/** @param {HTMLFormElement} from */
async function ask(from) {
  const secret = /** @type {HTMLInputElement|null} */ (from.querySelector("input[name=csrfmiddlewaretoken]"));
  const headers = { "Content-Type": "application/json", "X-CSRFToken": secret?.value ?? "" };
  const answer = await fetch(from.dataset.api ?? "", { method: "POST", headers, body: "{}" }).catch(() => null);
  const said = await answer?.json().catch(() => null);
  if (!answer?.ok || !said?.url) {
    toast(said?.message ?? _("The server did not answer, so there is no link. Try again."), "error");
    return;
  }
  const command = document.getElementById("link-command");
  if (!command || !(shown instanceof HTMLElement) || !until) return;
  command.textContent = `curl -fL -C - -o ${said.name} '${said.url}'`;
  shown.hidden = false;
  const time = new Date(said.expires_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  until.textContent = interpolate(_("Works until %(time)s."), { time });
  try {
    await navigator.clipboard.writeText(said.url);
    toast(_("The link is copied."), "success");
  } catch {
    // No permission: the command is there to be copied.
  }
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!(form instanceof HTMLFormElement) || form.dataset.sending) return;
  form.dataset.sending = "1";
  void ask(form).finally(() => delete form.dataset.sending);
});
