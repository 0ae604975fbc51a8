"use strict";
(() => {
  const data = JSON.parse(document.getElementById("exhibits").textContent);
  if (!data.exhibits.length) return;
  const at = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en");
  const size = (bytes) => `${number(bytes)} byte${bytes === 1 ? "" : "s"}`;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const exhibit = () => data.exhibits[at("picture").selectedIndex];
  const codec = (id) => data.codecs.find((one) => one.id === id);

  // What is seen: the wipe and the centre of the picture as parts of its sides, and the zoom.
  const view = { wipe: 0.5, zoom: 1, x: 0.5, y: 0.5 };

  function text(place, title, lines) {
    at(place).replaceChildren(
      ...[["b", title], ...lines].filter(([, line]) => line).map(([tag, line]) => {
        const element = document.createElement(tag);
        element.textContent = line;
        return element;
      }),
    );
  }

  function fill(side, step) {
    const { id, title } = codec(at(side).value);
    const image = at(`${side}-image`);
    const file = id === "original" ? { picture: exhibit().original } : step.files[id];
    image.hidden = !file;
    if (!file) return text(`${side}-text`, title, [["span", "makes no file as large as this budget"]]);
    image.src = data.pictures[file.picture];
    image.alt = `${exhibit().name}, ${title}`;
    if (id === "original") return text(`${side}-text`, title, [["span", `${number(exhibit().width)} × ${number(exhibit().height)}`]]);
    const times = file.bytes / step.bytes;
    text(`${side}-text`, title, [
      ["span", `${size(file.bytes)}, ${((8 * file.bytes) / exhibit().pixels).toFixed(4)} bpp. `],
      ["em", times > 1.1 ? `${times.toFixed(1)} times the budget: it has none nearer. ` : ""],
      ["span", file.note],
    ]);
  }

  function show() {
    const step = exhibit().steps[at("budget").value];
    const spoken = `${size(step.bytes)}, ${step.label}`;
    at("budget-text").value = spoken;
    at("budget").setAttribute("aria-valuetext", spoken);
    fill("left", step);
    fill("right", step);
  }

  function place() {
    const percent = 100 * view.wipe;
    view.x = clamp(view.x, 0.5 / view.zoom, 1 - 0.5 / view.zoom);
    view.y = clamp(view.y, 0.5 / view.zoom, 1 - 0.5 / view.zoom);
    const move = [view.x, view.y].map((centre) => `${100 * (0.5 - view.zoom * centre)}%`);
    for (const side of ["left", "right"]) {
      at(`${side}-image`).style.transform = `translate(${move}) scale(${view.zoom})`;
    }
    at("over").style.clipPath = `inset(0 0 0 ${percent}%)`;
    at("wipe").style.left = `${percent}%`;
    at("wipe").setAttribute("aria-valuenow", Math.round(percent));
    at("stage").classList.toggle("zoomed", view.zoom > 1);
  }

  function zoom(factor) {
    view.zoom = clamp(factor, 1, 4);
    at("controls").elements.zoom.value = view.zoom;
    place();
  }

  function choose() {
    const { width, height, steps } = exhibit();
    const share = at("budget").value / at("budget").max || 0;
    at("stage").style.aspectRatio = `${width} / ${height}`;
    at("budget").max = steps.length - 1;
    at("budget").value = Math.round(share * (steps.length - 1));
    Object.assign(view, { x: 0.5, y: 0.5 });
    place();
    show();
    if (at("progress")) prepareProgress();
  }

  // One finger or button: the line, or the picture when it is zoomed in.
  let drag = null;
  const part = (event) => (event.clientX - at("stage").getBoundingClientRect().left) / at("stage").clientWidth;

  function moved(event) {
    if (!drag) return;
    if (drag.wiping) {
      view.wipe = clamp(part(event) - drag.offset, 0, 1);
    } else {
      view.x = drag.x - (event.clientX - drag.left) / at("stage").clientWidth / view.zoom;
      view.y = drag.y - (event.clientY - drag.top) / at("stage").clientHeight / view.zoom;
    }
    place();
  }

  at("stage").addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const onLine = event.target === at("wipe");
    const wiping = onLine || view.zoom === 1;
    drag = { wiping, offset: onLine ? part(event) - view.wipe : 0, left: event.clientX, top: event.clientY, x: view.x, y: view.y };
    at("stage").setPointerCapture(event.pointerId);
    at("wipe").focus({ preventScroll: true });
    event.preventDefault();
    moved(event);
  });
  at("stage").addEventListener("pointermove", moved);
  for (const end of ["pointerup", "pointercancel"]) at("stage").addEventListener(end, () => (drag = null));

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  at("wipe").addEventListener("keydown", (event) => {
    const [across, down] = arrows[event.key] || [0, 0];
    if (event.shiftKey && (across || down)) {
      view.x += (0.1 * across) / view.zoom;
      view.y += (0.1 * down) / view.zoom;
    } else if (across || down) view.wipe = clamp(view.wipe + 0.02 * (across - down), 0, 1);
    else if (event.key === "Home") view.wipe = 0;
    else if (event.key === "End") view.wipe = 1;
    else if (event.key === "+") return zoom(2 * view.zoom);
    else if (event.key === "-") return zoom(view.zoom / 2);
    else return;
    event.preventDefault();
    place();
  });

  // Positions of the scrubber are powers: the first steps are far smaller than the last.
  const steps = () => exhibit().steps.filter((step) => step.codec === at("progress-codec").value);
  const bytesAt = (position) => Math.round(steps().at(-1).bytes ** (position / 1000));

  function prepareProgress() {
    const all = Math.log(steps().at(-1).bytes);
    at("progress-stage").style.aspectRatio = `${exhibit().width} / ${exhibit().height}`;
    at("progress-steps").replaceChildren(
      ...steps().map((step) => {
        const mark = document.createElement("i");
        mark.style.left = `${(100 * Math.log(step.bytes)) / all}%`;
        return mark;
      }),
    );
    scrub();
  }

  function scrub() {
    const bytes = bytesAt(Number(at("progress").value));
    const step = steps().filter((one) => one.bytes <= bytes).at(-1);
    const spoken = `${size(bytes)}, ${step ? step.label : "no whole step yet"}`;
    at("progress-image").hidden = !step;
    if (step) at("progress-image").src = data.pictures[step.files[step.codec].picture];
    at("progress-image").alt = `${exhibit().name} after ${spoken}`;
    at("progress-text").value = spoken;
    at("progress").setAttribute("aria-valuetext", spoken);
  }

  at("picture").append(...data.exhibits.map((one) => new Option(one.name)));
  for (const side of ["left", "right"]) at(side).append(...data.codecs.map((one) => new Option(one.title, one.id)));
  at("left").value = data.codecs[1].id;
  at("right").value = data.codecs[data.codecs.length > 2 ? data.codecs.length - 1 : 0].id;
  at("picture").addEventListener("change", choose);
  for (const id of ["left", "right"]) at(id).addEventListener("change", show);
  at("budget").addEventListener("input", show);
  for (const button of at("controls").elements.zoom) button.addEventListener("change", () => zoom(Number(button.value)));
  if (at("progress")) {
    at("progress-codec").append(...data.ours.map((name) => new Option(codec(name).title, name)));
    at("progress-choice").hidden = data.ours.length < 2;
    at("progress-codec").addEventListener("change", prepareProgress);
    at("progress").addEventListener("input", scrub);
  }
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  choose();
})();
