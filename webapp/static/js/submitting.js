// @ts-check
// A form is sent once: a second press while the first is on its way does nothing.

/** Mark forms while they are on their way, and free them when the page comes back from the history. */
export function startSubmitting() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sending) {
      event.preventDefault();
      return;
    }
    form.dataset.sending = "1";
    form.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sending]")) {
      form.removeAttribute("data-sending");
      form.removeAttribute("aria-busy");
    }
  });
}
