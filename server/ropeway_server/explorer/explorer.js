// The explorer: what there is, a view of it, and a few of its samples. What the service tells is only ever set as text.

import {ask, json, keys, token} from "./service.js";
import {hues, sunburst} from "./sunburst.js";

const SHOWN = 8;   // samples of a view
const $ = id => document.getElementById(id);
const count = value => value.toLocaleString("en");

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);   // text is text here, whatever it looks like
  return made;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

const turns = {};   // how often something was begun in each place: answers may come in another order than they were asked for

/** Whatever was begun in `place` shows nothing from now on. */
function dropped(place) {
  $(place).hidden = true;
  return turns[place] = (turns[place] ?? 0) + 1;
}

/** Do something, and say in `place` what went wrong; `work` is told how to ask whether it is still wanted. */
async function tried(place, work) {
  const turn = dropped(place), wanted = () => turns[place] === turn;
  try {
    await work(wanted);
  } catch (error) {
    if (!wanted()) return;
    $(place).textContent = error.message;
    $(place).hidden = false;
  }
}

async function load(wanted) {
  const form = $("query");
  for (const place of ["refused", "unseen"]) dropped(place);   // what somebody else asked for
  $("forget").hidden = !token.get();
  for (const place of ["name", "totals", "sunburst", "domains", "view", "samples"]) $(place).replaceChildren();
  $("datasets").tBodies[0].replaceChildren();
  for (const field of [form.elements.dataset, form.elements.task]) field.length = 1;
  const by = ["domain", "dataset", "split"];
  const [me, datasets, tasks, rows] = await Promise.all([
    json("v1/me"), json("v1/datasets"), json("v1/tasks"), json(`v1/stats?${by.map(name => `by=${name}`).join("&")}`),
  ]);
  if (!wanted()) return;
  $("name").textContent = me.name;
  totals(datasets);
  $("sunburst").append(sunburst(rows, by, ([, dataset, split]) => choose(dataset ?? "", split ?? "")));
  domains(rows);
  $("datasets").tBodies[0].append(...datasets.map(row));
  form.elements.dataset.append(...datasets.map(({id}) => el("option", {}, id)));
  form.elements.task.append(...tasks.map(({task}) => el("option", {}, task.id)));
}

function totals(datasets) {
  const sum = name => datasets.reduce((all, one) => all + one[name], 0);
  const told = {Datasets: count(datasets.length), Domains: count(new Set(datasets.map(({domain}) => domain)).size),
    Samples: count(sum("samples")), Size: size(sum("bytes"))};
  $("totals").append(...Object.entries(told).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function domains(rows) {
  for (const [domain, hue] of hues(rows, "domain")) {
    const dot = el("span", {class: "dot"}), samples = rows.reduce((all, one) => all + (one.domain === domain ? one.samples : 0), 0);
    dot.style.setProperty("--hue", hue);
    $("domains").append(el("li", {}, dot, domain, el("span", {class: "number"}, count(samples))));
  }
}

function row(one) {
  const name = el("button", {class: "link", type: "button"}, one.id);
  name.addEventListener("click", () => choose(one.id, ""));
  return el("tr", {},
    el("td", {}, name, el("span", {class: "title"}, one.title)),
    el("td", {"data-name": "Domain"}, one.domain),
    el("td", {"data-name": "Samples", class: "number"}, count(one.samples)),
    el("td", {"data-name": "Subjects", class: "number"}, count(one.subjects)),
    el("td", {"data-name": "Size", class: "number"}, size(one.bytes)),
    el("td", {"data-name": "Access"}, el("span", {class: `tier ${one.access === "open" ? "open" : ""}`}, one.access)),
    el("td", {"data-name": "Licence"}, one.licence));
}

function choose(dataset, split) {
  const form = $("query");
  form.elements.dataset.value = dataset;
  form.elements.split.value = split;
  form.elements.dataset.focus();
}

async function makeView(wanted) {
  const form = $("query");
  for (const place of ["view", "samples"]) $(place).replaceChildren();
  dropped("unseen");
  const body = {};
  if (form.elements.dataset.value) body.datasets = [form.elements.dataset.value];
  for (const field of [form.elements.task, form.elements.split, form.elements.where]) if (field.value.trim()) body[field.name] = field.value.trim();
  const view = await json("v1/views", {method: "POST", body});
  if (!wanted()) return;
  $("view").append(facts(view), code(view), ...Object.entries(view.label_counts).map(([task, counts]) => histogram(task, counts)));
  await tried("unseen", wanted => showSamples(view, wanted));
}

function facts(view) {
  const names = Object.keys(view.datasets);
  const told = {View: view.id, Samples: count(view.samples), Size: size(view.bytes),
    Datasets: names.length > 3 ? count(names.length) : names.join(", ")};
  return el("dl", {}, ...Object.entries(told).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function code(view) {
  const url = new URL(".", location.href).href.replace(/\/$/, "");
  const text = `ropeway.StreamingLoader(ropeway.connect("${url}").view("${view.id}"), batch_size=256)`;
  const copy = el("button", {type: "button"}, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
  });
  const parts = navigator.clipboard ? [copy] : [];   // browsers give it to pages by https, or of this machine
  return el("div", {}, el("h3", {}, "Stream it in Python"), el("div", {class: "code"}, el("pre", {tabindex: "0"}, text), ...parts));
}

function histogram(task, counts) {
  const most = Math.max(1, ...Object.values(counts));
  const bars = Object.entries(counts).flatMap(([label, samples]) => {
    const bar = el("div", {class: "bar"});
    bar.style.width = `${100 * samples / most}%`;
    return [el("span", {}, label), el("div", {}, bar), el("span", {class: "number"}, count(samples))];
  });
  return el("div", {}, el("h3", {}, task), el("div", {class: "histogram"}, ...bars));
}

/** A few of a view's samples, by a small view of their own. */
async function showSamples(view, wanted) {
  if (view.definition === null) return;   // over datasets that we may not know: nobody tells how to make it smaller
  const body = {kind: "limit", of: view.definition, count: Math.min(SHOWN, view.samples), seed: 0};
  const few = await json("v1/views", {method: "POST", body});
  const {licence, needed, accepted} = await json(`v1/views/${few.id}/licence`);
  if (!wanted()) return;
  if (needed && accepted === null) {
    $("samples").replaceChildren(terms(licence, [view.id, few.id], wanted => showSamples(view, wanted)));
    return;
  }
  const [{shards}, found] = await Promise.all([json(`v1/views/${few.id}/shards`), keys(few.id)]);
  const tiles = await Promise.all(found.map(([key, shard]) => tile(shards[shard].dataset, key)));
  if (wanted()) $("samples").replaceChildren(...tiles);
}

/** What has to be accepted before samples are given, by somebody whom the service knows. */
function terms(licence, views, then) {
  const accept = el("button", {type: "button", class: "main"}, "Accept");
  accept.addEventListener("click", () => tried("unseen", async wanted => {
    for (const view of views) await json(`v1/views/${view}/licence`, {method: "POST"});
    await then(wanted);
  }));
  const datasets = licence.datasets.filter(one => one.terms.length)
    .map(one => el("li", {}, `${one.dataset}: ${one.licence} (${one.terms.join(", ")})`));
  const conflicts = licence.conflicts.map(words => el("p", {}, words));
  return el("div", {class: "terms"}, el("h3", {}, "Samples are shown to those who accept the view's terms"),
    el("ul", {}, ...datasets), ...conflicts, accept);
}

async function tile(dataset, key) {
  const path = `v1/samples/${dataset}/${key.split("/").map(encodeURIComponent).join("/")}`;
  const [sample, shown] = await Promise.all([
    json(path), ask(`${path}/preview`).then(picture, error => el("pre", {}, error.message)),
  ]);
  const labels = Object.entries(sample.labels).filter(([, label]) => label !== null && label.length !== 0);
  return el("div", {class: "sample"}, shown, `${dataset} / ${key}`,
    ...labels.map(([task, label]) => el("span", {class: "title"}, `${task}: ${[label].flat().join(", ")}`)));
}

async function picture(answer) {
  if (!answer.headers.get("Content-Type").startsWith("image/")) return el("pre", {tabindex: "0"}, await answer.text());
  const image = el("img", {alt: "preview", src: URL.createObjectURL(await answer.blob())});
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  return image;
}

$("who").addEventListener("submit", event => {
  event.preventDefault();
  token.set($("token").value.trim());
  $("token").value = "";
  tried("problem", load);
});
$("forget").addEventListener("click", () => {
  token.set("");
  tried("problem", load);
});
$("query").addEventListener("submit", event => {
  event.preventDefault();
  tried("refused", makeView);
});
tried("problem", load);
