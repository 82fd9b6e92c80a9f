// @ts-check
// One-letter keys: "?" shows the sheet, "/" searches, "g" and a letter goes somewhere. Never while somebody types.

/** @type {Record<string, string>} */
const PLACES = { h: "/", p: "/projects/", s: "/schedules/", f: "/fleet/" };
const WAIT_MS = 1200;

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, select, textarea"));
}

/** The box opens at once, so that no letter is lost; the search's own script comes when it is first asked for. */
function find() {
  const dialog = document.getElementById("find");
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
  dialog.showModal();
  dialog.querySelector("input")?.select();
  import("./find.js").then(({ startFinder }) => startFinder(dialog), () => location.assign("/search/"));
}

export function startKeys() {
  const sheet = document.getElementById("keys");
  if (!(sheet instanceof HTMLDialogElement)) return;
  let goAt = 0;
  document.addEventListener("click", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    if (!plain || !(event.target instanceof Element) || !event.target.closest("[data-open-find]")) return;
    event.preventDefault();
    find();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?") {
      event.preventDefault();
      sheet.showModal();
    } else if (event.key === "/") {
      event.preventDefault();
      find();
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
