/**
 * What is asked of the servers that models come from: a small JSON text, a look at a file, and a file's
 * bytes, whole or by range. Any process. It must never give the hub's token to another origin, never
 * take a compressed or a differently long answer for what was asked, and never try without an end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HoshikageError } from '../errors.js';
import { preambleProblem } from '../models/gguf.js';
import { Unsound } from '../models/gguf-reasons.js';
import { discard, type Reply, reasonOf, shownUrl, Unfollowed, type Web } from '../web/web.js';
import { isStatusPassing, type Named, refusal } from './refusals.js';

/** Limits that tests make smaller. */
export interface ClientLimits {
  /** Pause before the second try, ms; each further one is twice as long, up to 30 s. */
  readonly pauseMs?: number;
  /** Tries in a row that bring nothing. */
  readonly tries?: number;
}

/** Whom to ask, and how. */
export interface ClientOptions {
  readonly web: Web;
  /** The hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** For the hub's own origin alone. */
  readonly token: string | null;
  readonly limits?: ClientLimits;
}

/** What a server says of a file before any of it is taken. */
export interface Look {
  /** Bytes; null where it does not say. */
  readonly size: number | null;
  /** Whether parts of it can be asked for. */
  readonly hasRanges: boolean;
  /** Only one that stands for every byte. */
  readonly etag: string | null;
  readonly modified: string | null;
  /** As a hub names it on the way to its storage. */
  readonly sha256: string | null;
}

/** Some bytes of a file: from `start` up to, not including, `end` of `size`. */
export interface Span {
  readonly start: number;
  readonly end: number;
  readonly size: number;
  /** What the file must still be for the bytes to be given: an ETag, or a date. */
  readonly condition: string | null;
}

/** A failure that another try may not have. */
export class Passing extends Error {
  /** How long the server asks us to wait, ms. */
  readonly waitMs: number;

  constructor(cause: unknown, waitMs = 0) {
    super(reasonOf(cause), { cause });
    this.waitMs = waitMs;
  }
}

/** The file on the server is another one now, or is given only whole. */
export class Changed extends Error {}

const MAX_JSON_BYTES = 32 * 1024 * 1024;
/** The fixed beginning of every GGUF file. */
const PREAMBLE_BYTES = 24;
const MAX_SIZE = 2 ** 44;
const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const TRIES = 5;
/** Whoever is not there at all is told sooner. */
const FIRST_TRIES = 3;
/** Who is asked to wait for longer can come again himself. */
const LONGEST_WAIT_MS = 120_000;

/** Asks servers. It owns no connection: whoever made the Web closes it. */
export class Client {
  readonly #options: ClientOptions;
  readonly #origin: string;
  readonly #limits: Required<ClientLimits>;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#origin = new URL(options.endpoint).origin;
    this.#limits = { pauseMs: PAUSE_MS, tries: TRIES, ...options.limits };
  }

  /** A JSON value. Codes: those of refusals.ts, pull_unreachable, pull_invalid, cancelled. */
  json(url: URL, named: Named, signal: AbortSignal): Promise<unknown> {
    return this.#first(url, signal, async () => {
      const reply = await this.#get(url, named, signal, { accept: 'application/json' });
      const text = (await this.#read(reply, MAX_JSON_BYTES, named, signal)).toString('utf8');
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw invalid(named.name, 'the answer is no JSON', '応答が JSON ではありません');
      }
    });
  }

  /** What a file is; one that does not begin as a GGUF file does is refused at once. Codes as of `json`. */
  look(url: URL, named: Named, signal: AbortSignal): Promise<Look> {
    return this.#first(url, signal, async () => {
      const range = `bytes=0-${PREAMBLE_BYTES - 1}`;
      const reply = await this.#get(url, named, signal, { range });
      const isPart = reply.status === 206;
      const sizes = isPart ? contentRange(reply) : null;
      if (isPart && sizes?.start !== 0) {
        discard(reply);
        throw invalid(
          named.name,
          'another range came than was asked for',
          '頼んだ範囲と違う部分が届きました',
        );
      }
      const size = isPart ? (sizes?.size ?? null) : lengthOf(reply);
      const head = await this.#read(reply, PREAMBLE_BYTES, named, signal, 'beginning');
      assertPreamble(head, reply, named.name);
      if (size !== null && (size < PREAMBLE_BYTES || size > MAX_SIZE)) {
        throw invalid(
          named.name,
          `it cannot have ${size} bytes`,
          `この大きさ(${size} バイト)はありえません`,
        );
      }
      const { etag, 'last-modified': modified } = reply.headers;
      return {
        size,
        // Parts of something of unknown length cannot be put together.
        hasRanges: isPart && size !== null,
        etag: typeof etag === 'string' && /^"[^"]{1,256}"$/.test(etag) ? etag : null,
        modified: typeof modified === 'string' && modified.length < 64 ? modified : null,
        sha256: linkedHash(reply),
      };
    });
  }

  /** One try at a part of a file. Throws Passing, Changed, or one of the codes of `json`. */
  async range(url: URL, span: Span, named: Named, signal: AbortSignal): Promise<Reply> {
    const { start, end, size, condition } = span;
    const reply = await this.#get(url, named, signal, {
      range: `bytes=${start}-${end - 1}`,
      ...(condition !== null && { 'if-range': condition }),
    });
    if (reply.status === 200) {
      discard(reply);
      throw new Changed();
    }
    const said = contentRange(reply);
    const isAsked = said?.start === start && said.end === end && (said.size ?? size) === size;
    const length = lengthOf(reply) ?? end - start;
    if (isAsked && length === end - start) return reply;
    discard(reply);
    if (said?.size !== undefined && said.size !== null && said.size !== size) {
      throw invalid(
        named.name,
        `the server now gives it ${said.size} bytes instead of ${size}`,
        `サーバーの言う大きさが ${size} から ${said.size} バイトに変わりました`,
      );
    }
    throw invalid(
      named.name,
      'another range came than was asked for',
      '頼んだ範囲と違う部分が届きました',
    );
  }

  /** One try at a whole file; `size`: what it must have, where that is known. Throws as `range`. */
  async whole(url: URL, size: number | null, named: Named, signal: AbortSignal): Promise<Reply> {
    const reply = await this.#get(url, named, signal, {});
    const length = lengthOf(reply);
    if (reply.status === 200 && (length === null || size === null || length === size)) return reply;
    discard(reply);
    throw wrongSize(named.name, length, size);
  }

  /**
   * Tries until it works, what passes at least; `progress` tells how far the work has come, and who
   * gets further begins to count anew. Codes: pull_unreachable, cancelled, what `work` throws.
   */
  again<T>(
    url: URL,
    signal: AbortSignal,
    work: () => Promise<T>,
    progress: () => number = () => 0,
  ): Promise<T> {
    return this.#again({ url, signal, work, progress, tries: this.#limits.tries });
  }

  #first<T>(url: URL, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const tries = Math.min(FIRST_TRIES, this.#limits.tries);
    return this.#again({ url, signal, work, progress: () => 0, tries });
  }

  async #again<T>({
    url,
    signal,
    work,
    progress,
    tries,
  }: {
    readonly url: URL;
    readonly signal: AbortSignal;
    readonly work: () => Promise<T>;
    readonly progress: () => number;
    readonly tries: number;
  }): Promise<T> {
    const { pauseMs } = this.#limits;
    let failures = 0;
    for (;;) {
      const before = progress();
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
        if (!(error instanceof Passing)) throw error;
        failures = progress() > before ? 1 : failures + 1;
        if (failures >= tries || error.waitMs > LONGEST_WAIT_MS) throw unreachable(url, error);
        const pause = Math.min(LONGEST_PAUSE_MS, pauseMs * 2 ** (failures - 1));
        // Not all at the same moment.
        await sleep(Math.max(error.waitMs, pause * (0.75 + Math.random() / 2)), undefined, {
          signal,
        }).catch(() => {});
      }
    }
  }

  /** An answer of 200 or 206. Throws Passing or a HoshikageError. */
  async #get(
    url: URL,
    named: Named,
    signal: AbortSignal,
    more: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    const { web, token } = this.#options;
    const headers = { accept: '*/*', 'accept-encoding': 'identity', ...more };
    const authorization = (target: URL): string | null =>
      token !== null && target.origin === this.#origin ? `Bearer ${token}` : null;
    let reply: Reply;
    try {
      reply = await web.get(url, { headers, authorization, signal });
    } catch (error) {
      throw asFailure(error);
    }
    const { status } = reply;
    if (status === 200 || (status === 206 && more.range !== undefined)) {
      const encoding = reply.headers['content-encoding'];
      if (encoding === undefined || encoding === 'identity') return reply;
      discard(reply);
      throw invalid(
        named.name,
        `the server sent it as ${String(encoding)}, though it was asked for as it is`,
        `圧縮しないように頼みましたが、${String(encoding)} で届きました`,
      );
    }
    discard(reply);
    if (isStatusPassing(status)) throw new Passing(new Error(`HTTP ${status}`), waitOf(reply));
    throw refusal(reply, named, { isHub: url.origin === this.#origin, hasToken: token !== null });
  }

  /** The body; `beginning`: as much of it as is wanted, and the rest left unread. */
  async #read(
    reply: Reply,
    most: number,
    named: Named,
    signal: AbortSignal,
    what: 'all' | 'beginning' = 'all',
  ): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const part of reply.body as AsyncIterable<Uint8Array>) {
        parts.push(part);
        bytes += part.byteLength;
        if (bytes >= most && what === 'beginning') break;
        if (bytes > most) {
          throw invalid(named.name, 'the answer is too long', '応答が長すぎます');
        }
      }
    } catch (error) {
      if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
      throw asFailure(error);
    } finally {
      discard(reply);
    }
    return Buffer.concat(parts).subarray(0, most);
  }
}

/** What undici throws as something that may pass; our own refusals as they are. */
export function asFailure(error: unknown): Error {
  if (error instanceof HoshikageError || error instanceof Passing) return error;
  const unsafe = [error, error instanceof Error ? error.cause : null].find(
    (one) => one instanceof Unfollowed,
  );
  if (!(unsafe instanceof Unfollowed)) return new Passing(error);
  const { message: reason, reason_ja, url } = unsafe;
  return new HoshikageError('pull_unsafe', { url: shownUrl(url), reason, reason_ja });
}

/** pull_invalid with its reason in both languages. */
export function invalid(file: string, reason: string, reason_ja: string): HoshikageError {
  return new HoshikageError('pull_invalid', { file, reason, reason_ja });
}

/** What came is not as long as it should be. */
export function wrongSize(
  file: string,
  bytes: number | null,
  wanted: number | null,
): HoshikageError {
  const [came, said] = [bytes ?? '?', wanted ?? '?'];
  return invalid(
    file,
    `the server gives it ${came} bytes instead of ${said}`,
    `大きさが ${said} バイトのはずですが、サーバーは ${came} バイトと言っています`,
  );
}

function unreachable(url: URL, error: Passing): HoshikageError {
  const seconds = Math.ceil(error.waitMs / 1000);
  const later = error.waitMs > LONGEST_WAIT_MS;
  const reason = later ? `, try again in ${seconds} s` : '';
  const reason_ja = later ? `、${seconds} 秒後にやり直してください` : '';
  const first = isOffline(error) ? OFFLINE : { en: '', ja: '' };
  const details = {
    url: shownUrl(url),
    reason: first.en + error.message + reason,
    reason_ja: first.ja + error.message + reason_ja,
    kept: '',
  };
  return new HoshikageError('pull_unreachable', details, { cause: error });
}

const OFFLINE = {
  en: 'there is no way to the internet, or it needs a proxy (HTTPS_PROXY): ',
  ja: 'インターネットにつながっていないか、プロキシ(HTTPS_PROXY)が要ります: ',
} as const;

/** Whether not even a server was found, or nobody listens there. */
function isOffline(error: unknown): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ('code' in one && /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED)$/.test(String(one.code))) return true;
  }
  return false;
}

function assertPreamble(head: Buffer, { headers }: Reply, file: string): void {
  const problem =
    head.length < PREAMBLE_BYTES
      ? new Unsound('too_short')
      : preambleProblem(head.readUInt32LE(0), head.readUInt32LE(4));
  if (problem === null) return;
  const type = String(headers['content-type'] ?? '').split(';')[0] ?? '';
  const kind = /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : 'something else';
  throw invalid(
    file,
    `it is no GGUF file (${problem.message}; the server sent ${kind})`,
    `GGUF ファイルではありません(${problem.japanese}。届いたのは ${kind})`,
  );
}

interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly size: number | null;
}

function contentRange({ headers }: Reply): ContentRange | null {
  const said = String(headers['content-range'] ?? '');
  const [, first, last, size] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(said) ?? [];
  if (first === undefined || last === undefined) return null;
  return { start: Number(first), end: Number(last) + 1, size: size === '*' ? null : Number(size) };
}

function lengthOf({ headers }: Reply): number | null {
  const said = String(headers['content-length'] ?? '');
  return /^\d{1,15}$/.test(said) ? Number(said) : null;
}

/** The SHA-256 that a hub names in its own answer, before it leads to its storage. */
function linkedHash({ firstHeaders }: Reply): string | null {
  const said = String(firstHeaders['x-linked-etag'] ?? '').replaceAll('"', '');
  return /^[0-9a-f]{64}$/i.test(said) ? said.toLowerCase() : null;
}

/** Retry-After, in ms: seconds or a date. */
function waitOf({ headers }: Reply): number {
  const said = String(headers['retry-after'] ?? '');
  if (/^\d{1,6}$/.test(said)) return Number(said) * 1000;
  const date = Date.parse(said);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}
