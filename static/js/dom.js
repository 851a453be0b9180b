/** Making and finding elements. Text enters a page here, as text and never as markup. */

/**
 * A new element. `class`, `data` and `on` are read apart; other attributes are set as they are, `true` as an
 * empty one, and `false`, `null` and `undefined` not at all. Children are nodes or strings.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The element with this id; a page without it is our own mistake. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id} on this page`);
  return element;
}

/** Show a message in a notice, or hide the notice when there is none. */
export function say(notice, message) {
  notice.hidden = !message;
  notice.replaceChildren(...(message ? message.split("\n").map((line) => h("p", {}, line)) : []));
}

/** `listener`, called once its calls have paused for `delay` milliseconds. */
export function debounce(listener, delay) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => listener(...values), delay);
  };
}

/** A list of name–value pairs, as the readouts show them; pairs without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", {}, ...known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Scroll `frame`, never the page, so far that `item` in it can be seen. */
export function scrollWithin(frame, item, room = 8) {
  const [box, outer] = [item.getBoundingClientRect(), frame.getBoundingClientRect()];
  if (box.top < outer.top + room) frame.scrollTop -= outer.top - box.top + room;
  else if (box.bottom > outer.bottom) frame.scrollTop += box.bottom - outer.bottom + room;
}
