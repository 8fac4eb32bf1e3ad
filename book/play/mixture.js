// The mixture under noise: density, score, and what one noisy point may have been.
"use strict";

(() => {
  const {linear, pinwheel, log_prob, score, classify, eps, x0_mean, range} = mathematics;
  const {GREY, COLOURS, fixed, short, text, axes, veil} = drawing;
  const gm = pinwheel(), sched = linear(), lim = 3, window = [-lim, lim], hues = Object.values(COLOURS);

  const grid = range(0, 14).flatMap(i => range(0, 14).map(j => [(i - 7)*.4, (j - 7)*.4]));

  function values({t, x, y}) {
    const abar = sched.abar[t], point = [x, y], field = grid.map(at => score(gm, at, abar));
    return {t, abar, point, field, log_q: log_prob(gm, point, abar), score: score(gm, point, abar), eps: eps(gm, point, abar),
            x0: x0_mean(gm, point, abar), claim: classify(gm, point, abar).map(Math.exp)};
  }

  const shown = ({t, abar, point}) => ({t: `${t}, ᾱ = ${short(abar)}`, x: fixed(point[0]), y: fixed(point[1])});
  const pair = v => `(${fixed(v[0])}, ${fixed(v[1])})`;

  function draw({plane, arms}, {t, abar, point, field, log_q, score, eps, x0, claim}) {
    const ax = axes(plane, {x: window, y: window, frame: false, margin: [20, 4, 0, 4], title: `density of x_t and its score at t = ${t}`});
    ax.image(veil(at => Math.exp(log_prob(gm, at, abar)), window, window), window, window);
    const mean = Math.sqrt(field.reduce((a, [u, v]) => a + u*u + v*v, 0)/field.length), shorten = ([u, v]) => {
      const length = Math.hypot(u, v)/mean, factor = .26*Math.min(1, 1.4/length)/mean;    // long arrows are cut
      return [u*factor, v*factor];
    };
    ax.arrows(grid, field.map(shorten), COLOURS.blue);
    gm.forEach(({m}, k) => ax.write(m.map(v => (Math.sqrt(abar) + .48)*v), `${k + 1}`, {"text-anchor": "middle", dy: 4, class: "title"}));
    ax.curve([point, x0], COLOURS.red, {width: 1.6, dash: "4 3"});
    ax.ring(x0, COLOURS.red, 5);
    ax.dots([point], COLOURS.red, {size: 10});
    ax.write(point, "x_t", {dx: 8, dy: -5, class: "title"});
    ax.write(x0, "x̂_0", {dx: 8, dy: 12, class: "title"});

    const title = "where from? q(y | x_t); lines: the arms’ weights";
    const bars = axes(arms, {x: [.4, 6.6], y: [0, 1], xticks: range(1, 6), xlabel: "arm y", title, margin: [22, 14, 138, 38]});
    claim.forEach((p, k) => {
      bars.bar([k + .68, k + 1.32], [0, p], hues[k]);
      bars.curve([[k + .6, gm[k].w], [k + 1.4, gm[k].w]], GREY, {width: 1.4});
    });
    const rows = [["log q(x_t)", fixed(log_q)], ["score", pair(score)],
                  ["best guess of the noise, ε̂", pair(eps)], ["best guess of the data, x̂_0", pair(x0)]];
    rows.forEach(([name, value], i) =>
      arms.append(text(38, 282 + 20*i, name), text(332, 282 + 20*i, value, {"text-anchor": "end", class: "title"})));
  }

  const words = ({t, abar, point, score, x0, claim}) => {
    const best = claim.indexOf(Math.max(...claim));
    return `At t = ${t} (ᾱ = ${short(abar)}) the point ${pair(point)} has the score ${pair(score)} and the best guess ${pair(x0)}. ` +
      `Arm ${best + 1} is the likeliest, with probability ${fixed(claim[best])}.`;
  };

  const moved = ([px, py]) => ({x: (px - 4)/332*2*lim - lim, y: lim - (py - 20)/332*2*lim});
  drawing.figure("mixture", {values, shown, draw, words, touch: {plane: moved}});
})();
