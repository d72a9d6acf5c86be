/* questions: answers stay on this page until they are taken away as a file */
const asked = data.questions.asked, said = new Map(), known = new Map(data.questions.clusters);
const answerable = (id) => title(clusters.get(id) ?? { id, name: known.get(id) });
const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csv = () => ["path,cluster", ...[...said].map(([place, id]) => `${cell(asked[place].key)},${id}`), ""].join("\n");
let place = 0;
function answer(id) {
  if (place >= asked.length) return;
  said.delete(place);
  if (id !== undefined) said.set(place, id);
  go(1);
}
function go(step) {
  place = Math.max(0, Math.min(asked.length, place + step));
  ask();
  byId("question").focus({ preventScroll: true });
}
function key(letter, text, act, id) {
  const button = make("button", "", { type: "button", "aria-pressed": String(id !== undefined && said.get(place) === id) });
  button.append(make("kbd", letter, { "aria-hidden": "true" }), document.createTextNode(text));
  button.onclick = act;
  return button;
}
function option([id, share], at, told) {
  const box = make("div", "", { class: "option" }), like = Object.values(clusters.get(id)?.galleries ?? {})[0] ?? [];
  box.style.setProperty("--own", colour(id));
  box.append(key(at + 1, `${answerable(id)} · ${Math.round(100 * share)} %`, () => answer(id), id));
  if (like.length) box.append(walk(row(like.slice(0, 4), told, `${answerable(id)} has images like these`)));
  return box;
}
function others() {
  const box = make("p", "", { class: "tools" }), choice = make("select", "", { "aria-label": "Another cluster" });
  choice.append(...[...known.keys()].map((id) => make("option", answerable(id), { value: id })));
  box.append(choice, key("↵", "in this one", () => answer(Number(choice.value))), key("+", "a new cluster", () => answer("+"), "+"));
  box.append(key("s", "skip", () => answer()), back());
  return box;
}
const back = () => key("⌫", "back", () => go(-1));
function ask() {
  const text = csv(), left = asked.length - place;
  byId("progress").textContent = `${left ? `question ${place + 1} of ${asked.length}` : "that was the last one"}; ${said.size} answered`;
  byId("answers").value = text;
  byId("copy").disabled = byId("download").disabled = !said.size;
  if (!left) return byId("question").replaceChildren(back());
  const { path, picture: index, options } = asked[place], told = make("p", "", { class: "note told", "aria-hidden": "true" });
  const image = make("div", "", { class: "asked" }), list = make("div", "", { class: "options" });
  image.append(picture([index], 0, told), make("p", path, { class: "note" }));
  list.append(...options.map((each, at) => option(each, at, told)));
  byId("question").replaceChildren(image, list, others(), told);
}
byId("asking").onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
  const chosen = asked[place]?.options[Number(event.key) - 1];
  const act = chosen ? () => answer(chosen[0]) : { "+": () => answer("+"), s: () => answer(), Backspace: () => go(-1) }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
};
byId("copy").onclick = () => {
  byId("answers").select();
  if (document.execCommand("copy")) byId("progress").textContent = "copied";
};
byId("download").onclick = () => {
  const link = make("a", "", { download: "answers.csv" });
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.click();
};
byId("asking").hidden = !asked.length;
if (asked.length) ask();
