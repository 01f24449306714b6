// Hands the drawing or an image to the server, and shows what it answers.
"use strict";

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const pen = canvas.getContext("2d");
let [ink, paper] = ["#111111", "#eeeeee"];
let strokes = []; // each a list of points, in the canvas's pixels
let drawing = false;
let shown = null; // what the answer is about: {content, drawn}
let asked = null; // the request under way

async function ask(content, drawn) {
  asked?.abort();
  const request = (asked = new AbortController());
  shown = { content, drawn };
  const max = Number(element("file").dataset.maxBytes);
  if (content.size > max) {
    element("answer").ariaBusy = "false";
    show({ error: `This file is too large: ${max / 1e6} MB at most.` });
    return;
  }
  element("answer").ariaBusy = "true";
  let answer;
  try {
    const query = new URLSearchParams({ run: element("run").value, drawn: drawn ? "true" : "" });
    const response = await fetch(`answer?${query}`, { method: "POST", body: content, signal: request.signal });
    answer = await response.json();
  } catch {
    answer = { error: "The server does not answer: is it still running?" };
  }
  if (request !== asked) return; // something else was asked meanwhile
  element("answer").ariaBusy = "false";
  show(answer);
  if (!drawn) element("said").scrollIntoView({ block: "nearest" }); // on a phone it is elsewhere
}

function show(answer) {
  const said = element("said");
  const failed = "error" in answer;
  said.classList.toggle("warn", failed);
  element("details").hidden = failed;
  const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
  const ofNumber = "number" in answer; // the answer of a model of whole numbers
  for (const id of ["bars", "attended"]) element(id).hidden = failed || ofNumber;
  element("digits").hidden = !ofNumber;
  if (ofNumber) {
    showNumber(answer, percent);
    return;
  }
  for (const [label, row] of [...element("bars").children].entries()) {
    const probability = failed ? 0 : answer.probabilities[label];
    row.classList.toggle("most", label === answer.label);
    row.querySelector("i").style.width = `${100 * probability}%`;
    row.lastElementChild.textContent = failed ? "–" : percent(probability);
  }
  if (failed) {
    said.textContent = answer.error;
    return;
  }
  const digit = document.createElement("b");
  digit.textContent = answer.label;
  said.replaceChildren(digit, `${percent(answer.probabilities[answer.label])} sure`);
  for (const id of ["image", "attention"]) element(id).src = answer[id];
  element("about").textContent = answer.about;
}

function showNumber(answer, percent) {
  const number = document.createElement("b");
  number.textContent = answer.number || "no number";
  const [left, top, width, height] = answer.box ?? [];
  const place = answer.box ? `, found in the photo: ${width} x ${height} pixels at ${left}, ${top}` : "";
  const sure = percent(answer.confidence);
  element("said").replaceChildren(number, answer.number ? `${sure} sure${place}` : `the likeliest one: ${sure}`);
  element("digits").replaceChildren(
    ...answer.digits.map((probability, place) => {
      const item = document.createElement("li");
      item.textContent = `${answer.number[place]}: ${percent(probability)}`;
      return item;
    }),
  );
  element("image").src = answer.image;
  element("about").textContent = answer.about;
}

function paint() {
  pen.fillStyle = paper;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = ink;
  pen.lineWidth = canvas.width / 12;
  pen.lineCap = pen.lineJoin = "round";
  for (const points of strokes) {
    pen.beginPath();
    for (const [x, y] of [points[0], ...points]) pen.lineTo(x, y); // twice the first: a dot is a line too
    pen.stroke();
  }
}

const askDrawing = () => canvas.toBlob((content) => ask(content, true));

function point(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drawing = true;
  strokes.push([point(event)]);
  paint();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drawing) return;
  strokes.at(-1).push(point(event));
  paint();
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    drawing = false;
    askDrawing();
  });

element("clear").addEventListener("click", () => {
  strokes = [];
  paint();
  askDrawing();
});
element("swap").addEventListener("click", () => {
  [ink, paper] = [paper, ink];
  paint();
  if (shown?.drawn) askDrawing();
});

element("run").addEventListener("change", showExamples);
element("run").addEventListener("change", () => shown && ask(shown.content, shown.drawn));
element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) ask(file, false);
});
element("file").addEventListener("click", (event) => {
  event.target.value = ""; // so that the same file can be chosen again
});

document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) ask(file, false);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragged");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dragged"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragged");
  const [file] = event.dataTransfer.files;
  if (file) ask(file, false);
});

async function showExamples() {
  const run = element("run").value;
  const examples = await (await fetch(`examples?${new URLSearchParams({ run })}`)).json();
  if (run !== element("run").value) return; // another model was chosen meanwhile
  if (!Array.isArray(examples)) return element("examples").replaceChildren(examples.error);
  element("examples").replaceChildren(
    ...examples.map(({ image: url, shows }) => {
      const button = document.createElement("button");
      const image = document.createElement("img");
      [image.src, image.alt] = [url, `a rendered ${shows}`];
      button.append(image);
      button.addEventListener("click", async () => ask(await (await fetch(url)).blob(), false));
      return button;
    }),
  );
}

if (matchMedia("(prefers-color-scheme: dark)").matches) [ink, paper] = [paper, ink];
paint();
showExamples();
