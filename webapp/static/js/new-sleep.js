// @ts-check
// An empty field of the recipe shows the value that the chosen preset gives it, as it would be typed there.
import { gettext as _, interpolate } from "./i18n.js";

const source = document.getElementById("preset-numbers");
const form = document.getElementById("new-sleep");
/** @type {Record<string, Record<string, string | number | null>>} */
const numbers = JSON.parse(source?.textContent ?? "{}");

function show() {
  const chosen = form?.querySelector('input[name="preset"]:checked');
  const preset = chosen instanceof HTMLInputElement ? numbers[chosen.value] : undefined;
  if (!form || !preset) return;
  for (const field of form.querySelectorAll("[data-default]")) {
    const value = preset[field.getAttribute("data-default") ?? ""];
    const text = value === null || value === undefined ? "" : String(value);
    if (field instanceof HTMLInputElement) field.placeholder = text || (field.dataset.unset ?? "");
    else if (field instanceof HTMLOptionElement) {
      field.dataset.words ??= field.textContent ?? "";
      field.textContent = text ? interpolate(_("%(value)s (preset)"), { value: text }) : field.dataset.words;
    }
  }
}

form?.addEventListener("change", show);
show();
