// @ts-check
// One-letter keys: "?" shows the sheet, "g" and a letter goes somewhere. Never while somebody types.

/** @type {Record<string, string>} */
const PLACES = { h: "/", p: "/projects/", s: "/schedules/", f: "/fleet/" };
const WAIT_MS = 1200;

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, select, textarea"));
}

export function startKeys() {
  const sheet = document.getElementById("keys");
  if (!(sheet instanceof HTMLDialogElement)) return;
  let goAt = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?") {
      event.preventDefault();
      sheet.showModal();
    } else if (event.key === "g") {
      goAt = performance.now();
    } else if (goAt && performance.now() - goAt < WAIT_MS && PLACES[event.key]) {
      event.preventDefault();
      location.assign(PLACES[event.key]);
    } else {
      goAt = 0;
    }
  });
}
