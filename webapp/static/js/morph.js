// @ts-check
// Makes a piece of the page equal to a fresh one by changing only what differs: focus, selection, scrolling and gliding
// bars stay. Rows with an id are found again by it, wherever they stand now.

/** What scripts put on elements that the server does not know of. */
const OURS = new Set(["data-sending", "aria-busy", "open"]);

/** @param {Element} old @param {Element} fresh */
function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !OURS.has(name)) old.removeAttribute(name);
}

/** @param {Node} node */
const idOf = (node) => (node instanceof Element ? node.id : "");

/** @param {Node} one @param {Node} other */
const alike = (one, other) => one.nodeName === other.nodeName && idOf(one) === idOf(other);

/**
 * @param {Node} old in the page; changed
 * @param {Node} fresh of the same name; taken apart
 */
export function morph(old, fresh) {
  if (!(old instanceof Element) || !(fresh instanceof Element)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  attributes(old, fresh);
  const wanted = new Set([...fresh.children].map(idOf));
  // What is gone goes first, so that what stays need not be moved: a moved element loses the focus.
  for (const child of [...old.children]) if (child.id && !wanted.has(child.id)) child.remove();
  const known = new Map([...old.children].filter(idOf).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const named = known.get(idOf(next));
    // Blanks that a row left behind go, rather than the next row up over them.
    while (named && at && at !== named && !idOf(at)) at = without(at);
    const same = named ?? at;
    if (same && alike(same, next)) {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      morph(same, next);
    } else {
      old.insertBefore(next, at);
    }
  }
  while (at) at = without(at);
}

/** What follows the node, which is gone then. @param {ChildNode} node */
function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}
