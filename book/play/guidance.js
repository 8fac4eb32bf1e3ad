// What guidance samples, beside the law of the class and the density that a sharper classifier would ask for.
"use strict";

(() => {
  const {cosine, pinwheel, component, denoiser, log_prob, classify, spaced, ddim_steps, classifier_free_guidance, normals, range, sum} =
    mathematics;
  const {GREY, COLOURS, fixed, preferred, text, axes, veil} = drawing;
  const gm = pinwheel(), sched = cosine(), denoise = denoiser(gm, sched), lim = 3.2, window = [-lim, lim];
  const POINTS = 150;

  function values({gamma, y, eta, n, seed}) {
    const k = y - 1, own = component(gm, k), guided = classifier_free_guidance(denoise, denoiser(own, sched), gamma);
    const z = normals(seed), times = spaced(sched.T, preferred(n)), xTs = range(1, POINTS).map(() => [z(), z()]);
    const samples = xTs.map((xT, i) => {
      const fresh = normals(1000*seed + i);
      return ddim_steps(guided, sched, xT, times, eta, () => [fresh(), fresh()]).at(-1).xs;
    });
    const mean = [0, 1].map(i => sum(samples.map(x => x[i]))/POINTS);
    const variance = sum(samples.map(x => (x[0] - mean[0])**2 + (x[1] - mean[1])**2))/(POINTS - 1);
    return {gamma, y, k, eta, n: times.length, seed, samples, mean, off: Math.hypot(mean[0] - gm[k].m[0], mean[1] - gm[k].m[1]),
            spread: Math.sqrt(variance/sum(gm[k].lam)), log_q: sum(samples.map(x => log_prob(own, x)))/POINTS};
  }

  const shown = ({gamma, y, eta, n, seed}) => ({gamma: fixed(gamma, 1), y: `${y}`, eta: fixed(eta), n: `${n}`, seed: `${seed}`});

  const sharpened = (k, gamma) => x => Math.exp(log_prob(gm, x) + gamma*classify(gm, x)[k]);

  // The ellipse r standard deviations from a component's mean
  const ellipse = ({m, lam, axis: [c, s]}, r) => range(0, 72).map(i => {
    const u = r*Math.sqrt(lam[0])*Math.cos(i*Math.PI/36), v = r*Math.sqrt(lam[1])*Math.sin(i*Math.PI/36);
    return [m[0] + c*u - s*v, m[1] + s*u + c*v];
  });

  let data;
  function draw({law, drawn}, {gamma, y, k, samples, mean, off, spread, log_q}) {
    data ??= veil(x => Math.exp(log_prob(gm, x)), window, window, 100, GREY, 110);
    const panel = (node, title) => {
      const ax = axes(node, {x: window, y: window, frame: false, margin: [20, 4, 0, 4], title});
      ax.image(data, window, window);
      return ax;
    };
    const outline = ax => [1, 2, 3].forEach(r => ax.curve(ellipse(gm[k], r), COLOURS.green, {width: 1.3}));
    const left = panel(law, `asked for: q(x) q(y | x)^γ, γ = ${fixed(gamma, 1)}`), right = panel(drawn, `drawn: ${POINTS} samples`);
    left.image(veil(sharpened(k, gamma), window, window, 64, COLOURS.orange, 255), window, window);
    outline(left);
    right.dots(samples, COLOURS.blue, {size: 3.6, opacity: .8});
    outline(right);
    right.dots([gm[k].m], COLOURS.green, {size: 7});
    right.arrows([gm[k].m], [[mean[0] - gm[k].m[0], mean[1] - gm[k].m[1]]], COLOURS.red, {width: 2});
    [`mean off by ${fixed(off)}`, `spread × ${fixed(spread)}`, `mean log q(x | y) ${fixed(log_q)}`].forEach((line, i) =>
      right.put(text(6, 288 + 17*i, line, {class: "title"})));
    left.put(text(6, 322, `green: the law of arm ${y}, 1, 2, 3 standard deviations`, {class: "title"}));
  }

  const words = ({gamma, y, eta, n, off, spread, log_q}) =>
    `Scale ${fixed(gamma, 1)}, arm ${y}, ${n} steps with η = ${fixed(eta)}. The samples’ mean is ${fixed(off)} from the arm’s, ` +
    `their spread ${fixed(spread)} times the arm’s, their mean log q(x | y) ${fixed(log_q)} nats, ` +
    `where that of the arm itself is ${fixed(-1 - Math.log(2*Math.PI*.45*.12))}.`;

  drawing.figure("guidance", {values, shown, draw, words});
})();
