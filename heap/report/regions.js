"use strict";
// The gallery's data: photos and regions of a dataset as typed arrays, and how a region is drawn from the sheets.

const KINDS = { start: Uint32Array, size: Uint16Array, iou: Uint16Array, id: Uint32Array, cluster: Uint16Array,
  area: Uint16Array, distance: Uint16Array, score: Uint16Array, box: Uint16Array, nearest: Uint32Array, similarity: Uint16Array };
const NOBODY = 0xffffffff, NO_IOU = 0xffff, FULL = 65535, NO_REGION = 255;
const SHEETS_KEPT = 64; // decoded: one megabyte each at most

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

class Dataset {
  constructor(node, number) {
    const data = JSON.parse(node.textContent);
    Object.assign(this, { number, name: data.name, foreground: data.foreground, background: data.background,
      colours: data.colours, photos: data.photos, layout: data.layout });
    for (const [name, text] of Object.entries(data.columns)) this[name] = new KINDS[name](bytesOf(text).buffer);
    this.regions = this.id.length;
    this.neighbours = this.regions ? this.nearest.length / this.regions : 0;
    this.photo = new Uint32Array(this.regions);
    for (let i = 0; i < this.photos.length; i++) this.photo.fill(i, this.start[i], this.start[i + 1]);
    this.place = new Map();
    this.counts = new Uint32Array(this.foreground + this.background);
    for (let r = 0; r < this.regions; r++) { this.place.set(this.id[r], r); this.counts[this.cluster[r]]++; }
  }
  isForeground(region) { return this.cluster[region] < this.foreground; }
  nameOf(region) { return this.photos[this.photo[region]]; }
  areaOf(region) { return this.area[region] / FULL; }
  distanceOf(region) { return (2 * this.distance[region]) / FULL; }
  iouOf(photo) { return this.iou[photo] === NO_IOU ? null : this.iou[photo] / (NO_IOU - 1); }
  similarityOf(region, n) { return (2 * this.similarity[region * this.neighbours + n]) / FULL - 1; }
  near(region) {
    const own = this.nearest.subarray(region * this.neighbours, (region + 1) * this.neighbours);
    return Array.from(own, (place, n) => [place, this.similarityOf(region, n)]).filter(([place]) => place !== NOBODY);
  }
}

const decoded = new Map();

// A sheet, decoded when it is first needed and kept while it is used: { image or null, cells, width }.
function sheetOf(dataset, photo) {
  const number = Math.floor(photo / dataset.layout.row ** 2), key = `sheet-${dataset.number}-${number}`;
  const found = decoded.get(key) || decode(key);
  decoded.delete(key);
  decoded.set(key, found);
  if (decoded.size > SHEETS_KEPT) decoded.delete(decoded.keys().next().value);
  return found;
}

async function decode(key) {
  const [thumbnails, maps] = document.getElementById(key).textContent.split(",");
  const [image, map] = await Promise.all([thumbnails && picture("webp", thumbnails), picture("png", maps)]);
  const canvas = new OffscreenCanvas(map.width, map.height), pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(map, 0, 0);
  const pixels = pen.getImageData(0, 0, map.width, map.height).data, cells = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < cells.length; i++) cells[i] = pixels[4 * i];
  return { image: image || null, cells, width: map.width };
}

async function picture(kind, text) {
  const image = new Image();
  image.src = `data:image/${kind};base64,${text}`;
  await image.decode();
  return image;
}

// A photo's piece of its sheet: thumbnail (x, y, w, h) and region map (w, h, cells).
async function pieceOf(dataset, photo) {
  const sheet = await sheetOf(dataset, photo), { side, row, cells } = dataset.layout;
  const slot = photo % row ** 2, x = slot % row, y = Math.floor(slot / row);
  const [w, h, mw, mh] = dataset.size.subarray(4 * photo, 4 * photo + 4), map = new Uint8Array(mw * mh);
  for (let r = 0; r < mh; r++) {
    const from = (y * cells + r) * sheet.width + x * cells;
    map.set(sheet.cells.subarray(from, from + mw), r * mw);
  }
  return { image: sheet.image, x: x * side, y: y * side, w, h, mw, mh, map };
}

// The square around a region, in shares of the thumbnail's pixels, never much smaller than a quarter of the photo.
function around(dataset, region, piece) {
  const [x1, y1, x2, y2] = Array.from(dataset.box.subarray(4 * region, 4 * region + 4), (value) => value / FULL);
  const wide = (x2 - x1) * piece.w, high = (y2 - y1) * piece.h, longest = Math.max(piece.w, piece.h);
  const side = Math.min(longest, Math.max(1.25 * Math.max(wide, high), longest / 4));
  const slide = (centre, size) => side >= size ? (size - side) / 2 : Math.min(Math.max(0, centre - side / 2), size - side);
  return { x: slide(((x1 + x2) / 2) * piece.w, piece.w), y: slide(((y1 + y2) / 2) * piece.h, piece.h), w: side, h: side };
}

// Draws a photo, or the square around one of its regions; `look` says what of its regions is shown:
// "lit" sets one off from the rest, "coloured" paints all by cluster.
async function draw(canvas, dataset, photo, { region = null, crop = false, look = "lit" } = {}) {
  const piece = await pieceOf(dataset, photo);
  const part = crop ? around(dataset, region, piece) : { x: 0, y: 0, w: piece.w, h: piece.h };
  const pen = canvas.getContext("2d"), scale = canvas.width / part.w;
  if (!crop) canvas.height = Math.max(1, Math.round(part.h * scale));
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.fillStyle = "#16181c";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(scale, 0, 0, scale, -part.x * scale, -part.y * scale);
  pen.imageSmoothingQuality = "high";
  if (piece.image) pen.drawImage(piece.image, piece.x, piece.y, piece.w, piece.h, 0, 0, piece.w, piece.h);
  else { pen.fillStyle = "#70757f"; pen.fillRect(0, 0, piece.w, piece.h); }
  const first = dataset.start[photo], own = region === null ? NO_REGION : region - first;
  const coloured = (value, alpha) => [...dataset.colours[dataset.cluster[first + value]], alpha];
  paint(pen, piece, look === "coloured"
    ? (value) => (value === NO_REGION ? [0, 0, 0, 0] : coloured(value, 184))
    : (value) => (value !== own ? [11, 13, 16, 158] : piece.image ? [0, 0, 0, 0] : coloured(value, 255)));
  if (region !== null) outline(pen, piece, own, css(coloured(own, 1)), scale);
  canvas.dataset.drawn = look;
}

function css([red, green, blue]) { return `rgb(${red} ${green} ${blue})`; }

// Lays a colour with its opacity over each cell of the region map, without seams between cells.
function paint(pen, piece, colour) {
  const layer = new OffscreenCanvas(piece.mw, piece.mh), brush = layer.getContext("2d");
  const pixels = brush.createImageData(piece.mw, piece.mh), known = new Map();
  piece.map.forEach((value, i) => {
    if (!known.has(value)) known.set(value, colour(value));
    pixels.data.set(known.get(value), 4 * i);
  });
  brush.putImageData(pixels, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer, 0, 0, piece.w, piece.h);
  pen.imageSmoothingEnabled = true;
}

function outline(pen, piece, own, colour, scale) {
  const cw = piece.w / piece.mw, ch = piece.h / piece.mh;
  const inside = (x, y) => x >= 0 && y >= 0 && x < piece.mw && y < piece.mh && piece.map[y * piece.mw + x] === own;
  pen.beginPath();
  for (let y = 0; y < piece.mh; y++)
    for (let x = 0; x < piece.mw; x++) {
      if (!inside(x, y)) continue;
      for (const [dx, dy, x1, y1, x2, y2] of [[-1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 1], [0, -1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 1]])
        if (!inside(x + dx, y + dy)) { pen.moveTo((x + x1) * cw, (y + y1) * ch); pen.lineTo((x + x2) * cw, (y + y2) * ch); }
    }
  pen.lineCap = "square";
  for (const [style, width] of [["rgb(0 0 0 / 55%)", 4], [colour, 2]]) {
    pen.strokeStyle = style;
    pen.lineWidth = (width * (self.devicePixelRatio > 1 ? 2 : 1)) / scale;
    pen.stroke();
  }
}
