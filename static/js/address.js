/** The state of a page in the address bar, so that it can be shared, reloaded and gone back to. */

/** What the address asks for. */
export function asked() {
  return new URLSearchParams(location.search);
}

/** Put `state` into the address beside what other parts of the page keep there. */
export function rememberBeside(state) {
  remember({ ...Object.fromEntries(asked()), ...state });
}

/** Put `state` into the address; a `step` is one that the browser's back button undoes. Empty values are left out. */
export function remember(state, { step = false } = {}) {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const address = `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`;
  if (address === `${location.pathname}${location.search}${location.hash}`) return;
  history[step ? "pushState" : "replaceState"](null, "", address);
}
