/* pictures in rows */
const caption = (index) => data.gallery.captions[index];
function picture(indices, at, told) {
  const index = indices[at], name = caption(index);
  const button = make("button", "", { type: "button", "aria-label": name });
  if (data.gallery.side) {
    button.className = "picture";
    const [column, row] = corner("gallery", index), { columns } = data.gallery;
    const share = (place, of) => (of > 1 ? `${(100 * place) / (of - 1)}%` : "0%");
    button.style.backgroundPosition = `${share(column, columns)} ${share(row, Math.ceil(data.gallery.count / columns))}`;
  } else {
    button.className = "chip";
    button.textContent = name.split(" · ")[0];
  }
  button.onfocus = button.onpointerenter = () => (told.textContent = name);
  button.onclick = () => enlarge("gallery", indices, at, caption);
  return button;
}
function row(indices, told, label) {
  const box = make("div", "", { class: data.gallery.side ? "row" : "row words", role: "group", "aria-label": label });
  box.append(...indices.map((_, at) => picture(indices, at, told)));
  return box;
}
/* one stop for Tab, arrow keys within */
function walk(box) {
  const buttons = [...box.querySelectorAll("button")];
  for (const [at, button] of buttons.entries()) button.tabIndex = at ? -1 : 0;
  box.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && buttons[buttons.indexOf(event.target) + step];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  return box;
}

/* clusters */
const largest = Math.max(...data.clusters.map((cluster) => cluster.size));
function card(cluster) {
  const box = make("article", "", { class: "card" });
  box.style.setProperty("--own", colour(cluster.id));
  const heading = make("h3"), told = make("p", "", { class: "told", "aria-hidden": "true" });
  heading.append(make("span", title(cluster)));
  if (cluster.size && data.mapped) {
    const only = make("button", "On the map", { type: "button", "aria-label": `${title(cluster)} on the map` });
    only.onclick = () => isolate(cluster.id);
    heading.append(only);
  }
  const facts = [`${count(cluster.size)} image${cluster.size === 1 ? "" : "s"}`];
  if (cluster.size) facts.push(`mean ${data.measure} ${cluster.confidence.toFixed(3)}`);
  if (cluster.truth) facts.push(cluster.truth);
  const bar = make("div", "", { class: "bar" });
  bar.style.setProperty("--share", `${(100 * cluster.size) / Math.max(1, largest)}%`);
  box.append(heading, make("p", facts.join(" · ")), bar);
  for (const [name, indices] of Object.entries(cluster.galleries)) {
    if (indices.length) box.append(make("h4", name), walk(row(indices, told, `${title(cluster)}, ${name}`)));
  }
  if (cluster.size) box.append(told);
  return box;
}
const cards = new Map(data.clusters.map((cluster) => [cluster, card(cluster)]));
function filterCards() {
  const wanted = byId("search").value.trim().toLowerCase(), key = byId("sort").value;
  const order = [...data.clusters].sort((a, b) => (key === "id" ? a.id - b.id : b[key] - a[key]));
  for (const cluster of order) cards.get(cluster).hidden = !`${title(cluster)} ${cluster.truth}`.toLowerCase().includes(wanted);
  byId("cards").replaceChildren(...order.map((cluster) => cards.get(cluster)));
  byId("shown").textContent = `${order.filter((cluster) => !cards.get(cluster).hidden).length} of ${order.length} clusters`;
}
byId("search").oninput = byId("sort").onchange = filterCards;
filterCards();

/* odd ones */
for (const finding of data.findings) {
  const box = make("div"), told = make("p", "", { class: "note told", "aria-hidden": "true" });
  for (const [label, indices] of finding.groups) {
    const group = make("div", "", { class: "group" });
    group.style.setProperty("--many", indices.length);
    group.append(row(indices, told, `${finding.title} ${label}`), document.createTextNode(label));
    box.append(group);
  }
  byId("odd").append(make("h3", finding.title), make("p", finding.note, { class: "note" }), walk(box));
  if (finding.groups.length) byId("odd").append(told);
}
if (!data.findings.length) byId("odd").append(make("p", "Without embeddings nothing can be said of them."));
