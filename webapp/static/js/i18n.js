// @ts-check
/**
 * Words in the person's language. English is written in the scripts; another language's catalogue (as Django's
 * JSONCatalog gives it) is part of the page, so no script waits for it.
 */

const told = document.getElementById("catalogue")?.textContent;
/** @type {{catalog: Record<string, string|string[]>, plural?: string|null}} */
const book = told ? JSON.parse(told) : { catalog: {} };

/** @param {string} text literal, so that makemessages finds it @returns {string} */
export function gettext(text) {
  const found = book.catalog[text];
  return (Array.isArray(found) ? found[0] : found) ?? text;
}

/** One or many. Languages with more than two forms fall back to these two. @param {string} one @param {string} many @param {number} n */
export function ngettext(one, many, n) {
  const found = book.catalog[one];
  if (Array.isArray(found) && found.length === 2) return found[n === 1 ? 0 : 1];
  return n === 1 ? one : many;
}

/** Put values in for %(name)s. @param {string} text @param {Record<string, string|number>} values */
export function interpolate(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_whole, name) => String(values[name] ?? ""));
}
