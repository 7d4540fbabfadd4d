/**
 * Where a private key is kept from page to page of a tab (kept-key.js), and when it is forgotten there: at signing out,
 * on every page that is of another session or of none, and after the time without a touch that ends a session.
 */

const PLACE = "recpipe-key"; // in sessionStorage
export const DATABASE = "recpipe-key";

/** What this tab keeps; null where that is nothing. */
export function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    return null; // nothing is kept where nothing may be
  }
}

export function put(what) {
  sessionStorage.setItem(PLACE, JSON.stringify({ ...what, touched: Date.now() }));
}

/** Whether what is kept may be used on a page. @param {DOMStringMap} page its body's: the session, and how long it may rest */
export function fits(what, page) {
  return Boolean(page.session) && what.session === page.session && Date.now() - what.touched <= Number(page.idle) * 1000;
}

/** Forget the keys of all tabs: without the database, what a tab holds cannot be opened. @returns {Promise<void>} */
export function forget() {
  try {
    sessionStorage.removeItem(PLACE);
  } catch {
    // Nothing is kept where nothing may be.
  }
  return new Promise((resolve) => {
    const request = globalThis.indexedDB?.deleteDatabase(DATABASE);
    if (!request) return resolve();
    request.onsuccess = request.onerror = request.onblocked = () => resolve();
  });
}

/** What every page does: forget what is not its own, and note that somebody is there. */
export function watch(page) {
  const now = kept();
  if (!page.session || (now && !fits(now, page))) forget();
  const touch = () => {
    const what = kept();
    if (what) fits(what, page) ? put(what) : forget();
  };
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, touch, { capture: true, passive: true });
  document.querySelector("form[action='/sign-out']")?.addEventListener("submit", forget);
}
