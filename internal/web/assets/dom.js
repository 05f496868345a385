// Elements are made here alone, and what is in them is text: names and causes come from guests and
// peers, and must never become markup.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element. Attributes that are null or false are left out, those that are true are
// empty, functions listen to the event of their name, and "data" and "class" are as in HTML.
// Children are elements, text, lists of those, or nothing.
export function el(name, attributes = {}, ...inside) {
  return fill(document.createElement(name), attributes, inside);
}

// svg is el for a drawing.
export function svg(name, attributes = {}, ...inside) {
  return fill(document.createElementNS(SVG, name), attributes, inside);
}

// children are the elements and text of lists in lists, without what stands for nothing.
export const children = (list) => list.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== "");

function fill(node, attributes, inside) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else set(node, name, value);
  }
  node.append(...children(inside));
  return node;
}

// set changes an attribute if it is another one.
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? "" : value)) node.setAttribute(name, value === true ? "" : value);
}

// text changes an element's text if it is another one, so that what is selected stays selected.
export function text(node, words) {
  if (node.textContent !== String(words)) node.textContent = words;
}

export const byId = (id) => document.getElementById(id);

// Keyed has a parent's children follow a list: an item keeps its element, and so focus and what is
// open in it, for as long as it is in the list.
export class Keyed {
  constructor(parent, key, make) {
    Object.assign(this, { parent, key, make, known: new Map() });
  }

  // update has the children be those of items, in their order. What make returns has a node, and
  // update(item) if it can change.
  update(items) {
    const wanted = new Map();
    for (const item of items) wanted.set(this.key(item), item);
    for (const [key, entry] of this.known) {
      if (wanted.has(key)) continue;
      entry.node.remove();
      this.known.delete(key);
    }
    let before = this.parent.firstChild;
    for (const [key, item] of wanted) {
      let entry = this.known.get(key);
      if (!entry) {
        entry = this.make(item);
        this.known.set(key, entry);
      }
      entry.update?.(item);
      if (entry.node === before) before = before.nextSibling;
      else this.parent.insertBefore(entry.node, before);
    }
  }
}

// table makes a table whose rows fold on a narrow screen, where each cell shows the name of its
// column, unless there are few. Folding takes the meaning of rows and cells from elements, so that roles say it again.
// rows is its body.
export function table(name, columns, className = "") {
  const rows = el("tbody", { role: "rowgroup" });
  const node = el("table", { class: `${columns.length > 3 ? "folds " : ""}${className}`, role: "table", "aria-label": name },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
      columns.map((c) => el("th", { role: "columnheader", scope: "col", class: c.number ? "number" : null }, c.name)))), rows);
  const row = (cells, attributes = {}) => el("tr", { role: "row", ...attributes },
    cells.map((c, i) => el("td", { role: "cell", "data-name": columns[i].name, class: columns[i].number ? "number" : null }, c)));
  return { node, rows, row };
}
