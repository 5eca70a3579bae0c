// Plots on logarithmic axes, as SVG: no script, no font of our own, one file each.

const PANEL = { width: 400, height: 320, left: 62, right: 18, top: 34, bottom: 46 };
const COLOURS = ["#1f5fa8", "#b3541e", "#3d7a3d"];

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** 1000 as "1,000", 0.001 as "0.001", 1000000 as "1 M". */
function tick(value) {
  if (value >= 1e6) return `${value / 1e6} M`;
  if (value >= 1e4) return `${value / 1e3} k`;
  return value.toLocaleString("en", { maximumFractionDigits: 6 });
}

function decades(values) {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive)));
  const high = Math.ceil(Math.log10(Math.max(...positive)));
  return [low, high > low ? high : low + 1];
}

/** A panel: `series` are `{ title, points: [[x, y, low, high]] }`. */
function panel({ title, xTitle, yTitle, series }, offset) {
  const { width, height, left, right, top, bottom } = PANEL;
  const all = series.flatMap(({ points }) => points);
  const [x0, x1] = decades(all.map(([x]) => x));
  const [y0, y1] = decades(all.flatMap(([, y, low = y, high = y]) => [y, low, high]));
  const x = (value) => offset + left + ((Math.log10(value) - x0) / (x1 - x0)) * (width - left - right);
  const y = (value) => height - bottom - ((Math.log10(value) - y0) / (y1 - y0)) * (height - top - bottom);
  const at = (number) => number.toFixed(1);
  const parts = [`<text class="title" x="${offset + left}" y="20">${escape(title)}</text>`];
  for (let power = x0; power <= x1; power += 1) {
    const where = at(x(10 ** power));
    parts.push(
      `<line class="grid" x1="${where}" y1="${top}" x2="${where}" y2="${height - bottom}"/>`,
      `<text class="tick" x="${where}" y="${height - bottom + 15}" text-anchor="middle">${tick(10 ** power)}</text>`,
    );
  }
  for (let power = y0; power <= y1; power += 1) {
    const where = y(10 ** power);
    parts.push(
      `<line class="grid" x1="${offset + left}" y1="${at(where)}" x2="${offset + width - right}" y2="${at(where)}"/>`,
      `<text class="tick" x="${offset + left - 6}" y="${at(where + 4)}" text-anchor="end">${tick(10 ** power)}</text>`,
    );
  }
  parts.push(
    `<text class="axis" x="${offset + (left + width - right) / 2}" y="${height - 8}" text-anchor="middle">${escape(xTitle)}</text>`,
    `<text class="axis" transform="translate(${offset + 13} ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(yTitle)}</text>`,
  );
  series.forEach(({ title, points, dashed }, i) => {
    const colour = dashed ? "#999" : COLOURS[i % COLOURS.length];
    const seen = points.filter(([, value]) => value > 0);
    const path = seen.map(([px, py]) => `${at(x(px))},${at(y(py))}`).join(" ");
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${dashed ? 1 : 2}"${dashed ? ' stroke-dasharray="4 4"' : ""}/>`);
    if (dashed) return;
    for (const [px, py, low, high] of seen) {
      if (low > 0) parts.push(`<line x1="${at(x(px))}" y1="${at(y(low))}" x2="${at(x(px))}" y2="${at(y(high))}" stroke="${colour}"/>`);
      parts.push(`<circle cx="${at(x(px))}" cy="${at(y(py))}" r="3.5" fill="${colour}"/>`);
    }
    const below = top + 14 + i * 16;
    parts.push(
      `<line x1="${offset + left + 8}" y1="${below - 4}" x2="${offset + left + 28}" y2="${below - 4}" stroke="${colour}" stroke-width="2"/>`,
      `<text class="label" x="${offset + left + 33}" y="${below}">${escape(title)}</text>`,
    );
  });
  return parts;
}

/** Panels side by side, as the text of an SVG file. */
export function plot({ description, panels }) {
  const { height } = PANEL;
  const width = PANEL.width * panels.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(description)}</title>`,
    "<style>text{font-family:system-ui,sans-serif;fill:#222}.title{font-size:14px;font-weight:600}.tick{font-size:11px}.axis,.label{font-size:12px}.grid{stroke:#ddd}</style>",
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...panels.flatMap((one, i) => panel(one, i * PANEL.width)),
    "</svg>",
    "",
  ].join("\n");
}
