// @ts-check
/**
 * Words in the person's language. English is written in the scripts; another language's catalogue (Django's domain
 * "djangojs", which {% catalogue %} puts into the page) is there before any script runs, so none waits for it.
 */

const told = document.getElementById("catalogue")?.textContent;
/** @type {{catalog: Record<string, string|string[]>, forms?: string}} */
const book = told ? JSON.parse(told) : { catalog: {} };

/** @param {string} text literal, so that makemessages finds it @returns {string} */
export function gettext(text) {
  const found = book.catalog[text];
  return (Array.isArray(found) ? found[0] : found) || text;
}

/**
 * One or many, in as many forms as the language has. `forms` says for each number below 200 which one it takes, and
 * what is above goes by its last two digits: our policy lets no script work out the catalogue's own formula.
 * @param {string} one @param {string} many @param {number} n @returns {string}
 */
export function ngettext(one, many, n) {
  const found = book.catalog[one], form = book.forms?.[n < 200 ? n : 100 + (n % 100)] ?? (n === 1 ? 0 : 1);
  return (Array.isArray(found) && found[Number(form)]) || (n === 1 ? one : many);
}

/** Put values in for %(name)s. @param {string} text @param {Record<string, string|number>} values */
export function interpolate(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_whole, name) => String(values[name] ?? ""));
}
