// The painter: a sheet of palette indices, drawn on without any smoothing, so that every pixel is one of the named colours.
// Gradio runs this with `element` (our place on the page), `props`, `trigger` and `watch`. props.paper is the model's
// paint.json; props.value is what was painted (a PNG as a data address) or, coming from the server, "load:" and one.
const CHINESE = (navigator.language || "").toLowerCase().startsWith("zh");
const WORDS = CHINESE
  ? { colours: "颜色", tools: "工具", brush: "画笔", rectangle: "矩形", fill: "填充", size: "粗细", undo: "撤销", clear: "清空",
      sheet: "画布。方向键移动，空格键落笔。" }
  : { colours: "Colours", tools: "Tools", brush: "Brush", rectangle: "Rectangle", fill: "Fill", size: "Size", undo: "Undo",
      clear: "Clear", sheet: "Drawing area. Arrow keys move, space draws." };
const UNDO_STEPS = 50;

const root = element.querySelector(".painter");
let paper, sheet, canvas, context, image, undo, colour, tool, size, corner, last, cursor, before;

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function rgb(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

function build() {
  paper = props.paper;
  root.replaceChildren();
  if (!paper) return;
  canvas = make("canvas", { width: paper.width, height: paper.height, tabindex: 0, role: "application" });
  canvas.setAttribute("aria-label", WORDS.sheet);
  context = canvas.getContext("2d");
  image = context.createImageData(paper.width, paper.height);
  sheet = new Uint8Array(paper.width * paper.height).fill(paper.background);
  [undo, corner, last, cursor, before] = [[], null, null, null, null];
  size = paper.brush;

  const palette = make("div", { class: "palette", role: "radiogroup", "aria-label": WORDS.colours });
  paper.palette.forEach((entry, index) => {
    const swatch = make("span", { class: "swatch", style: `background: ${entry.color}` });
    const button = make("button", { type: "button", role: "radio" }, swatch, CHINESE ? entry.zh || entry.name : entry.name);
    button.onclick = () => choose(palette, (colour = index));
    palette.append(button);
  });
  const tools = make("div", { class: "tools", role: "radiogroup", "aria-label": WORDS.tools });
  const kinds = ["brush", "rectangle", "fill"];
  kinds.forEach((kind, index) => {
    const button = make("button", { type: "button", role: "radio", "data-tool": kind }, WORDS[kind]);
    button.onclick = () => { tool = kind; corner = null; choose(tools, index); };
    tools.append(button);
  });
  const slider = make("input", { type: "range", min: 1, max: Math.ceil(paper.width / 8), value: size, "aria-label": WORDS.size });
  slider.oninput = () => (size = Number(slider.value));
  const back = make("button", { type: "button", "data-do": "undo" }, WORDS.undo);
  back.onclick = () => undo.length && ((sheet = undo.pop()), draw(), send());
  const clear = make("button", { type: "button", "data-do": "clear" }, WORDS.clear);
  clear.onclick = () => { keep(); sheet.fill(paper.background); draw(); send(); };
  const actions = make("div", { class: "actions" }, make("label", {}, WORDS.size, slider), back, clear);
  root.append(palette, tools, actions, canvas);

  choose(palette, (colour = paper.start));
  tool = paper.tool;
  choose(tools, kinds.indexOf(tool));
  canvas.onpointerdown = down;
  canvas.onpointermove = move;
  canvas.onpointerup = canvas.onpointercancel = up;
  canvas.onkeydown = key;
  canvas.onfocus = canvas.onblur = () => draw();
  draw();
}

function choose(group, chosen) {
  [...group.children].forEach((button, index) => {
    button.setAttribute("aria-checked", index === chosen);
    button.classList.toggle("chosen", index === chosen);
  });
}

// --- what a hand does -----------------------------------------------------------------------------------------------

function place(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * paper.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * paper.height);
  return [Math.max(0, Math.min(paper.width - 1, x)), Math.max(0, Math.min(paper.height - 1, y))];
}

function down(event) {
  if (event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  begin(place(event));
}

function begin(at) {
  keep();
  last = corner = at;
  if (tool === "fill") flood(at);
  else if (tool === "brush") line(at, at);
  else { before = sheet.slice(); box(at, at); }
  draw();
}

function move(event) {
  if (!last) return;
  const at = place(event);
  if (tool === "brush") line(last, at);
  else if (tool === "rectangle") { sheet.set(before); box(corner, at); }
  last = at;
  draw();
}

function up() {
  if (!last) return;
  last = corner = null;
  send();
}

function key(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in steps) {
    const by = event.shiftKey ? 1 : 8;
    cursor = cursor || [paper.width >> 1, paper.height >> 1];
    const limits = [paper.width - 1, paper.height - 1];
    cursor = cursor.map((value, axis) => Math.max(0, Math.min(limits[axis], value + steps[event.key][axis] * by)));
    draw();
  } else if (event.key === " " && cursor) {
    if (tool === "rectangle" && corner) { box(corner, cursor); last = cursor; draw(); up(); }
    else { begin(cursor); if (tool !== "rectangle") up(); else last = null; }
  } else if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    root.querySelector('[data-do="undo"]').click();
  } else return;
  event.preventDefault();
}

// --- on the sheet ---------------------------------------------------------------------------------------------------

function keep() {
  undo.push(sheet.slice());
  if (undo.length > UNDO_STEPS) undo.shift();
}

function box([x0, y0], [x1, y1]) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  for (let y = Math.min(y0, y1); y <= Math.max(y0, y1); y++) sheet.fill(colour, y * paper.width + left, y * paper.width + right + 1);
}

function line([x0, y0], [x1, y1]) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let step = 0; step <= steps; step++) dot(x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps);
}

function dot(x, y) {
  const radius = size / 2;
  for (let row = Math.ceil(y - radius); row <= y + radius; row++) {
    if (row < 0 || row >= paper.height) continue;
    const half = Math.sqrt(Math.max(0, radius * radius - (row - y) ** 2));
    const [left, right] = [Math.max(0, Math.round(x - half)), Math.min(paper.width - 1, Math.round(x + half))];
    if (left <= right) sheet.fill(colour, row * paper.width + left, row * paper.width + right + 1);
  }
}

function flood([x, y]) {
  const old = sheet[y * paper.width + x];
  if (old === colour) return;
  const waiting = [y * paper.width + x];
  while (waiting.length) {
    const at = waiting.pop();
    if (sheet[at] !== old) continue;
    sheet[at] = colour;
    const column = at % paper.width;
    if (column > 0) waiting.push(at - 1);
    if (column < paper.width - 1) waiting.push(at + 1);
    if (at >= paper.width) waiting.push(at - paper.width);
    if (at + paper.width < sheet.length) waiting.push(at + paper.width);
  }
}

function draw(marked = true) {
  const colours = paper.palette.map((entry) => rgb(entry.color));
  for (let at = 0; at < sheet.length; at++) {
    const [red, green, blue] = colours[sheet[at]];
    image.data.set([red, green, blue, 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
  if (marked && cursor && document.activeElement === canvas) {
    context.strokeStyle = "white";
    context.strokeRect(cursor[0] - 3.5, cursor[1] - 3.5, 7, 7);
  }
}

function send() {
  draw(false);
  props.value = canvas.toDataURL("image/png");
  draw();
  trigger("input");
}

// An example, or what else the server sends: each pixel becomes the nearest colour of the palette.
function load(address) {
  const picture = new Image();
  picture.onload = () => {
    keep();
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, paper.width, paper.height);
    const { data } = context.getImageData(0, 0, paper.width, paper.height);
    const colours = paper.palette.map((entry) => rgb(entry.color));
    for (let at = 0; at < sheet.length; at++) {
      let best = Infinity;
      colours.forEach(([red, green, blue], index) => {
        const distance = (data[4 * at] - red) ** 2 + (data[4 * at + 1] - green) ** 2 + (data[4 * at + 2] - blue) ** 2;
        if (distance < best) [best, sheet[at]] = [distance, index];
      });
    }
    draw();
    send();
  };
  picture.src = address;
}

build();
watch("paper", build);
watch("value", () => typeof props.value === "string" && props.value.startsWith("load:") && load(props.value.slice(5)));
