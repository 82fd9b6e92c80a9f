// @ts-check
// Dialogs open from [data-open-dialog], menus close from outside, toasts go away, codes are copied.
import { gettext as _ } from "./i18n.js";

const TOAST_MS = 7000, UNDO_MS = 12_000;

/** @param {Element} toast */
function keepFor(toast) {
  if (toast.classList.contains("toast--error")) return; // an error stays until it was read
  const timer = setTimeout(() => toast.remove(), toast.querySelector(".toast__undo") ? UNDO_MS : TOAST_MS);
  // Who points at it or has come to it by keyboard is not done with it.
  for (const kind of ["pointerenter", "focusin"]) toast.addEventListener(kind, () => clearTimeout(timer), { once: true });
}

/**
 * Show a message for a moment.
 * @param {string} text
 * @param {"info"|"success"|"warning"|"error"} [level]
 * @param {() => void} [undo] the way back, behind a button
 */
export function toast(text, level = "info", undo) {
  const shelf = document.querySelector(".toasts");
  if (!(shelf instanceof HTMLElement)) return;
  const box = document.createElement("div");
  box.className = `toast toast--${level}`;
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "toast__close";
  close.setAttribute("aria-label", shelf.dataset.close ?? "Close");
  close.textContent = "✕";
  box.append(words);
  if (undo) {
    const back = document.createElement("button");
    back.type = "button";
    back.className = "linklike toast__undo";
    back.textContent = _("Undo");
    back.addEventListener("click", () => {
      box.remove();
      undo();
    });
    box.append(back);
  }
  box.append(close);
  shelf.append(box);
  keepFor(box);
}

/** @param {HTMLElement} button */
async function copy(button) {
  const source = document.getElementById(button.dataset.copy ?? "");
  if (!source) return;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText((source.textContent ?? "").trim());
    button.textContent = button.dataset.copied ?? before;
  } catch {
    getSelection()?.selectAllChildren(source); // no permission: select it, the person copies it
  }
  setTimeout(() => {
    button.textContent = before;
  }, 1600);
}

/** @param {HTMLDialogElement} dialog @param {MouseEvent} event */
function outside(dialog, { clientX: x, clientY: y }) {
  const box = dialog.getBoundingClientRect();
  return x < box.left || x > box.right || y < box.top || y > box.bottom;
}

export function startDialogs() {
  /** Where the press began: a selection that ends outside closes nothing. @type {EventTarget|null} */
  let pressed = null;
  document.addEventListener("pointerdown", (event) => {
    pressed = event.target instanceof HTMLDialogElement && outside(event.target, event) ? event.target : null;
  });
  document.querySelectorAll(".toast").forEach(keepFor);
  for (const back of document.querySelectorAll("[data-back]")) {
    if (!(back instanceof HTMLElement) || history.length < 2) continue;
    back.hidden = false;
    back.addEventListener("click", () => history.back());
  }
  // What grows to the right is read from its newest end.
  for (const wide of document.querySelectorAll("[data-scroll-end]")) wide.scrollLeft = wide.scrollWidth;
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element)) return;
    target.closest(".toast__close")?.closest(".toast")?.remove();
    const opener = target.closest("[data-open-dialog]");
    if (opener instanceof HTMLElement) {
      const dialog = document.getElementById(opener.dataset.openDialog ?? "");
      if (dialog instanceof HTMLDialogElement) dialog.showModal();
    }
    const closer = target.closest("[data-close-dialog]");
    if (closer) closer.closest("dialog")?.close();
    // The backdrop belongs to the dialog itself, and so does its padding: only outside of its box is outside.
    if (target instanceof HTMLDialogElement && target === pressed && outside(target, event)) target.close();
    const copier = target.closest("[data-copy]");
    if (copier instanceof HTMLElement) void copy(copier);
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(target) || opener) menu.removeAttribute("open");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      menu.removeAttribute("open");
      menu.querySelector("summary")?.focus();
    }
  });
}
