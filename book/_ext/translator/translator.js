// The form on the page of conventions. The formulas are those of d2c.conventions; tests/test_translator.py compares them.
// The state is one noise level ς (and its place in the schedule, where a time was typed), one sample x of the
// variance-preserving process, one prediction {kind, g} about it, and γ.

const LEVELS = {  // name: its value at ς, the ς of a value, and its range
  varsigma: [s => s, v => v, "0 or more"],
  abar: [s => 1 / (1 + s * s), v => Math.sqrt((1 - v) / v), "above 0 and at most 1"],
  alpha: [s => 1 / Math.hypot(1, s), v => Math.sqrt(1 - v * v) / v, "above 0 and at most 1"],
  noise: [s => s / Math.hypot(1, s), v => v / Math.sqrt(1 - v * v), "at least 0 and below 1"],
  c_noise: [s => Math.log(s) / 4, v => Math.exp(4 * v), "any number"],
  logsnr: [s => -2 * Math.log(s), v => Math.exp(-v / 2), "any number"],
  half: [s => -Math.log(s), v => Math.exp(-v), "any number"],
  u: [s => s / (1 + s), v => v / (1 - v), "at least 0 and below 1"],
  one_minus_u: [s => 1 / (1 + s), v => (1 - v) / v, "above 0 and at most 1"],
};
const SIGNAL = { vp: s => 1 / Math.hypot(1, s), ve: s => 1, flow: s => 1 / (1 + s) };
const SIGMA_DATA = .5;
const ROWS = {  // what a prediction is made of: p and r of g = p x_0 + r ε
  x0: s => [1, 0],
  eps: s => [0, 1],
  v: s => [-s * SIGNAL.vp(s), SIGNAL.vp(s)],
  velocity: s => [-1, 1],
  F: s => [s / SIGMA_DATA / Math.hypot(s, SIGMA_DATA), -SIGMA_DATA / Math.hypot(s, SIGMA_DATA)],
  score: s => [0, -1 / (s * SIGNAL.vp(s))],
};
const GUIDANCE = { scale: [gamma => gamma, v => v], w: [gamma => gamma - 1, v => v + 1] };

class Refused extends Error {}

function number(text) {
  const value = Number(text.trim().replace("−", "-").replace(",", ".").replace("∞", "Infinity"));
  if (!text.trim() || Number.isNaN(value)) throw new Refused(text.trim() ? `“${text.trim()}” is not a number.` : "Type a number.");
  return value;
}

function shown(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "" : value > 0 ? "∞" : "−∞";
  return String(Number(value.toPrecision(9)) || 0).replace("-", "−");
}

function varsigmaOf(name, value, table) {
  if (name == "t" || name == "timestep") {
    const t = name == "t" ? value : value + 1, first = name == "t" ? 1 : 0;
    if (!Number.isInteger(t) || t < 1 || t > table.length)
      throw new Refused(`“${name}” is a whole number from ${first} to ${table.length - 1 + first}${value == 0 ? "; t = 0 is the clean image, without noise" : ""}.`);
    return table[t - 1];
  }
  const varsigma = LEVELS[name][1](value);
  if (!(varsigma >= 0 && Number.isFinite(varsigma))) throw new Refused(`There is no noise level ${shown(value)} here: the value must be ${LEVELS[name][2]}.`);
  return varsigma;
}

function timeAt(varsigma, table) {  // NaN outside the schedule
  const slack = 1e-9, T = table.length;
  if (!(varsigma >= table[0] * (1 - slack) && varsigma <= table[T - 1] * (1 + slack))) return NaN;
  let i = 1;
  while (i < T - 1 && table[i] <= varsigma) i++;
  return i + Math.log(varsigma / table[i - 1]) / Math.log(table[i] / table[i - 1]);
}

function madeOf({ varsigma, x, kind, g }) {
  const a = SIGNAL.vp(varsigma), b = varsigma * a, [p, r] = ROWS[kind](varsigma), det = a * r - b * p;
  if (!(Math.abs(det) > 0 && Number.isFinite(det))) throw new Refused("Without noise in the sample this does not say what the noise is.");
  return [(r * x - b * g) / det, (a * g - p * x) / det];
}

function attach(box) {
  const form = box.querySelector("form"), says = box.querySelector(".translator-says"), fields = form.elements;
  const tables = JSON.parse(box.querySelector(".translator-schedules").textContent);
  const table = () => tables[fields.schedule.value];
  const state = { varsigma: table()[500], typed: 500, x: .5, kind: "eps", g: 1, gamma: 1.5 };

  function fill(except) {
    const put = (name, value) => { if (name != except) fields[name].value = shown(value); };
    const t = timeAt(state.varsigma, table());
    put("t", t);
    put("timestep", t - 1);
    for (const name in LEVELS) put(name, LEVELS[name][0](state.varsigma));
    for (const process in SIGNAL) put(process, state.x * SIGNAL[process](state.varsigma) / SIGNAL.vp(state.varsigma));
    for (const name in GUIDANCE) put(name, GUIDANCE[name][0](state.gamma));
    const [x0, eps] = madeOf(state);
    for (const kind in ROWS) {
      const [p, r] = ROWS[kind](state.varsigma);
      put(kind, p * x0 + r * eps);
    }
    return `ς = ${shown(state.varsigma)}, ᾱ = ${shown(LEVELS.abar[0](state.varsigma))}, ` +
      (Number.isNaN(t) ? "a level outside this schedule." : `t = ${shown(t)} of this schedule.`);
  }

  function take(name, text) {
    const value = number(text);
    if (name in GUIDANCE) state.gamma = GUIDANCE[name][1](value);
    else if (name in ROWS) Object.assign(state, { kind: name, g: value });
    else if (name in SIGNAL) state.x = value * SIGNAL.vp(state.varsigma) / SIGNAL[name](state.varsigma);
    else state.varsigma = varsigmaOf(name, value, table());
    if (name == "t" || name == "timestep") state.typed = table().indexOf(state.varsigma);
    else if (name in LEVELS) state.typed = null;
  }

  function change(event) {
    const { name, value } = event.target, before = { ...state };
    for (const field of fields) field.removeAttribute("aria-invalid");
    try {
      if (name != "schedule") take(name, value);
      else if (state.typed != null) state.varsigma = table()[state.typed];
      says.textContent = fill(name);
      says.classList.remove("refused");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      Object.assign(state, before);
      event.target.setAttribute("aria-invalid", "true");
      says.textContent = error.message;
      says.classList.add("refused");
    }
  }

  form.addEventListener("input", change);
  form.addEventListener("submit", event => event.preventDefault());
  says.textContent = fill();
  form.hidden = false;
  box.querySelector("table").hidden = true;
}

document.querySelectorAll(".translator").forEach(attach);
