// What the figures with sliders share: axes, curves, heat maps and arrows in SVG, and the life of a figure.
// Text and lines take the page's colours, so that light, dark and paper need no redrawing.
"use strict";

const drawing = (() => {
  const GREY = "#7f7f7f";
  const COLOURS = {blue: "#1f83c4", orange: "#e08a00", green: "#009e73", red: "#d55e00", purple: "#bf6899", sky: "#4aa8dc"};    // d2c.figures

  // ---- numbers as text -------------------------------------------------------------------------------

  const minus = text => text.replace("-", "−");

  const fixed = (v, digits = 2) => minus((+v.toFixed(digits) || 0).toFixed(digits));

  // Three digits, whatever the size
  function short(v) {
    if (v === 0 || !isFinite(v)) return v === 0 ? "0" : v > 0 ? "∞" : "−∞";
    const power = Math.floor(Math.log10(Math.abs(v)));
    if (power >= -3 && power < 5) return minus(`${+v.toPrecision(3)}`);
    const [digits, exponent] = v.toExponential(1).split("e");
    return (+digits === 1 ? "" : minus(`${+digits}·`)) + "10" + superscript(+exponent);
  }

  const superscript = n => [...`${n}`].map(c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");

  // Round numbers for sliders of scale: 1, 1.2, 1.5, 2 … 8, ten in a decade
  const preferred = i => +([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8][(i % 10 + 10) % 10]*10**Math.floor(i/10)).toPrecision(2);

  // ---- SVG ---------------------------------------------------------------------------------------------

  function element(name, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // Text in which x_t and L_{t−1} have a subscript, and q^γ an exponent
  function text(x, y, content, attributes = {}) {
    const node = element("text", {x, y, ...attributes});
    let back = 0;
    for (const [, sign, braced, plain, line] of content.matchAll(/([_^])(?:\{(.*?)\}|([\wθγ]+))|([^_^]+)/g)) {
      const shift = sign === "_" ? 3 : sign === "^" ? -4 : 0;
      node.append(element("tspan", {dy: shift - back || undefined, "font-size": sign && "75%"}, braced ?? plain ?? line));
      back = shift;
    }
    return node;
  }

  function steps([a, b], n = 5) {    // round numbers from a to b, about n of them
    const rough = (b - a)/n, power = 10**Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find(k => k*power >= rough*.8)*power;
    const first = Math.ceil(a/step - 1e-9);
    return Array.from({length: Math.floor(b/step + 1e-9) - first + 1}, (_, i) => +((first + i)*step).toPrecision(12));
  }

  function decades([a, b]) {    // powers of ten, with 2 and 5 between where they are few
    const [low, high] = [Math.ceil(Math.log10(a) - 1e-9), Math.floor(Math.log10(b) + 1e-9)], stride = Math.ceil((high - low)/5) || 1;
    const powers = Array.from({length: Math.floor((high - low)/stride) + 1}, (_, i) => 10**(low + i*stride));
    return powers.length > 2 ? powers : powers.flatMap(v => [v, 2*v, 5*v]).filter(v => v <= b*1.001);
  }

  const power_of_ten = v => v >= .01 && v <= 1000 ? `${+v.toPrecision(1)}` : "10" + superscript(Math.round(Math.log10(v)));

  // Empty a panel and put axes into it. What comes back draws in the data's units.
  function axes(panel, {x, y, xlog, ylog, xlabel = "", title = "", xticks, yticks, frame = true,
                        margin = frame ? [22, 14, 34, 38] : [20, 4, 0, 4]}) {
    const {width: W, height: H} = panel.viewBox.baseVal, [top, right, bottom, left] = margin;
    const [w, h] = [W - left - right, H - top - bottom];
    const share = (v, [a, b], log) => log ? Math.log(v/a)/Math.log(b/a) : (v - a)/(b - a);
    const X = v => Math.round(100*w*share(v, x, xlog))/100, Y = v => Math.round(100*h*(1 - share(v, y, ylog)))/100;

    const inside = element("svg", {x: left, y: top, width: w, height: h, viewBox: `0 0 ${w} ${h}`, class: "inside"});
    panel.replaceChildren(text(left, 13, title, {class: "title"}), inside);
    if (frame) {
      const line = (x1, y1, x2, y2) => element("line", {x1, y1, x2, y2, class: "axis"});
      const low = H - bottom, number = (v, log) => log ? power_of_ten(v) : minus(`${v}`);
      panel.append(line(left, low, W - right, low), line(left, top, left, low));
      for (const v of xticks ?? (xlog ? decades(x) : steps(x))) {
        const at = left + X(v);
        panel.append(line(at, low, at, low + 4), text(at, low + 15, number(v, xlog), {"text-anchor": "middle"}));
      }
      for (const v of yticks ?? (ylog ? decades(y) : steps(y, 4))) {
        const at = top + Y(v);
        panel.append(line(left - 4, at, left, at), text(left - 7, at + 4, number(v, ylog), {"text-anchor": "end"}));
      }
      panel.append(text(left + w/2, low + 31, xlabel, {"text-anchor": "middle"}));
    }

    const put = node => (inside.append(node), node);
    const known = ([a, b]) => isFinite(X(a)) && isFinite(Y(b));
    const path = points => points.filter(known).map(([a, b], i) => `${i ? "L" : "M"}${X(a)} ${Y(b)}`).join("");
    const box = ([a, b], [low, high]) =>
      ({x: Math.min(X(a), X(b)), y: Math.min(Y(low), Y(high)), width: Math.abs(X(b) - X(a)), height: Math.abs(Y(high) - Y(low))});
    const line = (d, colour, {width = 1.8, dash, opacity} = {}) => put(element("path", {
      d, fill: "none", stroke: colour, "stroke-width": width, "stroke-dasharray": dash, opacity, "stroke-linejoin": "round", "stroke-linecap": "round"}));
    return {
      w, h, Y, put,
      curve: (points, colour, style) => line(path(points), colour, style),
      curves: (list, colour, style) => line(list.map(path).join(""), colour, style),
      vertical: (v, colour, style) => line(`M${X(v)} 0V${h}`, colour, {width: 1, ...style}),
      horizontal: (v, colour, style) => line(`M0 ${Y(v)}H${w}`, colour, {width: 1, ...style}),
      // Round-ended strokes without length
      dots: (points, colour, {size = 4, opacity} = {}) =>
        line(points.filter(known).map(([a, b]) => `M${X(a)} ${Y(b)}h0`).join(""), colour, {width: size, opacity}),
      // From points, along vectors in the data's units
      arrows: (points, vectors, colour, style) =>
        line(points.map(([a, b], i) => arrow(X(a), Y(b), X(a + vectors[i][0]), Y(b + vectors[i][1]))).join(""), colour, {width: 1.2, ...style}),
      area: (points, colour, opacity = .3) =>
        put(element("path", {d: `${path(points)}L${X(points.at(-1)[0])} ${h}L${X(points[0][0])} ${h}Z`, fill: colour, opacity})),
      bar: (across, up, colour, opacity = .85) => put(element("rect", {...box(across, up), fill: colour, opacity})),
      ring: ([a, b], colour, size = 5) =>
        put(element("circle", {cx: X(a), cy: Y(b), r: size, fill: "none", stroke: colour, "stroke-width": 1.8})),
      image: (url, across, up, attributes) => put(element("image", {href: url, ...box(across, up), preserveAspectRatio: "none", ...attributes})),
      write: ([a, b], content, attributes) => put(text(X(a), Y(b), content, attributes)),
      // A list of [name, colour, dash] in the picture's upper left corner, or `low` in its lower one
      legend: (entries, low) => entries.forEach(([name, colour, dash], i) => {
        const y = 10 + 15*i + (low ? h - 15*entries.length - 4 : 0);
        line(`M6 ${y}H26`, colour, {width: 2, dash});
        put(text(31, y + 4, name));
      }),
    };
  }

  function arrow(x1, y1, x2, y2, head = 3) {
    const length = Math.hypot(x2 - x1, y2 - y1);
    if (length < .3) return "";
    const [u, v] = [(x2 - x1)/length*Math.min(head, length), (y2 - y1)/length*Math.min(head, length)], f = n => n.toFixed(1);
    const tip = `${f(x2)} ${f(y2)}`;
    return `M${f(x1)} ${f(y1)}L${tip}M${f(x2 - u - v*.7)} ${f(y2 - v + u*.7)}L${tip}L${f(x2 - u + v*.7)} ${f(y2 - v - u*.7)}`;
  }

  // ---- pictures made of pixels -----------------------------------------------------------------------------

  function picture(width, height, pixel) {    // pixel(column, row) → [red, green, blue, alpha]
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let row = 0, i = 0; row < height; row++)
      for (let column = 0; column < width; column++, i += 4) image.data.set(pixel(column, row), i);
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }

  const rgb = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));

  // A density over the ranges x and y as a veil of one colour: the denser, the less transparent
  function veil(density, x, y, n = 72, colour = GREY, strength = 200) {
    const at = (i, [a, b]) => a + (i + .5)/n*(b - a), values = new Float64Array(n*n), ink = rgb(colour);
    for (let row = 0; row < n; row++)
      for (let column = 0; column < n; column++) values[row*n + column] = density([at(column, x), at(n - 1 - row, y)]);
    const top = values.reduce((a, b) => Math.max(a, b));
    return picture(n, n, (column, row) => [...ink, strength*values[row*n + column]/top]);
  }

  // ---- the life of a figure ----------------------------------------------------------------------------------

  const figures = {};

  // values(controls): all that is computed; shown(values): texts beside the sliders, by name;
  // draw(panels, values); words(values): the picture in a sentence. All four depend on nothing else.
  // touch: {panel: ([x, y]) → controls}, what a finger on a panel sets, from its upper left corner.
  function figure(name, {values, shown, draw, words, touch = {}}) {
    const root = document.querySelector(`[data-play="${name}"]`);
    if (!root) return;
    const form = root.querySelector("form"), spoken = root.querySelector("[aria-live]");
    const panels = Object.fromEntries([...root.querySelectorAll("[data-panel]")].map(p => [p.dataset.panel, p]));
    const inputs = [...form.elements].filter(e => e.name);
    const value = e => e.type === "range" ? +e.value : e.type === "checkbox" ? e.checked : e.value;
    const read = () => Object.fromEntries(inputs.map(e => [e.name, value(e)]));
    const own = figures[name] = {values, now: null, took: 0};
    let frame = 0, silence = 0;

    function redraw() {
      frame = 0;
      const began = performance.now(), now = values(read()), texts = shown(now);
      for (const input of inputs.filter(e => e.type === "range")) {
        const label = texts[input.name] ?? minus(input.value);
        input.setAttribute("aria-valuetext", label);
        input.parentElement.querySelector("output").textContent = label;
      }
      draw(panels, now);
      Object.assign(own, {now, took: performance.now() - began});
      clearTimeout(silence);
      silence = setTimeout(() => spoken.innerHTML = words(now), root.classList.contains("ready") ? 400 : 0);
    }

    const later = () => frame ||= requestAnimationFrame(redraw);
    const set = changes => {
      for (const input of inputs) if (input.name in changes) input[input.type === "checkbox" ? "checked" : "value"] = changes[input.name];
      later();
    };
    form.addEventListener("input", later);
    form.addEventListener("reset", () => setTimeout(later));
    form.addEventListener("submit", event => event.preventDefault());
    for (const [panel, moved] of Object.entries(touch)) touchable(panels[panel], point => set(moved(point)));

    // Paper shows how the figure begins, whatever has been moved
    let kept;
    addEventListener("beforeprint", () => { kept = read(); form.reset(); redraw(); spoken.innerHTML = words(own.now); });
    addEventListener("afterprint", () => set(kept));

    // The page itself comes first
    (window.requestIdleCallback ?? setTimeout)(() => { redraw(); root.classList.add("ready"); });
  }

  // A click, a tap, or a drag; a finger that moves up or down scrolls the page
  function touchable(panel, moved) {
    const at = event => {
      const box = panel.getBoundingClientRect(), {width, height} = panel.viewBox.baseVal;
      moved([(event.clientX - box.left)/box.width*width, (event.clientY - box.top)/box.height*height]);
    };
    panel.classList.add("touchable");
    panel.addEventListener("click", at);
    panel.addEventListener("pointerdown", event => panel.setPointerCapture(event.pointerId));
    panel.addEventListener("pointermove", event => { if (panel.hasPointerCapture(event.pointerId)) at(event); });
  }

  return {GREY, COLOURS, fixed, short, preferred, text, element, axes, picture, veil, figure, figures};
})();
