"use strict";

const $ = (id) => document.getElementById(id);
const MOST_SHOWN = 20;
let models = [];
let token = "";

const number = (value) => (value === null ? "none" : Number(value.toPrecision(4)).toString());

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("the service does not answer");
  }
  const found = await response.json().catch(() => ({ error: `the service answered ${response.status}` }));
  if (response.status === 401) $("secret").hidden = false;
  if (!response.ok) throw Object.assign(new Error(found.error), { status: response.status });
  return found;
}

function chosen() {
  return models[Number($("model").value)];
}

function address(query = "") {
  const model = chosen();
  return `models/${encodeURIComponent(model.name)}/versions/${model.version}/score${query}`;
}

async function begin() {
  try {
    models = (await ask("models")).models;
  } catch (error) {
    $("about").textContent = "";
    say(error.message, true);
    return;
  }
  $("secret").hidden = true;
  say("");
  $("model").replaceChildren(
    ...models.map((model, i) => new Option(`${model.name}, version ${model.version}`, String(i))),
  );
  $("choice").hidden = models.length < 2;
  show();
}

function show() {
  const model = chosen();
  const rate = number(100 * model.false_alarm_rate);
  $("about").textContent =
    `${model.name}: ${model.detector}, ${model.takes}. Anomalies score above ${number(model.threshold)}; ` +
    `${rate} % of normal ones may do so, too.`;
  $("pictures").hidden = model.kind !== "pictures";
  $("table").hidden = model.kind === "pictures";
  if (model.kind !== "pictures") {
    const usual = { number: 0, category: "", boolean: false };
    const row = Object.fromEntries(model.columns.map((name, i) => [name, usual[model.kinds[i]]]));
    $("row").value = JSON.stringify(row, null, 1);
  }
}

function lines(article, caption, head, rows) {
  const table = article.querySelector("table");
  table.hidden = !rows.length;
  table.querySelector("caption").textContent = caption;
  const cells = (kind, values) =>
    values.map((value) => Object.assign(document.createElement(kind), { textContent: value }));
  table.querySelector("thead tr").replaceChildren(...cells("th", head));
  table.querySelector("tbody").replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      line.append(...cells("td", row));
      return line;
    }),
  );
}

function box(svg, [x, y, width, height], kind) {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ x, y, width, height, class: kind })) rect.setAttribute(name, value);
  svg.append(rect);
}

function picture(article, file, result) {
  const figure = article.querySelector("figure");
  const [shown, heat, svg] = [".picture", ".heat", "svg"].map((what) => figure.querySelector(what));
  figure.hidden = false;
  shown.alt = `The picture ${result.name}`;
  shown.src = URL.createObjectURL(file);
  const size = (image) => {
    svg.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
    for (const one of [shown, heat]) one.classList.toggle("small", image.naturalWidth < 300);
  };
  const release = () => URL.revokeObjectURL(shown.src);
  shown.onload = () => {
    size(shown);
    release();
  };
  shown.onerror = () => {
    release();
    shown.alt = "This browser cannot show such files; the map is below.";
    heat.onload = () => size(heat);
    if (heat.complete && heat.naturalWidth) size(heat);
    heat.classList.add("alone");
  };
  if (result.map) {
    heat.src = result.map;
    heat.hidden = false;
  }
  const regions = result.regions ?? [];
  for (const region of regions) for (const kind of ["rim", "line"]) box(svg, region.box, kind);
  figure.querySelector("figcaption").hidden = !result.map;
  figure.querySelector(".show-heat").onchange = (event) => (heat.hidden = !event.target.checked);
  figure.querySelector(".show-regions").onchange = (event) => (svg.style.display = event.target.checked ? "" : "none");
  const rows = regions.map((one) => [one.box.join(", "), String(one.area), number(one.value)]);
  const more = rows.length > MOST_SHOWN ? `, the first ${MOST_SHOWN} of them` : "";
  const caption = `${rows.length} region${rows.length === 1 ? "" : "s"}${more}`;
  lines(article, caption, ["left, top, width, height", "pixels", "usual deviations"], rows.slice(0, MOST_SHOWN));
}

function add(answer, result, file) {
  const article = $("result").content.cloneNode(true).querySelector("article");
  article.classList.add(result.verdict);
  article.querySelector("h2").textContent = result.name;
  article.querySelector(".verdict strong").textContent = result.verdict;
  article.querySelector(".verdict span").textContent =
    `score ${number(result.score)} (threshold ${number(answer.threshold)}), p-value ${number(result.p_value)}`;
  if (file) picture(article, file, result);
  if (result.shares) {
    const sorted = Object.entries(result.shares).sort((a, b) => b[1] - a[1]);
    const rows = sorted.slice(0, MOST_SHOWN).map(([name, share]) => [name, `${Math.round(100 * share)} %`]);
    lines(article, "where", ["column", "share"], rows);
  }
  $("results").prepend(article);
  return article;
}

async function scored(files) {
  const wrong = [];
  let done = 0;
  for (const file of files) {
    say(`Scoring ${file.name}…`);
    const form = new FormData();
    form.append("file", file);
    try {
      const answer = await ask(address("?map=1"), { method: "POST", body: form });
      add(answer, answer.results[0], file);
      done += 1;
    } catch (error) {
      wrong.push(error.message.startsWith(file.name) ? error.message : `${file.name}: ${error.message}`);
      if (error.status === 401) break;
    }
  }
  const first = $("results").querySelector("article");
  const one = () => `${first.querySelector("h2").textContent}: ${first.querySelector(".verdict").textContent.trim()}`;
  const words = done === 1 ? one() : `${done} pictures are scored.`;
  const listed = wrong.slice(0, MOST_SHOWN).join("\n") + (wrong.length > MOST_SHOWN ? `\n${wrong.length} in all.` : "");
  say(wrong.length ? (done ? `${words}\n${listed}` : listed) : words, wrong.length > 0);
}

$("model").onchange = show;
$("files").onchange = async (event) => {
  await scored([...event.target.files]);
  event.target.value = "";
};
for (const kind of ["dragenter", "dragover"]) {
  $("pictures").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  $("pictures").addEventListener(kind, () => $("drop").classList.remove("over"));
}
$("pictures").addEventListener("drop", (event) => {
  event.preventDefault();
  scored([...event.dataTransfer.files]);
});
$("ask").onsubmit = async (event) => {
  event.preventDefault();
  if (!$("secret").hidden) {
    token = $("token").value;
    await begin();
    return;
  }
  try {
    const row = JSON.parse($("row").value);
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(address(), { method: "POST", body: JSON.stringify({ row }), headers });
    const article = add(answer, answer.results[0], null);
    say(article.querySelector(".verdict").textContent.trim());
  } catch (error) {
    say(error.message, true);
  }
};
begin();
