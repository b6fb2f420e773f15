/**
 * How far a download or a load is, on standard error: one line that is drawn again on a terminal, a few plain
 * lines elsewhere. Runs in the CLI process. It keeps no timer.
 */
import { displayWidth, formatBytes, plain } from './print.js';

const REDRAW_MS = 100;
/** Columns of the bar, as the terminal allows. */
const BAR_WIDTHS = [24, 16, 10] as const;

const MANY_BYTES = 2 ** 30;

/** Where it is drawn. */
interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** One line of a terminal that is drawn again and again, and taken away in the end. */
export class RedrawnLine {
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #width = 0;

  constructor(screen: Screen, now: () => number = () => performance.now()) {
    this.#screen = screen;
    this.#now = now;
  }

  /** Draws what `line` makes of the columns there are, unless it was drawn just before. */
  draw(line: (columns: number) => string, isLast: boolean): void {
    const now = this.#now();
    if (now - this.#drawnAt < REDRAW_MS && !isLast) return;
    this.#drawnAt = now;
    const text = line((this.#screen.columns || 80) - 1);
    const width = displayWidth(text);
    this.#screen.write(`\r${text}${' '.repeat(Math.max(0, this.#width - width))}`);
    this.#width = width;
  }

  /** Takes the line away; the next one is drawn at once. */
  clear(): void {
    if (this.#width > 0) this.#screen.write(`\r${' '.repeat(this.#width)}\r`);
    this.#width = 0;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
  }
}

/** Shows downloads, one after the other. Call `clear` at the end, however it came. */
export class DownloadProgress {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #line: RedrawnLine;
  #name = '';
  #startedAt = 0;
  /** What was there before this run brought anything. */
  #startedFrom = 0;
  /** The last tenth that was told in plain lines. */
  #tenth = 0;

  constructor(screen: Screen = process.stderr, now: () => number = () => performance.now()) {
    this.#screen = screen;
    this.#now = now;
    this.#line = new RedrawnLine(screen, now);
  }

  /** Bytes so far; `total` is null where it is not known. */
  update(name: string, received: number, total: number | null): void {
    if (name !== this.#name || received < 1) this.#begin(name, received, total);
    if (this.#screen.isTTY) this.#draw(received, total);
    else this.#tell(received, total);
  }

  /** Takes the line away. */
  clear(): void {
    this.#line.clear();
  }

  #begin(name: string, received: number, total: number | null): void {
    this.clear();
    this.#name = name;
    this.#startedAt = this.#now();
    this.#startedFrom = received;
    this.#tenth = total ? Math.floor((received / total) * 10) : 0;
    if (this.#screen.isTTY) return;
    this.#screen.write(`${plain(name)}${total === null ? '' : `  ${formatBytes(total)}`}\n`);
  }

  #draw(received: number, total: number | null): void {
    const seconds = (this.#now() - this.#startedAt) / 1000;
    this.#line.draw((columns) => this.#text(received, total, seconds, columns), received === total);
  }

  /** The line in as many columns as there are: first the name goes, then the bar, then the rest. */
  #text(received: number, total: number | null, seconds: number, columns: number): string {
    const name = plain(this.#name);
    const rate = seconds > 0.2 ? (received - this.#startedFrom) / seconds : 0;
    const speed = rate > 0 ? [`${(rate / 1024 / 1024).toFixed(1)} MiB/s`] : [];
    if (total === null || total === 0) {
      const size = formatBytes(received);
      return widest([[name, size, ...speed], [size, ...speed], [size]], columns);
    }
    const left = rate > 0 ? [duration((total - received) / rate)] : [];
    const sizes = `${formatBytes(received)} / ${formatBytes(total)}`;
    const facts = [sizes, ...speed, ...left];
    const bars = BAR_WIDTHS.map((width) => barText(received / total, width));
    const lines = [
      ...bars.map((bar) => [name, bar, ...facts]),
      ...bars.map((bar) => [bar, ...facts]),
      ...[facts, [sizes, ...left], [sizes]],
    ];
    return widest(lines, columns);
  }

  #tell(received: number, total: number | null): void {
    if (total === null || total === 0) return;
    const tenth = Math.floor((received / total) * 10);
    if (tenth <= this.#tenth) return;
    this.#tenth = tenth;
    // A few lines are enough for a log, of what takes long a few more.
    if (tenth % 5 === 0 || total > MANY_BYTES)
      this.#screen.write(`  ${tenth * 10} %  ${formatBytes(received)}\n`);
  }
}

/** Shows how far the load of a model is. Call `clear` at the end, however it came. */
export class LoadProgress {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #line: RedrawnLine;
  readonly #startedAt: number;
  #told = '';

  constructor(screen: Screen = process.stderr, now: () => number = () => performance.now()) {
    this.#screen = screen;
    this.#now = now;
    this.#line = new RedrawnLine(screen, now);
    this.#startedAt = now();
  }

  /** What is going on, and how much of it is done (0 to 1; null where that is not known). */
  update(what: string, done: number | null): void {
    if (!this.#screen.isTTY) {
      this.#tell(plain(what));
      return;
    }
    const percent = done === null ? [] : [`${Math.floor(done * 100)} %`];
    const time = duration((this.#now() - this.#startedAt) / 1000);
    const bars = done === null ? [] : BAR_WIDTHS.map((width) => [barText(done, width)]);
    const facts = [...percent, time];
    const lines = [
      ...bars.map((bar) => [plain(what), ...bar, ...facts]),
      [plain(what), ...facts],
      facts,
    ];
    this.#line.draw((columns) => widest(lines, columns), done === 1);
  }

  /** Takes the line away. */
  clear(): void {
    this.#line.clear();
  }

  /** In a log, each thing that goes on is a line, once. */
  #tell(what: string): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#screen.write(`${what}\n`);
  }
}

function barText(part: number, width: number): string {
  const filled = Math.floor(Math.min(1, Math.max(0, part)) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

/** The first line that fits; where none does, none. */
function widest(lines: readonly (readonly string[])[], columns: number): string {
  return lines.map((parts) => parts.join('  ')).find((line) => displayWidth(line) <= columns) ?? '';
}

/** `0:07`, `12:30`, `1:02:03`. */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [
    Math.floor(whole / 3600),
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
