// Paths from noise to the mixture: DDIM and DDPM in n steps.
"use strict";

(() => {
  const {cosine, pinwheel, denoiser, log_prob, classify, spaced, ddim_steps, ddpm_steps, normals, range, sum} = mathematics;
  const {GREY, COLOURS, fixed, preferred, axes, picture, veil} = drawing;
  const gm = pinwheel(), sched = cosine(), denoise = denoiser(gm, sched), lim = 2.9, window = [-lim, lim];
  const POINTS = 120, SHOWN = 12;

  const start = seed => { const z = normals(seed); return range(1, POINTS).map(() => [z(), z()]); };

  // Each point has fresh noise of its own, the same for every number of steps and every η
  function paths({sampler, n, eta, seed, xTs, count = POINTS}) {
    const times = spaced(sched.T, n);
    return xTs.slice(0, count).map((xT, i) => {
      const z = normals(1000*seed + i), noise = () => [z(), z()];
      const steps = sampler === "ddpm" ? ddpm_steps(denoise, sched, xT, times, "beta", noise) : ddim_steps(denoise, sched, xT, times, eta, noise);
      return [{s: sched.T, xs: xT}, ...steps];
    });
  }

  const exact = {};    // the flow of a seed's first points, 300 steps without noise
  const flow = (seed, xTs) => exact[seed] ??= paths({sampler: "ddim", n: 300, eta: 0, seed, xTs, count: SHOWN});

  function values({sampler, n, eta, walked, seed}) {
    n = preferred(n);
    const xTs = start(seed), all = paths({sampler, n, eta, seed, xTs}), k = Math.round(walked/100*n);
    const ends = all.map(path => path.at(-1).xs), flowed = flow(seed, xTs);
    const arm = x => classify(gm, x).reduce((best, v, i, list) => v > list[best] ? i : best, 0);
    const same = sum(flowed.map((path, i) => arm(path.at(-1).xs) === arm(ends[i]) ? 1 : 0));
    return {sampler, n, eta, seed, k, t: all[0][k].s, all, ends, flowed, same, log_q: sum(ends.map(x => log_prob(gm, x)))/POINTS};
  }

  const shown = ({sampler, n, eta, k, t, seed}) =>
    ({n: `${n}`, eta: sampler === "ddpm" ? "not used" : fixed(eta), walked: `${k}, t = ${t}`, seed: `${seed}`});

  // The law of x_t's first coordinate, a mixture in one dimension
  function across(x, abar) {
    const variances = gm.map(({lam, axis: [c, s]}) => abar*(c*c*lam[0] + s*s*lam[1]) + 1 - abar);
    const bell = (d, v) => Math.exp(-d*d/(2*v))/Math.sqrt(2*Math.PI*v);
    return sum(gm.map(({w, m}, k) => w*bell(x - Math.sqrt(abar)*m[0], variances[k])));
  }

  let backdrop, data;    // the same for every setting
  const N = 96;
  function backdrops() {
    const t = column => Math.round(sched.T*(1 - column/(N - 1))), x = row => lim - (row + .5)/N*2*lim;
    data ??= veil(at => Math.exp(log_prob(gm, at)), window, window, 120, GREY, 150);
    backdrop ??= picture(N, N, (column, row) => [127, 127, 127, 230*across(x(row), sched.abar[t(column)])]);
  }

  function draw({plane, time}, {n, k, all, flowed}) {
    backdrops();
    const few = n <= 20, walked = all.map(path => path.slice(0, k + 1)), hues = Object.values(COLOURS);
    const ax = axes(plane, {x: window, y: window, frame: false, margin: [20, 4, 0, 4], title: "in the plane; thin, the exact flow"});
    ax.image(data, window, window);
    ax.dots(walked.map(path => path.at(-1).xs), "currentColor", {size: 3.2, opacity: .55});
    ax.curves(flowed.map(path => path.map(step => step.xs)), GREY, {width: 1});
    const ay = axes(time, {x: [1000, 0], y: window, xlabel: "t", title: "first coordinate over time",
                           xticks: [1000, 800, 600, 400, 200, 0], yticks: [-2, -1, 0, 1, 2]});
    ay.image(backdrop, [1000, 0], window);
    ay.curves(flowed.map(path => path.map(step => [step.s, step.xs[0]])), GREY, {width: 1});
    walked.slice(0, SHOWN).forEach((path, i) => {
      const colour = hues[i % hues.length], points = path.map(step => step.xs), over_time = path.map(step => [step.s, step.xs[0]]);
      ax.curve(points, colour, {width: 1.4, opacity: few ? 1 : .6});
      ay.curve(over_time, colour, {width: 1.4});
      if (few) { ax.dots(points, colour); ay.dots(over_time, colour); }
      ax.ring(points[0], colour, 3);
      ax.dots([points.at(-1)], colour, {size: 6.5});
    });
  }

  const words = ({sampler, n, eta, k, t, same, log_q}) =>
    `${sampler === "ddpm" ? "DDPM with variance β" : `DDIM with η = ${fixed(eta)}`}, ${n} step${n > 1 ? "s" : ""}` +
    `${k < n ? `, ${k} of them walked, to t = ${t}` : ""}. Of the twelve coloured points ${same} end in the arm to which the exact flow takes them. ` +
    `The mean of log q at the ${POINTS} ends is ${fixed(log_q)} nats; at the data it is −1.67.`;

  drawing.figure("paths", {values, shown, draw, words});
})();
