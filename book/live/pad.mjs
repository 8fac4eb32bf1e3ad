// A pad to draw a digit on, and the digit as MNIST has them: 20 pixels large, its centre of mass in the middle.

const RESOLUTION = 10;        // of the pad, dots a pixel
const SIDE = 28;

/** A canvas that takes strokes of the mouse, a pen or a finger; ondraw is called after each. */
export function pad(ondraw) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE * RESOLUTION, height: SIDE * RESOLUTION, className: "live-pad" });
  canvas.setAttribute("role", "img");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null, fresh = true;        // fresh: what is shown was not drawn here
  const clear = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
  };
  const stroke = to => {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: 2.6 * RESOLUTION, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...to);
    context.stroke();
    last = to;
  };
  canvas.onpointerdown = event => {
    if (fresh) clear();
    fresh = false;
    canvas.setPointerCapture?.(event.pointerId);
    last = place(event);
    stroke(last);
  };
  canvas.onpointermove = event => { if (last) stroke(place(event)); };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (!last) return;
    last = null;
    ondraw();
  };
  clear();
  return {
    canvas,
    clear() { clear(); fresh = false; },
    show(x) {
      fresh = true;
      x.forEach((value, i) => {
        const level = Math.round((value + 1) * 127.5);
        context.fillStyle = `rgb(${level} ${level} ${level})`;
        context.fillRect(i % SIDE * RESOLUTION, Math.floor(i / SIDE) * RESOLUTION, RESOLUTION, RESOLUTION);
      });
    },
  };
}

/** What a canvas shows as a digit of side × side numbers in [−1, 1]; null if it is empty. */
export function centred(canvas, side) {
  const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const ink = (column, row) => column < 0 || row < 0 || column >= width || row >= height ? 0 : data[4 * (row * width + column)] / 255;
  let mass = 0, x = 0, y = 0, left = width, right = 0, top = height, bottom = 0;
  for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
    const value = ink(column, row);
    if (!value) continue;
    mass += value, x += value * column, y += value * row;
    left = Math.min(left, column), right = Math.max(right, column);
    top = Math.min(top, row), bottom = Math.max(bottom, row);
  }
  if (!mass) return null;
  const large = Math.max(right - left, bottom - top, width / 3);       // a dot stays small
  const dots = large / (side * 20 / 28), fine = 6;                     // of the canvas a pixel; samples a pixel and axis
  return Float32Array.from({ length: side ** 2 }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < fine ** 2; k++) {
      const u = i % side + (k % fine + .5) / fine - side / 2, v = Math.floor(i / side) + (Math.floor(k / fine) + .5) / fine - side / 2;
      sum += ink(Math.round(x / mass + u * dots), Math.round(y / mass + v * dots));
    }
    return 2 * sum / fine ** 2 - 1;
  });
}
