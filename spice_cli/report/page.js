"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
const colour = (id) => `hsl(${(id * 137.508) % 360} 62% ${id % 2 ? 60 : 46}%)`;
const title = (cluster) => (cluster.name ? `${cluster.id} ${cluster.name}` : `cluster ${cluster.id}`);
const clusters = new Map(data.clusters.map((cluster) => [cluster.id, cluster]));
const count = (number) => number.toLocaleString("en");

/* sheets of many pictures */
const sheets = {};
async function unfold(name) {
  const letters = atob(byId(`${name}-sheet`).textContent), bytes = new Uint8Array(letters.length);
  if (!bytes.length) return;
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  const sheet = new Image();
  sheet.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  await sheet.decode();
  sheets[name] = sheet;
}
const corner = (name, index) => [index % data[name].columns, Math.floor(index / data[name].columns)];
function draw(canvas, name, index, side) {
  canvas.width = canvas.height = side;
  const own = data[name].side, [column, row] = corner(name, index), context = canvas.getContext("2d");
  context.imageSmoothingEnabled = own >= 64;
  context.drawImage(sheets[name], column * own, row * own, own, own, 0, 0, side, side);
}

/* one picture, large; `list` is what Previous and Next go through */
let open = { name: "", list: [], at: 0, describe: String };
function enlarge(name, list, at, describe) {
  open = { name, list, at, describe };
  const known = Boolean(sheets[name]);
  byId("large").hidden = !known;
  if (known) draw(byId("large"), name, list[at], 384);
  byId("caption").textContent = describe(list[at]);
  byId("before").hidden = byId("after").hidden = list.length < 2;
  if (!byId("closer").open) byId("closer").showModal();
}
const turn = (step) => () => enlarge(open.name, open.list, (open.at + step + open.list.length) % open.list.length, open.describe);
byId("before").onclick = turn(-1);
byId("after").onclick = turn(1);
byId("close").onclick = () => byId("closer").close();
byId("closer").onkeydown = (event) => {
  if (event.key === "ArrowLeft") turn(-1)();
  if (event.key === "ArrowRight") turn(1)();
};

byId("theme").onclick = () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  document.dispatchEvent(new Event("theme"));
};
