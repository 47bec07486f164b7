// The loupe: of a picture and what was made of it, larger, the same place side by side, each of its pixels to be seen.
// Gradio runs this with `element` (our place on the page), `props` and `watch`. props.pair is null, or the paths of the
// two files on the server and how many times larger the second one is.
const CHINESE = (navigator.language || "").toLowerCase().startsWith("zh");
const WORDS = CHINESE
  ? { before: "之前（浏览器放大）", after: "之后", zoom: "放大", look: "移动放大镜：指针或方向键。" }
  : { before: "Before, enlarged by the browser", after: "After", zoom: "Zoom", look: "The loupe follows the pointer and the arrow keys." };
const STEP = 0.02; // of a side, for an arrow key

const root = element.querySelector(".loupe");
let at, zoom, frame, marker, panes, sides;

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function address(path) {
  return `${window.gradio_config?.root ?? ""}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
}

function build() {
  root.replaceChildren();
  if (!props.pair) return;
  [at, zoom, sides] = [[0.5, 0.5], 1, null];
  const whole = make("img", { src: address(props.pair.after), alt: "", draggable: "false" });
  marker = make("span", { class: "marker" });
  frame = make("div", { class: "overview", tabindex: 0, role: "application", "aria-label": WORDS.look }, whole, marker);
  panes = ["before", "after"].map((which) => {
    const pane = make("div", { class: "pane", "data-pane": which, role: "img", "aria-label": WORDS[which] });
    pane.style.backgroundImage = `url("${address(props.pair[which])}")`;
    return pane;
  });
  const slider = make("input", { type: "range", min: 1, max: 4, step: 1, value: zoom, "aria-label": WORDS.zoom });
  const shown = make("output", {}, `${zoom}×`);
  slider.oninput = () => { zoom = Number(slider.value); shown.value = `${zoom}×`; show(); };
  const figures = panes.map((pane, index) => make("figure", {}, pane, make("figcaption", {}, WORDS[["before", "after"][index]])));
  root.append(make("div", { class: "panes" }, ...figures), make("label", {}, WORDS.zoom, slider, shown), frame);
  whole.onload = () => { sides = [whole.naturalWidth, whole.naturalHeight]; show(); };
  frame.onpointermove = frame.onpointerdown = (event) => {
    if (event.pointerType === "touch" && event.type === "pointermove" && !event.buttons) return;
    const box = frame.getBoundingClientRect();
    look((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  frame.onkeydown = (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!(event.key in steps)) return;
    look(at[0] + STEP * steps[event.key][0], at[1] + STEP * steps[event.key][1]);
    event.preventDefault();
  };
}

function look(x, y) {
  at = [x, y].map((share) => Math.max(0, Math.min(1, share)));
  show();
}

// Both panes show the same part: the larger picture pixel by pixel, the smaller one stretched to its size.
function show() {
  if (!sides) return;
  const size = sides.map((side) => side * zoom);
  const pane = [panes[0].clientWidth, panes[0].clientHeight];
  const first = [0, 1].map((axis) => Math.max(0, Math.min(size[axis] - pane[axis], at[axis] * size[axis] - pane[axis] / 2)));
  for (const each of panes) {
    each.style.backgroundSize = `${size[0]}px ${size[1]}px`;
    each.style.backgroundPosition = `${-Math.round(first[0])}px ${-Math.round(first[1])}px`;
  }
  [["left", "width", 0], ["top", "height", 1]].forEach(([begin, length, axis]) => {
    marker.style[begin] = `${(first[axis] / size[axis]) * 100}%`;
    marker.style[length] = `${Math.min(1, pane[axis] / size[axis]) * 100}%`;
  });
}

build();
watch("pair", build);
new ResizeObserver(show).observe(root);
