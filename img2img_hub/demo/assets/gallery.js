// The models as cards. Each is a label around a radio button that covers it unseen, so that a click anywhere, arrow keys
// and screen readers all choose by what browsers bring along. props.cards: [{key, name, story, thumbnail}], props.value:
// the chosen key. Gradio runs this with `element` (our place on the page), `props`, `trigger` and `watch`.
const CHINESE = (navigator.language || "").toLowerCase().startsWith("zh");
const root = element.querySelector(".gallery");
const group = `model-${Math.random().toString(36).slice(2)}`;
let drawn = "";

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function card({ key, name, story, thumbnail }, index) {
  const ids = [`${group}-${index}-name`, `${group}-${index}-story`];
  const radio = make("input", { type: "radio", name: group, value: key, "aria-labelledby": ids[0], "aria-describedby": ids[1] });
  radio.onchange = () => { props.value = key; mark(); trigger("input"); };
  const picture = thumbnail ? make("img", { src: thumbnail, alt: "" }) : make("span", { class: "blank", "aria-hidden": "true" }, name.slice(0, 1));
  const words = make("span", { class: "words" }, make("span", { class: "name", id: ids[0] }, name), make("span", { class: "story", id: ids[1] }, story));
  return make("label", { class: "card" }, radio, picture, words);
}

function build() {
  const now = JSON.stringify(props.cards);
  if (now !== drawn) {
    drawn = now;
    const focused = root.contains(document.activeElement);
    const heading = make("span", { class: "heading", id: group }, CHINESE ? "模型" : "Model");
    root.replaceChildren(heading, make("div", { class: "cards", role: "radiogroup", "aria-labelledby": group }, ...props.cards.map(card)));
    mark();
    if (focused) root.querySelector("input:checked")?.focus();
  }
  mark();
}

function mark() {
  for (const radio of root.querySelectorAll("input")) {
    radio.checked = radio.value === props.value;
    radio.parentElement.classList.toggle("chosen", radio.checked);
  }
}

build();
watch("cards", build);
watch("value", mark);
