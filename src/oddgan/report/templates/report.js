"use strict";
// What a reader can do with the page beyond reading it: filter, sort, look closely. Everything is there without it.
const all = (what, where = document) => [...where.querySelectorAll(what)];
const byName = new Intl.Collator(undefined, {numeric: true}).compare;
const PAGE = 100;

// --- galleries: filter and sort items, and look at one closely ------------------------------------------------------

const shownItems = () => all("[data-item]").filter((item) => !item.hidden);

for (const form of all("form[data-galleries]")) {
  const groups = all(".group", form.parentNode);
  const items = all("[data-item]", form.parentNode).map((node) => ({node, home: node.parentNode}));
  const orders = {
    score: (a, b) => b.dataset.score - a.dataset.score,
    p: (a, b) => a.dataset.p - b.dataset.p,
    name: (a, b) => byName(a.dataset.name, b.dataset.name),
  };
  const update = () => {
    const filters = all("[data-filter]", form).filter((select) => select.value);
    const order = orders[form.querySelector("[data-sort]").value];
    for (const {node, home} of items) {
      node.hidden = filters.some((select) => "=" + node.dataset[select.dataset.filter] !== select.value);
      home.append(node);
    }
    if (order) {
      items[0].home.append(...items.map(({node}) => node).sort(order));
    }
    for (const group of groups) {
      group.hidden = !all("[data-item]", group).some((node) => !node.hidden);
      group.classList.toggle("mixed", Boolean(order));
    }
    const count = items.filter(({node}) => !node.hidden).length;
    form.querySelector("output").value = `${count} of ${items.length} shown`;
  };
  for (const what of ["input", "change"]) form.addEventListener(what, update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  form.hidden = false;
  update();
}

const dialog = document.getElementById("large");
const stage = dialog.querySelector(".stage");
const slider = dialog.querySelector("input");
let current = null;

const slide = () => {
  all("img", stage).forEach((picture, i) => {
    picture.style.opacity = i === 0 ? 1 : Math.min(1, Math.max(0, slider.value - i + 1));
  });
  const pictures = all("img", stage);
  const at = pictures[Math.round(slider.value)];
  slider.setAttribute("aria-valuetext", at.dataset.what);
  stage.setAttribute("aria-label", at.alt);
};

const look = (item) => {
  current = item;
  const pictures = all("img", item).map((picture) => picture.cloneNode());
  pictures.forEach((picture, i) => picture.toggleAttribute("aria-hidden", i > 0));
  stage.replaceChildren(...pictures);
  slider.max = pictures.length - 1;
  slider.value = slider.max;
  slider.parentNode.hidden = pictures.length < 2;
  dialog.querySelector(".stops").replaceChildren(...pictures.map((picture) => {
    const stop = document.createElement("span");
    stop.textContent = picture.dataset.what;
    return stop;
  }));
  dialog.querySelector("#large-name").textContent = item.dataset.name;
  const said = item.querySelector("[data-said]").textContent;
  dialog.querySelector("[data-facts]").textContent = `${item.dataset.verdict} · ${said}`;
  slide();
};

const step = (by) => {
  const items = shownItems().filter((item) => item.querySelector("img"));
  look(items[(items.indexOf(current) + by + items.length) % items.length]);
};

for (const views of all(".gallery .views")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "views";
  button.setAttribute("aria-haspopup", "dialog");
  button.append(...views.childNodes);
  button.addEventListener("click", () => {
    look(button.closest("[data-item]"));
    dialog.showModal();
    stage.focus();
  });
  views.replaceWith(button);
}
slider.addEventListener("input", slide);
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
all("[data-step]", dialog).forEach((one) => one.addEventListener("click", () => step(Number(one.dataset.step))));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => current.querySelector("button").focus());
dialog.addEventListener("keydown", (event) => {
  const sideways = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const upwards = {ArrowDown: -1, ArrowUp: 1}[event.key];
  if (event.target === slider || !(sideways || upwards)) return;
  event.preventDefault();
  if (sideways) return step(sideways);
  slider.value = Math.round(slider.value) + upwards;
  slide();
});

// --- listings: find, filter, sort, and a hundred rows at a time ------------------------------------------------------

for (const form of all("form[data-listing]")) {
  const table = form.parentNode.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({row, cells: [...row.cells].map((cell) => cell.textContent)}));
  const heads = [...table.tHead.rows[0].cells];
  let found = rows;
  let page = 0;
  const show = () => {
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    page = Math.min(Math.max(page, 0), last);
    const shown = found.slice(page * PAGE, (page + 1) * PAGE);
    body.replaceChildren(...shown.map(({row}) => row));
    const number = (value) => value.toLocaleString("en");
    const span = found.length ? `${number(page * PAGE + 1)} to ${number(page * PAGE + shown.length)} of ` : "";
    form.querySelector("output").value = `${span}${number(found.length)} rows`;
    all("[data-page]", form).forEach((one) => { one.disabled = one.dataset.page < 0 ? page === 0 : page === last; });
  };
  const filter = () => {
    const part = form.querySelector("[data-find]").value.toLowerCase();
    const filters = all("[data-filter]", form).filter((select) => select.value);
    found = rows.filter(({cells}) => cells[0].toLowerCase().includes(part)
      && filters.every((select) => "=" + cells[select.dataset.column] === select.value));
    page = 0;
    show();
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const number = head.classList.contains("num");
      const compare = number ? (a, b) => a.cells[i] - b.cells[i] : (a, b) => byName(a.cells[i], b.cells[i]);
      rows.sort((a, b) => (up ? 1 : -1) * compare(a, b));
      filter();
    });
  });
  for (const what of ["input", "change"]) form.addEventListener(what, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  all("[data-page]", form).forEach((one) => one.addEventListener("click", () => { page += Number(one.dataset.page); show(); }));
  form.reset();
  form.hidden = false;
  show();
}
