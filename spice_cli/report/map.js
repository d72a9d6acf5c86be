/* map */
const canvas = byId("canvas"), tip = byId("tip"), ring = byId("ring"), points = data.points;
const total = points.cluster.length, hidden = new Set(), MARGIN = 16, NAMED = 40;
const lower = points.path.map((path) => path.toLowerCase());
let chosen = -1, places = [], visible = [], size = { width: 0, height: 0 };

function layout() {
  const map = points.maps[byId("projection").value], ratio = window.devicePixelRatio || 1;
  size = { width: canvas.clientWidth, height: canvas.clientHeight };
  canvas.width = size.width * ratio;
  canvas.height = size.height * ratio;
  canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  const wide = size.width - 2 * MARGIN, high = size.height - 2 * MARGIN;
  places = map.x.map((x, i) => [MARGIN + (x / 65535) * wide, MARGIN + (map.y[i] / 65535) * high]);
  paint();
}
function paint() {
  const context = canvas.getContext("2d"), least = Number(byId("least").value);
  const wanted = byId("path").value.trim().toLowerCase(), groups = new Map();
  visible = [];
  for (let i = 0; i < total; i++) {
    const cluster = points.cluster[i];
    if (hidden.has(cluster) || points.confidence[i] < least || !lower[i].includes(wanted)) continue;
    visible.push(i);
    groups.has(cluster) ? groups.get(cluster).push(i) : groups.set(cluster, [i]);
  }
  context.clearRect(0, 0, size.width, size.height);
  const radius = total > 4000 ? 2 : total > 400 ? 3 : 4.5;
  for (const [cluster, members] of groups) {
    context.fillStyle = colour(cluster);
    context.beginPath();
    for (const i of members) {
      context.moveTo(...places[i]);
      context.arc(...places[i], radius, 0, 7);
    }
    context.fill();
  }
  if (data.clusters.length <= NAMED) names(context, groups);
  byId("counted").textContent = `${count(visible.length)} of ${count(total)} images`;
  choose(visible.includes(chosen) ? chosen : -1);
}
function names(context, groups) {
  const style = getComputedStyle(document.body), middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  context.font = "600 15px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineWidth = 4;
  context.lineJoin = "round";
  for (const [cluster, members] of groups) {
    const { id, name } = clusters.get(cluster), text = name ? [...name].slice(0, 24).join("") : String(id);
    const at = [0, 1].map((axis) => middle(members.map((i) => places[i][axis])));
    context.strokeStyle = style.backgroundColor;
    context.strokeText(text, at[0], at[1] + 5);
    context.fillStyle = style.color;
    context.fillText(text, at[0], at[1] + 5);
  }
}

/* choosing an image */
const describe = (i) => `${points.path[i]} · ${title(clusters.get(points.cluster[i]))} · ${data.measure} ${points.confidence[i].toFixed(3)}`;
function choose(i) {
  chosen = i;
  tip.hidden = ring.hidden = i < 0;
  if (i < 0) return;
  const [x, y] = places[i];
  ring.style.left = `${x}px`;
  ring.style.top = `${y}px`;
  tip.replaceChildren(document.createTextNode(describe(i)));
  if (sheets.thumbnails) {
    const small = make("canvas", "", { "aria-hidden": "true" });
    draw(small, "thumbnails", i, 96);
    tip.prepend(small);
  }
  const beside = (at, own, all) => Math.min(Math.max(0, at > all / 2 ? at - own - 14 : at + 14), Math.max(0, all - own));
  tip.style.left = `${beside(x, tip.offsetWidth, size.width)}px`;
  tip.style.top = `${beside(y, tip.offsetHeight, size.height)}px`;
}
function nearest(x, y, within, fits = () => true) {
  let best = -1, least = within * within;
  for (const i of visible) {
    const dx = places[i][0] - x, dy = places[i][1] - y, far = dx * dx + dy * dy;
    if (far < least && fits(dx, dy)) [best, least] = [i, far];
  }
  return best;
}
const under = (event, within) => {
  const box = canvas.getBoundingClientRect();
  return nearest(event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop, within);
};
const show = (i) => enlarge("thumbnails", [i], 0, describe);
canvas.onpointermove = (event) => {
  const found = under(event, 12);
  if (found !== chosen) choose(found);
};
canvas.onpointerleave = () => choose(-1);
canvas.onclick = (event) => {
  const found = under(event, 20);
  if (found >= 0) show(found);
};
const DIRECTIONS = {
  ArrowLeft: (x, y) => x < 0 && -x >= Math.abs(y),
  ArrowRight: (x, y) => x > 0 && x >= Math.abs(y),
  ArrowUp: (x, y) => y < 0 && -y >= Math.abs(x),
  ArrowDown: (x, y) => y > 0 && y >= Math.abs(x),
};
canvas.onkeydown = (event) => {
  if (!(event.key in DIRECTIONS || ["Enter", "Escape"].includes(event.key))) return;
  event.preventDefault(); // else the same Enter would press the dialog's own button
  if (event.key === "Enter" && chosen >= 0) show(chosen);
  if (event.key === "Escape") choose(-1);
  if (!(event.key in DIRECTIONS)) return;
  const found = chosen < 0 ? nearest(size.width / 2, size.height / 2, Infinity) : nearest(...places[chosen], Infinity, DIRECTIONS[event.key]);
  if (found >= 0) choose(found);
};

/* filters */
const legend = new Map();
function press(id, on) {
  on ? hidden.delete(id) : hidden.add(id);
  legend.get(id)?.setAttribute("aria-pressed", String(on));
}
function isolate(id) {
  for (const each of clusters.keys()) press(each, each === id);
  paint();
  byId("map").scrollIntoView();
  canvas.focus({ preventScroll: true });
}
const every = (on) => () => {
  for (const id of clusters.keys()) press(id, on);
  paint();
};
function filters() {
  for (const cluster of data.clusters.filter((each) => each.size)) {
    const button = make("button", title(cluster), { type: "button", "aria-pressed": "true" });
    button.style.setProperty("--own", colour(cluster.id));
    button.onclick = () => {
      press(cluster.id, hidden.has(cluster.id));
      paint();
    };
    legend.set(cluster.id, button);
    byId("legend").append(button);
  }
  const least = byId("least"), told = () => (byId("least-shown").textContent = Number(least.value).toFixed(2));
  const lowest = points.confidence.reduce((a, b) => Math.min(a, b), 1);
  [least.min, least.max] = [Math.floor(lowest * 100) / 100, 1];
  least.value = least.min;
  told();
  least.oninput = () => (told(), paint());
  byId("path").oninput = paint;
  byId("all").onclick = every(true);
  byId("none").onclick = every(false);
  for (const name of Object.keys(points.maps)) byId("projection").append(make("option", name));
  byId("projection").onchange = layout;
  document.addEventListener("theme", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

async function ready() {
  if (data.mapped) {
    filters();
    layout();
    new ResizeObserver(() => canvas.clientWidth === size.width && canvas.clientHeight === size.height || layout()).observe(canvas);
  } else {
    byId("mapped").replaceChildren(make("p", "Without embeddings there is no map."));
  }
  await Promise.all(["gallery", "thumbnails"].map(unfold));
  if (sheets.gallery) document.head.append(make("style", `.picture { background-image: url(${sheets.gallery.src}); background-size: ${100 * data.gallery.columns}% auto; }`));
  document.body.dataset.ready = "true";
}
ready();
