// @ts-check
// The schedule editor: a cron preset fills the line, and the next five runs follow what is typed.

const WAIT_MS = 250;

/** @param {HTMLElement} form */
function edit(form) {
  const often = form.querySelector("[data-cron-presets]");
  const cron = form.querySelector('[name="cron"]');
  const zone = form.querySelector('[name="timezone"]');
  const preview = form.querySelector(".preview");
  if (!(often instanceof HTMLSelectElement) || !(cron instanceof HTMLInputElement)) return;
  if (!(zone instanceof HTMLSelectElement) || !(preview instanceof HTMLElement)) return;
  let timer = 0;
  let asked = 0;

  const show = async () => {
    const turn = ++asked;
    const query = new URLSearchParams({ cron: cron.value, timezone: zone.value });
    try {
      const answer = await fetch(`${form.dataset.preview}?${query}`);
      if (answer.ok && turn === asked) {
        const piece = new DOMParser().parseFromString(await answer.text(), "text/html");
        preview.replaceChildren(...piece.body.childNodes);
      }
    } catch {
      // Offline for a moment: the old preview stays, and saving checks again.
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = window.setTimeout(show, WAIT_MS);
  };
  const match = () => {
    const same = [...often.options].find((option) => option.value === cron.value.trim());
    often.value = same ? same.value : "";
  };
  often.addEventListener("change", () => {
    if (often.value) cron.value = often.value;
    else cron.focus();
    later();
  });
  cron.addEventListener("input", () => {
    match();
    later();
  });
  zone.addEventListener("change", later);
  match();
  if (zone.hasAttribute("data-browser-zone")) later();
}

document.querySelectorAll("[data-schedule-editor]").forEach((form) => {
  if (form instanceof HTMLElement) edit(form);
});
