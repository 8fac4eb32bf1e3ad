// The live figures: controls, films on canvases, and a pad to draw on. The work is done by worker.mjs.
import { centred, pad } from "./pad.mjs";

/** An element with properties, attributes where the name has a dash, and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) name.includes("-") ? made.setAttribute(name, value) : made[name] = value;
  made.append(...children);
  return made;
}

const names = (...values) => values.map(value => [value, value]);


// ---- the worker, one for all figures of a page ---------------------------------------------------

let engine;

function connect() {
  const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" }), waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data }) => {
    const { onframe, resolve, reject } = waiting.get(data.id) ?? {};
    if (!resolve) return;
    if (data.kind === "frame") return onframe(data);
    waiting.delete(data.id);
    if (data.kind !== "error") return resolve(data);
    reject(new Error(data.text));
    end(data.text);                                     // the next call begins afresh
  };
  const end = text => {
    worker.terminate();
    engine = null;
    for (const { reject } of waiting.values()) reject(new Error(text));
    waiting.clear();
  };
  worker.onerror = event => end(event.message || "its worker did not start");
  const call = (task, onframe) => new Promise((resolve, reject) => {
    waiting.set(++count, { onframe, resolve, reject });
    worker.postMessage({ id: count, ...task });
  });
  return { call, stop: () => worker.postMessage({ task: "stop" }), ready: call({ task: "load" }) };
}

const running = () => engine ??= connect();


// ---- controls ------------------------------------------------------------------------------------

const digitNames = names(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
const range = (label, min, max, step) => ({ label, type: "range", min, max, step });
const CONTROLS = {
  digit: { label: "digit", choices: [["drawn", "your drawing"], ...digitNames.map(([k]) => [k, `a ${k} of the test set`])] },
  class: { label: "class", choices: [["each", "each its own"], ...digitNames] },
  told: { label: "class told", choices: [["none", "none"], ...digitNames] },
  t: range("noised to t", 1, 1000, 1),
  steps: range("steps", 1, 100, 1),
  eta: range("η, fresh noise", 0, 1, 0.05),
  scale: range("γ, guidance scale", 0, 8, 0.25),
  count: { label: "pictures", choices: names(1, 4, 10, 20) },
  seed: { label: "seed", type: "number", min: 0, max: 4294967295, step: 1 },
};

/** What a slider says of itself to a screen reader, for the eye. */
const valueShown = () => element("span", { className: "live-value", "aria-hidden": "true" });

/** One labelled control; its value is in input.value, and a range shows it. */
function control(name, value, onchange) {
  const { label, choices, ...properties } = CONTROLS[name];
  const input = choices
    ? element("select", {}, ...choices.map(([value, text]) => element("option", { value, textContent: text })))
    : element("input", properties);
  const output = valueShown();
  const show = () => { output.textContent = input.value; };
  Object.assign(input, { name, value, oninput: show, onchange });
  show();
  return { input, row: element("label", {}, element("span", { textContent: label }), input, ...(properties.type === "range" ? [output] : [])) };
}


// ---- pictures ------------------------------------------------------------------------------------

const SIDE = 28;
const across = n => n > 4 ? 5 : n > 1 ? 2 : 1;

/** Paint a batch of pictures, values in [−1, 1], as a grid; nothing is black. */
function paint(canvas, x, n) {
  const columns = across(n), width = SIDE * columns, height = SIDE * Math.ceil(n / columns);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.dataset.columns = columns;
  const image = new ImageData(width, height);
  image.data.fill(0);
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  for (let i = 0; x && i < x.length; i++) {
    const k = Math.floor(i / SIDE ** 2), pixel = i % SIDE ** 2;
    const row = Math.floor(k / columns) * SIDE + Math.floor(pixel / SIDE), column = k % columns * SIDE + pixel % SIDE;
    const at = 4 * (row * width + column);
    image.data[at] = image.data[at + 1] = image.data[at + 2] = (x[i] + 1) * 127.5;    // which ImageData rounds and clamps
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const panel = (canvas, caption) => element("div", { className: "live-panel" }, canvas, element("div", { innerHTML: caption }));

/** Shows frames as they come, at a pace for the eye; the slider goes to any of them. */
function player(show, onend) {
  const slider = element("input", { type: "range", min: 0, max: 0, value: 0 }), output = valueShown();
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let frames = [], whole = false, showing = 0, playing = null;      // playing: the number of the showing that goes on by itself
  const go = k => {
    slider.value = k;
    output.textContent = `t = ${frames[k].t}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    show(frames[k]);
  };
  const stop = () => { playing = null; };
  function play(pace) {
    const mine = playing = ++showing;
    let due = 0;
    requestAnimationFrame(function tick(now) {
      if (playing !== mine) return;
      const k = +slider.value, last = frames.length - 1;
      if (whole && (still.matches || k >= last)) {
        go(last);
        stop();
        return onend();
      }
      if (!still.matches && now >= due && k < last) {
        go(k + 1);
        due = now + pace;
      }
      requestAnimationFrame(tick);
    });
  }
  slider.oninput = () => {
    if (frames.length) go(+slider.value);
    if (!whole || !playing) return;
    stop();
    onend();
  };
  return {
    row: element("label", { className: "live-time" }, element("span", { textContent: "film" }), slider, output),
    start(expected) {
      Object.assign(slider, { max: 0, value: 0 });
      frames = [], whole = false;
      play(Math.min(Math.max(3000 / expected, 30), 250));
    },
    add(frame) {
      slider.max = frames.push(frame) - 1;
      if (frames.length === 1) go(0);
    },
    end() { whole = true; },
    stop,
  };
}


// ---- what the figures do ---------------------------------------------------------------------------

const seconds = ms => `${(ms / 1000).toFixed(1)} s`;
const told = values => values.told === "none" ? 10 : +values.told;
const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

const MODES = {
  sample: {
    go: "Sample", frames: v => v.steps + 1,
    task: v => ({ y: Array.from({ length: v.count }, (_, k) => v.class === "each" ? k % 10 : +v.class) }),
    result: (v, { ms }) => `${many(v.count, "picture")} in ${many(v.steps, "step")}: ${seconds(ms)}.`,
  },
  noise: {
    go: "Noise it, and go back", pad: true, frames: v => v.steps + 9,
    task: (v, x0) => ({ x0, y: Array(v.count).fill(told(v)) }),
    result: (v, { ms }) => `Noised to t = ${v.t}, and back in ${many(Math.min(v.steps, v.t), "step")}: ${seconds(ms)}.`,
  },
  encode: {
    go: "Encode and decode", pad: true, frames: v => 2 * v.steps + 1,
    task: (v, x0) => ({ x0, y: [told(v)] }),
    result: (v, { x }, x0) => {
      const error = Math.sqrt(x.reduce((sum, value, i) => sum + (value - x0[i]) ** 2, 0) / x.length);
      return `${many(v.steps, "step")} up, ${many(v.steps, "step")} down: what comes back is off by ${error.toFixed(3)} a pixel, root mean square (black is −1, white 1).`;
    },
  },
};

/** Make a live figure of a recorded one, and run it once. */
export async function start(figure) {
  const { mode, controls, values } = JSON.parse(figure.dataset.options), does = MODES[mode];
  const status = figure.querySelector("[role=status]");
  const { digits } = await running().ready;
  const digit = k => digits.subarray(k * SIDE ** 2, (k + 1) * SIDE ** 2);
  const state = (name, text) => {
    figure.dataset.state = name;
    play.textContent = name === "running" ? "Stop" : does.go;
    if (text !== undefined) status.textContent = text;
  };

  const inputs = {}, rows = [];
  const change = ({ target: { name, value } }) => {
    if (name === "digit") choose(value);
    run();
  };
  for (const name of controls) {
    const made = control(name, values[name], change);
    inputs[name] = made.input;
    rows.push(made.row);
  }
  const read = () => Object.fromEntries(Object.entries({ ...values, ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value])) })
    .map(([name, value]) => [name, ["class", "told", "digit"].includes(name) ? value : +value]));

  const screens = { xt: element("canvas", { role: "img" }), x0: element("canvas", { role: "img" }) };
  screens.xt.setAttribute("aria-label", "The noisy pictures at time t");
  screens.x0.setAttribute("aria-label", "What the network makes of them");
  let drawing = null, x0 = null, pause;
  if (does.pad) {
    drawing = pad(() => {
      inputs.digit.value = "drawn";
      if (inputs.told) Object.assign(inputs.told, { value: "none" });
      clearTimeout(pause);
      pause = setTimeout(run, 900);
    });
    drawing.canvas.setAttribute("aria-label", "Pad: draw a digit here with the mouse or a finger");
  }
  const choose = value => {
    if (value === "drawn") return drawing.clear();
    drawing.show(digit(+value));
    if (inputs.told) inputs.told.value = value;
  };
  if (does.pad) choose(values.digit);

  const film = player(frame => {
    const n = frame.xt.length / SIDE ** 2;
    paint(screens.xt, frame.xt, n);
    paint(screens.x0, frame.x0, n);
  }, () => state("done", finished));
  let turn = 0, finished = "";

  async function run() {
    clearTimeout(pause);
    const mine = ++turn, v = read();
    if (does.pad) {
      x0 = v.digit === "drawn" ? centred(drawing.canvas, SIDE) : digit(+v.digit);
      if (!x0) return state("ready", "Draw a digit on the pad first, or choose one of the test set.");
    }
    state("running", "");
    film.start(does.frames(v));
    try {
      await running().ready;
      const result = await running().call({ task: mode, ...v, ...does.task(v, x0) }, frame => { if (mine === turn) film.add(frame); });
      if (mine !== turn) return;
      if (result.kind === "stopped") return stop();
      finished = does.result(v, result, x0);
      film.end();
    } catch (error) {
      if (mine === turn) stop(`The network could not be run here (${error.message}).`);
    }
  }
  function stop(text = "Stopped.") {
    turn++;
    film.stop();
    state("stopped", text);
  }

  const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
  const play = button(does.go, () => {
    if (figure.dataset.state !== "running") return run();
    engine?.stop();
    stop();
  });
  const buttons = [play];
  if (inputs.seed) buttons.push(button("Next seed", () => { inputs.seed.value = +inputs.seed.value + 1; run(); }));
  if (does.pad) buttons.push(button("Clear the pad", () => {
    inputs.digit.value = "drawn";
    drawing.clear();
  }));

  const captions = [...figure.querySelectorAll(".live-panel")].map(shown => shown.lastElementChild.innerHTML);
  if (does.pad) captions[0] += ", draw here";
  const canvases = [...(does.pad ? [drawing.canvas] : []), screens.xt, screens.x0];
  const panels = element("div", { className: figure.querySelector(".live-film").className.replace("live-film", "").replace("live-seen", "") },
    ...canvases.map((canvas, k) => panel(canvas, captions[k])));
  figure.querySelector(".live-film").replaceWith(panels, film.row);
  figure.querySelector(".live-start").replaceWith(element("div", { className: "live-controls" }, ...rows),
                                                 element("div", { className: "live-buttons" }, ...buttons));
  play.focus({ preventScroll: true });
  await run();
}
