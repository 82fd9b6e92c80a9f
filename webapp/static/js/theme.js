// @ts-check
// The person's choice of theme lives in a cookie, so that the server writes data-theme and no page ever flashes.

const COOKIE = "nocturne-theme";

/** @param {string} choice "light", "dark" or "" for the system's own */
export function setTheme(choice) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  const age = choice ? 31536000 : 0;
  document.cookie = `${COOKIE}=${choice}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
  if (choice) document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  for (const button of document.querySelectorAll("[data-theme-switch] button")) {
    button.setAttribute("aria-pressed", String(button.getAttribute("value") === choice));
  }
  // Charts draw on canvas: they read the tokens again when they hear this.
  document.dispatchEvent(new CustomEvent("themechange", { detail: choice }));
}

export function startTheme() {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-theme-switch] button") : null;
    if (target) setTheme(target.getAttribute("value") ?? "");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!document.documentElement.dataset.theme) document.dispatchEvent(new CustomEvent("themechange", { detail: "" }));
  });
}
