// The painter: a sheet of palette indices, drawn on without any smoothing, so that every pixel is one of the named colours.
// A smooth paper, for line drawings, has a finer sheet, which is averaged into soft edges when it is sent.
// Gradio runs this with `element` (our place on the page), `props`, `trigger` and `watch`. props.paper is the model's
// paint.json; with `under`, the address of a picture, that lies beneath it, and what is painted covers it, half seen
// through; props.value is what was painted (a PNG as a data address) or, coming from the server, "load:" and one.
const CHINESE = (navigator.language || "").toLowerCase().startsWith("zh");
const WORDS = CHINESE
  ? { colours: "颜色", tools: "工具", brush: "画笔", pen: "笔", eraser: "橡皮", rectangle: "矩形", fill: "填充", size: "粗细",
      undo: "撤销", clear: "清空", sheet: "画布。方向键移动，空格键落笔。" }
  : { colours: "Colours", tools: "Tools", brush: "Brush", pen: "Pen", eraser: "eraser", rectangle: "Rectangle", fill: "Fill",
      size: "Size", undo: "Undo", clear: "Clear", sheet: "Drawing area. Arrow keys move, space draws." };
const FINER = 4;
const UNDO_STEPS = 50;

const root = element.querySelector(".painter");
let paper, drawing, finer, width, height, sheet, canvas, context, image, words, ring, slider; // made by build()
let undo, colour, tool, sizes, corner, last, middle, cursor, before, planned;

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
  drawing = paper.palette.length === 2; // ink and paper, which is the eraser
  finer = paper.smooth ? FINER : 1;
  [width, height] = [paper.width * finer, paper.height * finer];
  canvas = make("canvas", { width, height, tabindex: 0, role: "application" });
  canvas.setAttribute("aria-label", WORDS.sheet);
  context = canvas.getContext("2d");
  image = context.createImageData(width, height);
  const dense = (index) => (!paper.under ? 255 : index === paper.background ? 0 : 170);
  words = paper.palette.map((entry, index) => new Uint32Array(new Uint8ClampedArray([...rgb(entry.color), dense(index)]).buffer)[0]);
  if (paper.under) canvas.style.background = `url("${paper.under}") 0 0 / 100% 100%`;
  sheet = new Uint8Array(width * height).fill(paper.background);
  [undo, corner, last, cursor, before, planned] = [[], null, null, null, null, false];
  const most = Math.ceil(paper.width / 8);
  sizes = paper.palette.map((_, index) => Math.min(most, (drawing && index === paper.background ? 3 : 1) * paper.brush));

  const palette = make("div", { class: "palette", role: "radiogroup", "aria-label": WORDS.colours });
  paper.palette.forEach((entry, index) => {
    const swatch = make("span", { class: "swatch", style: `background: ${entry.color}` });
    const name = CHINESE ? entry.zh || entry.name : entry.name;
    const what = drawing && index === paper.background ? `${name} (${WORDS.eraser})` : name;
    const button = make("button", { type: "button", role: "radio" }, swatch, what);
    button.onclick = () => { choose(palette, (colour = index)); slider.value = sizes[colour]; };
    palette.append(button);
  });
  const tools = make("div", { class: "tools", role: "radiogroup", "aria-label": WORDS.tools });
  const kinds = ["brush", "rectangle", "fill"];
  kinds.forEach((kind, index) => {
    const button = make("button", { type: "button", role: "radio", "data-tool": kind }, WORDS[drawing && kind === "brush" ? "pen" : kind]);
    button.onclick = () => { tool = kind; corner = null; choose(tools, index); };
    tools.append(button);
  });
  slider = make("input", { type: "range", min: 1, max: most, value: sizes[paper.start], "aria-label": WORDS.size });
  slider.oninput = () => (drawing ? (sizes[colour] = Number(slider.value)) : sizes.fill(Number(slider.value)));
  const back = make("button", { type: "button", "data-do": "undo" }, WORDS.undo);
  back.onclick = () => undo.length && ((sheet = undo.pop()), draw(), send());
  const clear = make("button", { type: "button", "data-do": "clear" }, WORDS.clear);
  clear.onclick = () => { keep(); sheet.fill(paper.background); draw(); send(); };
  const actions = make("div", { class: "actions" }, make("label", {}, WORDS.size, slider), back, clear);
  ring = make("span", { class: "ring", hidden: "" });
  root.append(palette, tools, actions, make("div", { class: paper.smooth ? "sheet soft" : "sheet" }, canvas, ring));

  choose(palette, (colour = paper.start));
  tool = paper.tool;
  choose(tools, kinds.indexOf(tool));
  canvas.onpointerdown = down;
  canvas.onpointermove = move;
  canvas.onpointerup = canvas.onpointercancel = up;
  canvas.onpointerleave = () => (ring.hidden = true);
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
  const x = Math.floor(((event.clientX - box.left) / box.width) * width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * height);
  return [Math.max(0, Math.min(width - 1, x)), Math.max(0, Math.min(height - 1, y))];
}

function down(event) {
  if (event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  begin(place(event));
}

function begin(at) {
  keep();
  last = corner = middle = at;
  if (tool === "fill") flood(at);
  else if (tool === "brush") line(at, at);
  else { before = sheet.slice(); box(at, at); }
  draw();
}

function move(event) {
  show(event);
  if (!last) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const at of (events.length ? events : [event]).map(place)) {
    if (tool === "brush") finer > 1 ? curve(at) : line(last, at);
    else if (tool === "rectangle") { sheet.set(before); box(corner, at); }
    last = at;
  }
  if (!planned) requestAnimationFrame(() => { planned = false; draw(); });
  planned = true;
}

function up() {
  if (!last) return;
  if (tool === "brush") line(middle, last);
  last = corner = middle = null;
  send();
}

// Where the brush would draw, and how broad.
function show(event) {
  ring.hidden = tool !== "brush" || event.pointerType === "touch";
  const box = canvas.getBoundingClientRect();
  ring.style.width = ring.style.height = `${(sizes[colour] / paper.width) * box.width}px`;
  ring.style.left = `${event.clientX - box.left}px`;
  ring.style.top = `${event.clientY - box.top}px`;
}

function key(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in steps) {
    const by = (event.shiftKey ? 1 : 8) * finer;
    cursor = cursor || [width >> 1, height >> 1];
    const limits = [width - 1, height - 1];
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
  for (let y = Math.min(y0, y1); y <= Math.max(y0, y1); y++) sheet.fill(colour, y * width + left, y * width + right + 1);
}

function line([x0, y0], [x1, y1]) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let step = 0; step <= steps; step++) dot(x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps);
}

// On from the middle of the last two places to that of the next two, bent towards the place between: no corners.
function curve(at) {
  const next = [(last[0] + at[0]) / 2, (last[1] + at[1]) / 2];
  const steps = Math.max(Math.abs(at[0] - middle[0]), Math.abs(at[1] - middle[1]), 1);
  for (let step = 0; step <= steps; step++) {
    const t = step / steps;
    dot(...[0, 1].map((axis) => (1 - t) ** 2 * middle[axis] + 2 * t * (1 - t) * last[axis] + t * t * next[axis]));
  }
  middle = next;
}

function dot(x, y) {
  const radius = (sizes[colour] * finer) / 2;
  for (let row = Math.ceil(y - radius); row <= y + radius; row++) {
    if (row < 0 || row >= height) continue;
    const half = Math.sqrt(Math.max(0, radius * radius - (row - y) ** 2));
    const [left, right] = [Math.max(0, Math.round(x - half)), Math.min(width - 1, Math.round(x + half))];
    if (left <= right) sheet.fill(colour, row * width + left, row * width + right + 1);
  }
}

function flood([x, y]) {
  const old = sheet[y * width + x];
  if (old === colour) return;
  const waiting = [y * width + x];
  while (waiting.length) {
    const at = waiting.pop();
    if (sheet[at] !== old) continue;
    sheet[at] = colour;
    const column = at % width;
    if (column > 0) waiting.push(at - 1);
    if (column < width - 1) waiting.push(at + 1);
    if (at >= width) waiting.push(at - width);
    if (at + width < sheet.length) waiting.push(at + width);
  }
}

function draw() {
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < sheet.length; at++) pixels[at] = words[sheet[at]];
  context.putImageData(image, 0, 0);
  if (!cursor || document.activeElement !== canvas) return;
  context.lineWidth = finer; // seen on any colour: black around white
  for (const [colour, out] of [["black", 4.5], ["white", 3.5]]) {
    context.strokeStyle = colour;
    context.strokeRect(cursor[0] - out * finer, cursor[1] - out * finer, 2 * out * finer, 2 * out * finer);
  }
}

function send() {
  draw();
  props.value = picture().toDataURL("image/png");
  trigger("input");
}

// The sheet as the model gets it: a canvas of the paper's size, each pixel the mean of the finer ones that it covers.
function picture() {
  const small = make("canvas", { width: paper.width, height: paper.height });
  const made = new ImageData(paper.width, paper.height);
  const colours = paper.palette.map((entry) => rgb(entry.color));
  for (let y = 0; y < paper.height; y++) {
    for (let x = 0; x < paper.width; x++) {
      const sum = [0, 0, 0];
      for (let row = y * finer; row < (y + 1) * finer; row++) {
        for (let at = row * width + x * finer, end = at + finer; at < end; at++) {
          const [red, green, blue] = colours[sheet[at]];
          sum[0] += red; sum[1] += green; sum[2] += blue;
        }
      }
      made.data.set([...sum.map((value) => value / finer ** 2), 255], 4 * (y * paper.width + x));
    }
  }
  small.getContext("2d").putImageData(made, 0, 0);
  return small;
}

// An example, or what else the server sends: each pixel becomes the nearest colour of the palette.
function load(address) {
  const picture = new Image();
  picture.onload = () => {
    keep();
    context.imageSmoothingEnabled = finer > 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const colours = paper.palette.map((entry) => rgb(entry.color));
    const pixels = new Uint32Array(data.buffer);
    const nearest = new Map(); // a picture has few colours next to its pixels, and a palette may have hundreds
    for (let at = 0; at < sheet.length; at++) {
      if (!nearest.has(pixels[at])) {
        const distances = colours.map((entry) => entry.reduce((sum, value, band) => sum + (data[4 * at + band] - value) ** 2, 0));
        nearest.set(pixels[at], distances.indexOf(Math.min(...distances)));
      }
      sheet[at] = nearest.get(pixels[at]);
    }
    send();
  };
  picture.src = address;
}

build();
watch("paper", build);
watch("value", () => typeof props.value === "string" && props.value.startsWith("load:") && load(props.value.slice(5)));
