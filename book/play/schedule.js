// A schedule's tables, and a digit noised to t.
"use strict";

(() => {
  const {linear, cosine, sigmoid, zero_terminal_snr, q_sample, normals, range} = mathematics;
  const {GREY, COLOURS, fixed, short, preferred, axes, picture} = drawing;

  const x0 = Array.from(DIGIT, c => c.charCodeAt(0)/127.5 - 1), normal = normals(1), eps = x0.map(normal);
  const plain = linear();

  function values({shape, T, t, beta_1, beta_T, s, start, end, tau, zero}) {
    [T, beta_1, beta_T] = [T, beta_1, beta_T].map(preferred);
    const made = shape === "linear" ? linear(T, beta_1, beta_T) : shape === "cosine" ? cosine(T, s) : sigmoid(T, start, end, tau);
    const sched = zero ? zero_terminal_snr(made) : made;
    return {shape, zero, sched, T, t: Math.round(t/1000*T), half: sched.snr.filter(v => v > 1).length, beta_1, beta_T, s, start, end, tau};
  }

  const shown = ({T, t, beta_1, beta_T, s, start, end, tau}) =>
    ({T: `${T}`, t: `${t}`, beta_1: short(beta_1), beta_T: short(beta_T), s: fixed(s, 3), start: fixed(start, 1), end: fixed(end, 1),
      tau: fixed(tau)});

  function curve(panel, {sched, T, t}, name, {colour, bottom, top, log, title}) {
    const ax = axes(panel, {x: [0, T], y: [bottom, top], ylog: log, xlabel: "t", title: `${title} = ${short(sched[name][t])}`});
    if (name !== "beta") ax.curve(plain[name].map((v, i) => [i/1000*T, v]), GREY, {width: 1.2, dash: "4 3"});
    if (name === "snr") ax.horizontal(1, GREY, {width: .7});
    const points = sched[name].map((v, i) => [i, Math.min(Math.max(v, bottom), top)]);
    ax.curve(points.slice(name === "abar" ? 0 : 1), colour, {width: 2.2});
    ax.vertical(t, "currentColor", {width: .8});
    ax.dots([points[t]], colour, {size: 8});
  }

  const pixel = (x, column, row) => {    // as d2c.figures.to_display
    const grey = (x[row*28 + column] + 1)*127.5;    // cut to 0 … 255 where it is kept
    return [grey, grey, grey, 255];
  };
  const image = x => picture(28, 28, (column, row) => pixel(x, column, row));
  const side_by_side = list => picture(30*list.length - 2, 28, (column, row) =>
    column % 30 < 28 ? pixel(list[Math.floor(column/30)], column % 30, row) : [0, 0, 0, 0]);

  function draw({params, abar, snr, beta, digit}, now) {
    const {sched, shape, T, t} = now;
    for (const label of params.children) label.hidden = label.dataset.of !== shape;
    curve(abar, now, "abar", {colour: COLOURS.blue, bottom: 0, top: 1, title: "signal left, ᾱ_t"});
    curve(snr, now, "snr", {colour: COLOURS.green, bottom: 1e-6, top: 1e4, log: true, title: "signal to noise, SNR(t)"});
    curve(beta, now, "beta", {colour: COLOURS.orange, bottom: 1e-5, top: 1, log: true, title: "noise of a step, β_t"});

    const a = sched.abar[t], xt = q_sample(sched, x0, t, eps), middle = {"text-anchor": "middle"}, big = {...middle, class: "title"};
    const ax = axes(digit, {x: [0, 324], y: [192, 0], frame: false, margin: [8, 8, 0, 8]});
    const pictures = [[xt, "x_t"], [x0, `${fixed(Math.sqrt(a))} × x_0`], [eps, `${fixed(Math.sqrt(1 - a))} × ε`]], side = 84;
    pictures.forEach(([x, name], i) => {
      ax.image(image(x), [i*120, i*120 + side], [0, side], {class: "pixels"});
      ax.write([i*120 + side/2, side + 15], name, big);
      if (i) ax.write([i*120 - 18, side/2 + 4], i === 1 ? "=" : "+", big);
    });
    const at = range(0, 8).map(i => Math.round(i*T/8)), stride = 324/268*30, x = t => stride*(8*t/T + .5) - 1;
    ax.image(side_by_side(at.map(t => q_sample(sched, x0, t, eps))), [0, 324], [132, 166], {class: "pixels"});
    at.forEach((t, i) => ax.write([x(i*T/8), 180], `${t}`, middle));
    ax.curve([[x(t), 121], [x(t), 129]], "currentColor", {width: 1.4});
  }

  const words = ({shape, zero, sched, T, t, half}) =>
    `${shape[0].toUpperCase() + shape.slice(1)} schedule of ${T} steps${zero ? ", rescaled to end at zero" : ""}. ` +
    `At t = ${t}: ᾱ = ${short(sched.abar[t])}, SNR = ${short(sched.snr[t])}${t ? `, β = ${short(sched.beta[t])}` : ""}. ` +
    `${half > T ? "The signal outweighs the noise to the end" : `The noise outweighs the signal from t = ${half} on`}. ` +
    `At T the share ${short(Math.sqrt(sched.abar[T]))} of the amplitude is left.`;

  const moved = ([px]) => ({t: (px - 38)/288*1000});
  drawing.figure("schedule", {values, shown, draw, words, touch: {abar: moved, snr: moved, beta: moved}});
})();
