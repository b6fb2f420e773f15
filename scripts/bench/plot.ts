/**
 * Rows as a picture: each bar goes from its target to the median, to the left where that is better
 * than the target, on a logarithmic scale, with whiskers at the quartiles. Pure, text in, SVG out. It
 * must never show a row that has no target, nor need a font or a script.
 */
import {
  type Measured,
  quantile,
  type Row,
  ratios,
  rounded,
  targetOf,
  verdictOf,
} from './report.js';

const WIDTH = 1180;
const LABEL = 470;
const PLOT = 480;
const ROW = 40;
const TOP = 92;
const FONT = 'font-family="system-ui, sans-serif"';
const COLOURS = {
  ...{ met: '#15803d', near: '#a16207', missed: '#c2410c' },
  ...{ against: '#94a3b8', before: '#475569', ink: '#1e293b', faint: '#cbd5e1' },
};

/** Shares of the target: below 1 is better, whichever way the target points. */
interface Bar {
  readonly middle: number;
  readonly low: number;
  readonly high: number;
}

function barOf(values: readonly number[], row: Row): Bar | null {
  if (values.length === 0 || row.target === undefined) return null;
  const { least, limit } = targetOf(row.target);
  const share = (at: number): number => {
    const value = Math.max(quantile(values, at), Number.MIN_VALUE);
    return least ? limit / value : Math.max(value / limit, 1e-6);
  };
  return { middle: share(0.5), low: share(0.25), high: share(0.75) };
}

/** The values in the measure of the target, and the other side's. */
function sidesOf(row: Row): { ours: Bar | null; against: Bar | null } {
  if (row.target === undefined) return { ours: null, against: null };
  if (!targetOf(row.target).relative) {
    return { ours: barOf(row.values, row), against: barOf(row.against?.values ?? [], row) };
  }
  return { ours: barOf(ratios(row), row), against: row.against ? barOf([1], row) : null };
}

/** One line of the picture. */
interface Line {
  readonly row: Measured;
  readonly ours: Bar;
  readonly against: Bar | null;
  readonly before: Bar | null;
}

/** The whole picture. `numbers`: what stands before a group's rows; `before`: earlier rows, by group and name. */
export function plotOf(
  rows: readonly Measured[],
  before: readonly Measured[],
  numbers: ReadonlyMap<string, string>,
): string {
  const lines = rows.flatMap((row): Line[] => {
    const { ours, against } = sidesOf(row);
    const earlier = before.find(({ group, name }) => group === row.group && name === row.name);
    return ours ? [{ row, ours, against, before: earlier ? sidesOf(earlier).ours : null }] : [];
  });
  const x = scaleOf(lines);
  const height = TOP + lines.length * ROW + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" ${FONT} font-size="13" fill="${COLOURS.ink}">`,
    '<title>Hoshikage: benchmark results, each as a share of its target</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...legend(),
    ...grid(x, height),
    ...lines.flatMap((line, i) => drawn(line, TOP + i * ROW, x, numbers)),
    '</svg>\n',
  ].join('\n');
}

type Scale = ((share: number) => number) & { readonly from: number; readonly to: number };

/** Whole powers of ten around everything that is drawn. */
function scaleOf(lines: readonly Line[]): Scale {
  const shares = lines
    .flatMap(({ ours, against, before }) => [ours, against, before])
    .flatMap((bar) => (bar ? [bar.middle, bar.low, bar.high] : []));
  const clipped = shares.map((share) => Math.min(Math.max(share, 1e-3), 1e3));
  const from = Math.min(-1, Math.floor(Math.log10(Math.min(...clipped, 1))));
  const to = Math.max(1, Math.ceil(Math.log10(Math.max(...clipped, 1))));
  const at = (share: number): number => {
    const place = (Math.log10(share) - from) / (to - from);
    return Math.round(10 * (LABEL + PLOT * Math.min(Math.max(place, 0), 1))) / 10;
  };
  return Object.assign(at, { from, to });
}

function legend(): string[] {
  const entries = [
    ['目標より良い better than the target', COLOURS.met],
    ['わずかに届かない nearly', COLOURS.near],
    ['届かない misses it', COLOURS.missed],
    ['比べた相手 held against', COLOURS.against],
    ['以前 before', COLOURS.before],
  ] as const;
  let at = 16;
  return entries.flatMap(([text, colour]) => {
    const [from, width] = [at, 34 + [...text].reduce((sum, c) => sum + (c > 'ÿ' ? 13 : 7), 0)];
    at += width;
    return [
      `<rect x="${from}" y="14" width="14" height="10" fill="${colour}"/>`,
      textAt(from + 20, 23, text),
    ];
  });
}

function grid(x: Scale, height: number): string[] {
  const powers = Array.from({ length: x.to - x.from + 1 }, (_, i) => x.from + i);
  return powers.flatMap((power) => {
    const [share, at] = [10 ** power, x(10 ** power)];
    const label = power === 0 ? '目標 target' : `${rounded(share)} ×`;
    return [
      `<line x1="${at}" y1="${TOP - 14}" x2="${at}" y2="${height - 20}" stroke="${power === 0 ? COLOURS.ink : COLOURS.faint}"/>`,
      textAt(at, TOP - 22, label, 'middle'),
    ];
  });
}

function drawn(
  { row, ours, against, before }: Line,
  top: number,
  x: Scale,
  numbers: ReadonlyMap<string, string>,
): string[] {
  const verdict = verdictOf(row);
  const colour = verdict === 'met' || verdict === 'near' ? COLOURS[verdict] : COLOURS.missed;
  const number = numbers.get(row.group) ?? '';
  const { relative } = targetOf(row.target ?? '');
  const result = relative
    ? `${rounded(quantile(ratios(row), 0.5))} x`
    : `${rounded(quantile(row.values, 0.5))} ${row.unit}`;
  return [
    textAt(16, top + 17, number === '' ? row.name : `${number}. ${row.name}`),
    ...bar(ours, { top: top + 6, height: 12, x, fill: colour }),
    ...(against ? bar(against, { top: top + 20, height: 6, x, fill: COLOURS.against }) : []),
    ...(before ? bar(before, { top: top + 28, height: 4, x, fill: COLOURS.before }) : []),
    textAt(LABEL + PLOT + 14, top + 17, `${result}  (${row.target})`),
  ];
}

function bar(
  { middle, low, high }: Bar,
  { top, height, x, fill }: { top: number; height: number; x: Scale; fill: string },
): string[] {
  const [from, to] = [Math.min(x(1), x(middle)), Math.max(x(1), x(middle))];
  const [left, right] = [Math.min(x(low), x(high)), Math.max(x(low), x(high))];
  const centre = top + height / 2;
  return [
    // A bar of no length would not be seen.
    `<rect x="${from}" y="${top}" width="${Math.max(to - from, 1.5)}" height="${height}" fill="${fill}"/>`,
    `<line x1="${left}" y1="${centre}" x2="${right}" y2="${centre}" stroke="${COLOURS.ink}"/>`,
    ...[left, right].map(
      (at) =>
        `<line x1="${at}" y1="${top}" x2="${at}" y2="${top + height}" stroke="${COLOURS.ink}"/>`,
    ),
  ];
}

function textAt(x: number, y: number, text: string, anchor = 'start'): string {
  const plain = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${plain}</text>`;
}
