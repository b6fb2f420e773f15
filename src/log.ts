/**
 * The log: readable lines to standard output, or, with a file, one file a day and only start-up lines
 * and errors on standard error. Runs on the main thread of a process; a write never blocks it.
 * It must never throw because a disk is full or a pipe is gone, and callers must never hand it a
 * prompt's text at info level. winston is loaded for a file only: it is a tenth of a server's memory.
 */
import { accessSync, constants, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import type * as Winston from 'winston';
import type DailyRotateFile from 'winston-daily-rotate-file';
import { type ErrorCode, HoshikageError, isErrorCode } from './errors.js';

/** How much is logged: each level includes those before it. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** Where messages go. Fields are shown as key=value; an Error in a field is shown with its causes. */
export interface Log {
  error(msg: string, fields?: object): void;
  warn(msg: string, fields?: object): void;
  info(msg: string, fields?: object): void;
  debug(msg: string, fields?: object): void;
  /** An info line that is also shown on standard error when the log goes to a file. */
  start(msg: string, fields?: object): void;
  /** The same log with fields added to every line. */
  child(fields: object): Log;
  /** Resolves when all lines are written (after 2 s at the latest). Idempotent. */
  close(): Promise<void>;
}

/** What createLog needs from the settings. */
export interface LogOptions {
  /** Absolute; `.YYYY-MM-DD` is appended. null = standard output. */
  readonly filePath: string | null;
  readonly level: LogLevel;
  /** Days to keep files; 0 = for ever. */
  readonly keepDays: number;
  /** Nothing goes to standard error beside the file: the terminal belongs to somebody else. */
  readonly fileOnly?: boolean;
}

const CLOSE_LIMIT_MS = 2000;

const require = createRequire(import.meta.url);

/** One line before it is text. */
interface Line {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: object;
  readonly start: boolean;
}

/** One place lines go to. */
interface Sink {
  write(line: Line): void;
  /** Takes no more lines; resolves when the last one has been handed to the system. */
  end(): Promise<void>;
}

type Emit = (line: Line) => void;

/** A log that drops everything. */
export const silentLog: Log = makeLog(
  () => {},
  {},
  () => Promise.resolve(),
);

/** Opens the log. Throws `setting_invalid` where the file cannot be written. */
export function createLog(options: LogOptions): Log {
  const { filePath, level, keepDays, fileOnly = false } = options;
  const sinks =
    filePath === null
      ? [streamSink(process.stdout, level === 'debug' ? () => true : isOurs)]
      : [fileSink(filePath, keepDays), ...(fileOnly ? [] : [streamSink(process.stderr, isUrgent)])];
  let closed: Promise<void> | null = null;
  const emit = (line: Line): void => {
    if (closed || RANK[line.level] > RANK[level]) return;
    for (const sink of sinks) sink.write(line);
  };
  const close = () => {
    closed ??= finish(sinks);
    return closed;
  };
  return makeLog(emit, {}, close);
}

const RANK: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 2, debug: 3 };

function makeLog(emit: Emit, inherited: object, close: () => Promise<void>): Log {
  const at =
    (level: LogLevel, start = false) =>
    (message: string, fields: object = {}) =>
      emit({ level, message, fields: { ...inherited, ...fields }, start });
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    start: at('info', true),
    child: (fields) => makeLog(emit, { ...inherited, ...fields }, close),
    close,
  };
}

/** Waits until all lines are with the system, or for the limit. */
async function finish(sinks: readonly Sink[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_LIMIT_MS);
  });
  await Promise.race([Promise.all(sinks.map((sink) => sink.end())), limit]);
  clearTimeout(timer);
}

/** Says once, on standard error, that the log fails; a log cannot log its own failure. */
function complainOnce(): (cause: unknown) => void {
  let said = false;
  return (cause) => {
    if (said) return;
    said = true;
    const reason = cause instanceof Error ? cause.message : String(cause);
    process.stderr.write(`ログに書き込めません / cannot write the log: ${oneLine(reason)}\n`);
  };
}

function streamSink(stream: NodeJS.WriteStream, takes: (line: Line) => boolean): Sink {
  // A reader that has gone (`hoshikage | head`) must not end the server.
  stream.on('error', () => {});
  return {
    write(line) {
      if (takes(line)) stream.write(`${formatLine(line, new Date())}\n`);
    },
    end: () =>
      new Promise((resolve) => {
        if (!stream.writable) resolve();
        else stream.write('', () => resolve());
      }),
  };
}

/** libllama reports over a hundred lines a load: a file keeps them, a terminal wants `debug` for them. */
function isOurs({ level, fields }: Line): boolean {
  return !(level === 'info' && 'source' in fields && fields.source === 'libllama');
}

function isUrgent({ level, start }: Line): boolean {
  return level === 'error' || start;
}

function lineFormat(winston: typeof Winston) {
  return winston.format((info) => {
    // Only makeLog writes to these loggers, and it writes Lines.
    info[MESSAGE] = formatLine(info as unknown as Line, new Date());
    return info;
  })();
}

/** The key under which winston looks for the finished text (triple-beam). */
const MESSAGE = Symbol.for('message');

function fileSink(filePath: string, keepDays: number): Sink {
  const winston = require('winston') as typeof Winston;
  const Rotating = require('winston-daily-rotate-file') as typeof DailyRotateFile;
  const directory = dirname(filePath);
  const auditFile = join(directory, `.${basename(filePath)}.audit.json`);
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK);
    dropBrokenAudit(auditFile);
    const transport = new Rotating({
      filename: `${basename(filePath)}.%DATE%`,
      dirname: directory,
      datePattern: 'YYYY-MM-DD',
      auditFile,
      format: lineFormat(winston),
      eol: '\n',
      ...(keepDays > 0 && { maxFiles: `${keepDays}d` }),
    });
    const written = watchFile(transport.logStream);
    const logger = winston.createLogger({ level: 'debug', transports: [transport] });
    // Without a listener a failing sink would end the process.
    logger.on('error', complainOnce());
    return {
      write: (line) => void logger.log({ ...line }),
      end: () => {
        const done = written();
        logger.end();
        return done;
      },
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError(
      'setting_invalid',
      {
        key: 'LOG_FILE_PATH',
        value: filePath,
        origin: 'log file',
        origin_ja: 'ログファイル',
        reason: `cannot write there: ${reason}`,
        reason_ja: `書き込めません: ${reason}`,
      },
      { cause },
    );
  }
}

/**
 * Listens to the file itself: the transport does not pass its errors on (unheard they would end the
 * process), and calls itself finished before the file is.
 */
function watchFile(file: NodeJS.WritableStream): Sink['end'] {
  let failed = false;
  const complain = complainOnce();
  file.on('error', (cause) => {
    failed = true;
    complain(cause);
  });
  return () =>
    new Promise((resolve) => {
      if (failed) resolve();
      file.once('finish', resolve);
      file.once('error', () => resolve());
    });
}

/** The rotation forgets its age limit for ever when this file is cut short; a new one heals it. */
function dropBrokenAudit(auditFile: string): void {
  try {
    JSON.parse(readFileSync(auditFile, 'utf8'));
  } catch {
    rmSync(auditFile, { force: true });
  }
}

/** One record as text: local time, level, message, fields; the stack of an unexpected error follows. */
export function formatLine({ level, message, fields }: Line, now: Date): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${fieldText(value)}`)
    .join('');
  const line = `${localTime(now)} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}${shown}`;
  return level === 'error' ? line + stacks(fields) : line;
}

function localTime(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  return `${date} ${time}.${String(now.getMilliseconds()).padStart(3, '0')}`;
}

/** Text that cannot start a line of its own or steer a terminal. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => {
    if (char === '\n') return '\\n';
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function fieldText(value: unknown): string {
  if (value instanceof Error) return quoted(causes(value).map(describeError).join(' <- '));
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return oneLine(JSON.stringify(value));
  } catch {
    return '[unprintable]';
  }
}

function quoted(text: string): string {
  const plain = oneLine(text);
  return plain === '' || /[\s"=]/.test(plain) ? `"${plain.replace(/"/g, '\\"')}"` : plain;
}

function describeError(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? `[${error.code}] ` : '';
  return `${code}${error.message}`;
}

/** The error and what caused it, outermost first. */
function causes(error: Error): Error[] {
  const chain: Error[] = [];
  let current: unknown = error;
  while (current instanceof Error && chain.length < 5) {
    chain.push(current);
    current = current.cause;
  }
  return chain;
}

/** Where the innermost cause of each unexpected Error field was thrown. */
function stacks(fields: object): string {
  // The line's own code, of which such a field is only the cause.
  if ('code' in fields && isErrorCode(fields.code) && saysEnough(fields.code)) return '';
  return Object.values(fields)
    .filter((value): value is Error => value instanceof Error && isUnexpected(value))
    .map((error) => causes(error).at(-1)?.stack ?? '')
    .flatMap((stack) => stack.split('\n').filter((line) => line.startsWith('    at ')))
    .map((line) => `\n${oneLine(line)}`)
    .join('');
}

function isUnexpected(error: Error): boolean {
  return !(error instanceof HoshikageError) || !saysEnough(error.code);
}

/** All codes but one say by themselves what to mend: a stack would only hide it. */
function saysEnough(code: ErrorCode): boolean {
  return code !== 'internal_error';
}
