// @ts-check
/**
 * A log-out waits until this browser has let go of the files that it holds for uploads: the next person here may be
 * another one. What lets go of them is loaded first, if the button is pressed before that.
 * @param {Promise<{letGo: () => Promise<void>}>} drawer
 */
export function startLogOut(drawer) {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    // A second press is stopped by submitting.js already.
    if (!(form instanceof HTMLFormElement) || !form.matches("[data-logout]") || event.defaultPrevented) return;
    event.preventDefault();
    void drawer
      .then(({ letGo }) => letGo())
      // Who cannot load it is logged out all the same.
      .catch(() => {})
      .then(() => form.submit());
  });
}
