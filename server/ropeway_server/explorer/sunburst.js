// Rings of arcs: what a column's values have of the whole, and within them the next column's.

const SIZE = 380, HOLE = 62, RING = 42;   // user units
const SVG = "http://www.w3.org/2000/svg";

/** A colour, in degrees, for each value of a column, in the order they first come. */
export function hues(rows, column) {
  const names = [...new Set(rows.map(row => String(row[column] ?? "")))];
  return new Map(names.map((name, place) => [name, 187 + 360 * place / names.length]));
}

/** Draw counts. `rows` have the columns `by` and `samples`; `chosen(names)` is called with a pressed arc's values. */
export function sunburst(rows, by, chosen) {
  const picture = node("svg", {viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": `Samples by ${by.join(", ")}`});
  const words = node("text", {class: "centre small", x: SIZE / 2, y: SIZE / 2 + 22});
  const count = node("text", {class: "centre", x: SIZE / 2, y: SIZE / 2 + 4});
  const told = (names, samples) => {
    count.textContent = samples.toLocaleString("en");
    words.textContent = shortened(names.at(-1) ?? "samples");
  };
  const whole = tree(rows, by), colours = hues(rows, by[0]);
  const ring = (branch, names, start, turn) => {
    for (const [name, inner] of branch.branches) {
      const end = start + turn * inner.samples / branch.samples, path = [...names, name];
      const arc = node("path", {d: outline(names.length, start, end), class: "arc", role: "button",
        "aria-label": `${path.join(", ")}: ${inner.samples.toLocaleString("en")} samples`, ...(names.length ? {} : {tabindex: 0})});
      arc.style.setProperty("--hue", colours.get(path[0]));
      arc.style.setProperty("--ring", names.length);
      arc.append(node("title", {}, arc.getAttribute("aria-label")));
      for (const event of ["pointerenter", "focus"]) arc.addEventListener(event, () => told(path, inner.samples));
      for (const event of ["pointerleave", "blur"]) arc.addEventListener(event, () => told([], whole.samples));
      arc.addEventListener("click", () => chosen(path));
      arc.addEventListener("keydown", event => ["Enter", " "].includes(event.key) && (event.preventDefault(), chosen(path)));
      picture.append(arc);
      ring(inner, path, start, end - start);
      start = end;
    }
  };
  if (whole.samples) ring(whole, [], 0, 1);
  told([], whole.samples);
  picture.append(count, words);
  return picture;
}

function tree(rows, by) {
  const whole = {samples: 0, branches: new Map()};
  for (const row of rows) {
    let here = whole;
    here.samples += row.samples;
    for (const column of by) {
      const name = String(row[column] ?? "");
      if (!here.branches.has(name)) here.branches.set(name, {samples: 0, branches: new Map()});
      here = here.branches.get(name);
      here.samples += row.samples;
    }
  }
  return whole;
}

/** An arc of a ring, in turns from the top. One that goes all the way round ends just before its start. */
function outline(ring, start, end) {
  const inner = HOLE + ring * RING, outer = inner + RING - 2, stop = Math.min(end, start + 0.9999);
  const point = (radius, turn) => {
    const angle = 2 * Math.PI * turn;
    return `${(SIZE / 2 + radius * Math.sin(angle)).toFixed(2)} ${(SIZE / 2 - radius * Math.cos(angle)).toFixed(2)}`;
  };
  const far = stop - start > 0.5 ? 1 : 0;
  return `M${point(inner, start)}L${point(outer, start)}A${outer} ${outer} 0 ${far} 1 ${point(outer, stop)}`
    + `L${point(inner, stop)}A${inner} ${inner} 0 ${far} 0 ${point(inner, start)}Z`;
}

function shortened(name) {
  return name.length > 18 ? `${name.slice(0, 17)}…` : name;
}

function node(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
