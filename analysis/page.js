// Draws each figure when it comes near the window, dresses it for a light or a dark page, and gives its data away.
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)"), phone = matchMedia("(max-width: 600px)");
const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false };
const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, i1: Int8Array, u1: Uint8Array };
const drawn = new Set();
const figureOf = name => JSON.parse(document.getElementById("data-" + name).textContent);

function dressed(layout, usual) {
  const ink = dark.matches ? "#b6c0cc" : "#4c5766";
  layout.font.color = ink;
  layout.autosize = true;
  layout.hoverlabel = { bgcolor: dark.matches ? "#262e39" : "#ffffff", bordercolor: ink, font: { color: dark.matches ? "#e7ebf0" : "#1b2430" } };
  delete layout.height;
  delete layout.width;
  if (phone.matches && !layout.scene && usual) layout.margin = { l: 46, r: 8, t: 60, b: 44 };
  if (phone.matches) layout.font.size = 11;
  return layout;
}
function draw(name) {
  const figure = figureOf(name);
  Plotly.react("figure-" + name, figure.data, dressed(figure.layout, figure.layout.height === 440), CONFIG);
  drawn.add(name);
}
// One figure a task, what is in sight first, so that the first can be used while others are drawn.
const waiting = new Set();
function drawNext() {
  const distance = place => Math.abs(place.getBoundingClientRect().top);
  const [next] = [...waiting].sort((one, other) => distance(one) - distance(other));
  if (!next) return;
  waiting.delete(next);
  if (!drawn.has(next.id.slice("figure-".length))) draw(next.id.slice("figure-".length));
  setTimeout(drawNext);
}
const nearby = new IntersectionObserver(seen => {
  const idle = waiting.size === 0;
  for (const { target, isIntersecting } of seen) if (isIntersecting) {
    nearby.unobserve(target);
    waiting.add(target);
  }
  if (idle) setTimeout(drawNext);
}, { rootMargin: "600px 0px" });
const places = [...document.querySelectorAll(".figure")];
places.forEach(place => nearby.observe(place));
for (const changed of [dark, phone]) changed.addEventListener("change", () => drawn.forEach(draw));
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach(fold => { fold.open = true; });
  places.map(place => place.id.slice("figure-".length)).filter(name => !drawn.has(name)).forEach(draw);
});

// What is drawn, as rows: of every trace its panel, its values, and the ends of its bars.
function numbers(values) {
  if (!values || !values.bdata) return values && values.map ? values : [];
  const bytes = Uint8Array.from(atob(values.bdata), letter => letter.charCodeAt(0));
  const flat = Array.from(new KINDS[values.dtype](bytes.buffer));
  if (!values.shape) return flat;
  const width = Number(String(values.shape).split(",")[1]);
  return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
}
const worded = text => String(text).replace(/<br>/g, ", ").replace(/<[^>]*>/g, "");
function panelOf(trace, layout) {
  const axis = (letter, id) => layout[letter + "axis" + (id || letter).slice(1)] || {};
  const x = axis("x", trace.xaxis).domain || [0, 1], top = (axis("y", trace.yaxis).domain || [0, 1])[1];
  const heads = (layout.annotations || []).filter(note => note.xref === "paper" && note.yref === "paper" && note.text);
  const head = heads.find(note => note.x >= x[0] - 1e-6 && note.x < x[1] && Math.abs(note.y - top) < 1e-6);
  return head ? worded(head.text) : "";
}
function rowsOf(trace, layout) {
  const [x, y, z, text] = ["x", "y", "z", "text"].map(key => numbers(trace[key]));
  const shared = { panel: panelOf(trace, layout), trace: trace.name ? worded(trace.name) : "" };
  if (Array.isArray(z[0])) return z.flatMap((line, j) => line.map((value, i) => ({ ...shared, x: x[i], y: y[j], z: value })));
  const value = numbers((trace.marker || {}).color);
  return Array.from({ length: Math.max(x.length, y.length) }, (_, index) => {
    const row = { ...shared, x: x[index], y: y[index], z: z[index], value: value[index], text: text[index] && worded(text[index]) };
    for (const [key, at] of [["x", x[index]], ["y", y[index]]]) {
      const bars = trace["error_" + key];
      if (!bars || !bars.array) continue;
      row[key + "_low"] = at - numbers(bars.arrayminus || bars.array)[index];
      row[key + "_high"] = at + numbers(bars.array)[index];
    }
    return row;
  });
}
const HEADS = ["panel", "trace", "x", "x_low", "x_high", "y", "y_low", "y_high", "z", "value", "text"];
function csvOf(name) {
  const { data, layout } = figureOf(name), rows = data.flatMap(trace => rowsOf(trace, layout));
  const told = entry => entry !== undefined && entry !== null && entry !== "" && !Number.isNaN(entry);
  const heads = HEADS.filter(head => rows.some(row => told(row[head])));
  const quoted = entry => !told(entry) ? "" : /[",\n]/.test(entry) ? '"' + String(entry).replace(/"/g, '""') + '"' : String(entry);
  return [heads, ...rows.map(row => heads.map(head => row[head]))].map(row => row.map(quoted).join(",") + "\n").join("");
}
function take(href, file) {
  const link = document.createElement("a");
  link.href = href;
  link.download = file;
  link.click();
}
async function give(kind, name) {
  if (kind === "csv") {
    const address = URL.createObjectURL(new Blob([csvOf(name)], { type: "text/csv" }));
    take(address, name + ".csv");
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    return;
  }
  const place = document.getElementById("figure-" + name), figure = figureOf(name);
  const ground = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
  const layout = { ...dressed(figure.layout, false), paper_bgcolor: ground };
  const size = { width: place.clientWidth, height: place.clientHeight, scale: 2, format: "png" };
  take(await Plotly.toImage({ data: figure.data, layout }, size), name + ".png");
}
document.addEventListener("click", event => {
  const button = event.target.closest("button[data-take]");
  if (button) give(button.dataset.take, button.dataset.of);
});

// A link opens what it leads into, and the bar tells the chapter that is read.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let fold = target; fold; fold = fold.parentElement) if (fold.tagName === "DETAILS") fold.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
const links = [...document.querySelectorAll("nav.bar a")];
const chapters = links.map(link => document.getElementById(link.hash.slice(1)));
function tell() {
  const read = chapters.findLastIndex(chapter => chapter.getBoundingClientRect().top < 120);
  links.forEach((link, index) => index === read ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
  const bar = document.querySelector("nav.bar ul"), current = links[read];
  if (bar && current) bar.scrollLeft = current.offsetLeft - bar.clientWidth / 2 + current.clientWidth / 2;
}
if (links.length) {
  addEventListener("scroll", tell, { passive: true });
  tell();
}
