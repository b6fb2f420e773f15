/**
 * Brings the bytes of one file: several connections, each with a range of its own, or one stream where
 * the server knows no ranges. Any process. Every connection that breaks is tried again from where it
 * was; one that gets nowhere leaves its share to the others, and the last one's failure is the failure.
 * It must never write a byte that was not asked for, and never end with a connection still open.
 */
import { HoshikageError } from '../errors.js';
import { sizeText } from '../models/size-text.js';
import { discard, type Reply } from '../web/web.js';
import { asFailure, type Client, invalid, Passing, wrongSize } from './client.js';
import type { PartFile } from './part-file.js';
import type { Range } from './ranges.js';
import type { Named } from './refusals.js';

/** What a transfer takes. */
export interface TransferInput {
  readonly client: Client;
  readonly url: URL;
  readonly named: Named;
  readonly part: PartFile;
  readonly hasRanges: boolean;
  /** What a file of unknown length may take of the disk. */
  readonly mostBytes: number;
  /** Told after every write; `size` is null where it is not known. */
  readonly onProgress: (received: number, size: number | null) => void;
  readonly signal: AbortSignal;
  readonly limits?: TransferLimits;
}

/** Limits that tests make smaller. */
export interface TransferLimits {
  readonly connections?: number;
  /** Bounds of a range that one request asks for, bytes. */
  readonly leastRange?: number;
  readonly mostRange?: number;
}

const CONNECTIONS = 4;
const LEAST_RANGE = 2 ** 20;
/** Small enough that a connection that leaves gives little back. */
const MOST_RANGE = 64 * 2 ** 20;
/** How often a stream that cannot be gone on with begins anew. */
const STREAMS = 3;

/**
 * Brings all bytes that are missing. Throws Changed where the server has another file now.
 * Codes: those of Client, cancelled.
 */
export async function transfer(input: TransferInput): Promise<void> {
  const { part, onProgress } = input;
  onProgress(part.doneBytes, part.identity.size);
  if (input.hasRanges && part.identity.size !== null) {
    await new RangedTransfer(input, part.identity.size).run();
    return;
  }
  await stream(input);
}

class RangedTransfer {
  readonly #input: TransferInput;
  readonly #size: number;
  readonly #rangeBytes: number;
  readonly #connections: number;
  readonly #condition: string | null;
  /** What connections are at work on. */
  readonly #taken = new Set<Range>();
  readonly #abort = new AbortController();
  #working = 0;

  constructor(input: TransferInput, size: number) {
    const { connections = CONNECTIONS, leastRange, mostRange } = input.limits ?? {};
    this.#input = input;
    this.#size = size;
    this.#connections = connections;
    this.#rangeBytes = Math.min(
      mostRange ?? MOST_RANGE,
      Math.max(leastRange ?? LEAST_RANGE, Math.ceil(size / (4 * connections))),
    );
    const { sha256, etag, modified } = input.part.identity;
    // A known hash tells more than any condition, and storages behind one hub differ in their ETags.
    this.#condition = sha256 === null ? (etag ?? modified) : null;
  }

  async run(): Promise<void> {
    const { signal, part } = this.#input;
    const leave = (): void => this.#abort.abort(signal.reason);
    if (signal.aborted) throw new HoshikageError('cancelled');
    signal.addEventListener('abort', leave, { once: true });
    try {
      const all = Array.from({ length: this.#connections }, () => this.#work());
      const ends = await Promise.allSettled(
        all.map((one) =>
          one.catch((error: unknown) => {
            this.#abort.abort(error);
            throw error;
          }),
        ),
      );
      const failed = ends.filter((end) => end.status === 'rejected').map(({ reason }) => reason);
      if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause: failed[0] });
      // Those that were ended for another's failure say only that.
      const first = this.#abort.signal.aborted ? this.#abort.signal.reason : failed[0];
      if (first !== undefined) throw first;
    } catch (error) {
      // What came is claimed, so that the next one goes on from there; a full disk has said so already.
      await part.save().catch(() => {});
      throw part.doneBytes > 0 ? withKept(error) : error;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** One connection: takes a range after the other until none is left. */
  async #work(): Promise<void> {
    this.#working += 1;
    try {
      for (;;) {
        const range = this.#input.part.firstGap(this.#rangeBytes, this.#taken);
        if (range === null) return;
        this.#taken.add(range);
        try {
          await this.#bring(range);
        } finally {
          this.#taken.delete(range);
        }
      }
    } catch (error) {
      const hasCompany = this.#working > 1;
      const isLost = error instanceof HoshikageError && error.code === 'pull_unreachable';
      if (!isLost || !hasCompany || this.#abort.signal.aborted) throw error;
    } finally {
      this.#working -= 1;
    }
  }

  async #bring([start, end]: Range): Promise<void> {
    const { client, url, named, part, onProgress } = this.#input;
    const { signal } = this.#abort;
    let at = start;
    await client.again(
      url,
      signal,
      async () => {
        const span = { start: at, end, size: this.#size, condition: this.#condition };
        const reply = await client.range(url, span, named, signal);
        await eachChunk(reply, async (bytes) => {
          if (at + bytes.byteLength > end) throw tooMuch(named.name);
          await part.write(bytes, at);
          at += bytes.byteLength;
          onProgress(part.doneBytes, this.#size);
        });
        if (at < end) throw new Passing(new Error('the connection ended early'));
      },
      () => at,
    );
  }
}

/** The same, which also says that something has come. */
function withKept(error: unknown): unknown {
  if (!(error instanceof HoshikageError) || error.code !== 'pull_unreachable') return error;
  const details = {
    ...error.details,
    kept: '; what has come is kept, and the same command goes on from there',
    kept_ja: '。届いた分は残っているので、同じコマンドで続きから始まります',
  };
  return new HoshikageError(error.code, details, { cause: error });
}

/** The whole file in one piece; what breaks begins anew, a few times. */
async function stream({
  client,
  url,
  named,
  part,
  mostBytes,
  onProgress,
  signal,
}: TransferInput): Promise<void> {
  const { size } = part.identity;
  let streams = 0;
  await client.again(url, signal, async () => {
    streams += 1;
    if (part.doneBytes > 0) await part.restart();
    const reply = await client.whole(url, size, named, signal);
    let at = 0;
    try {
      await eachChunk(reply, async (bytes) => {
        if (at + bytes.byteLength > mostBytes) {
          throw size === null ? endless(named.name, mostBytes) : tooMuch(named.name);
        }
        await part.write(bytes, at);
        at += bytes.byteLength;
        onProgress(at, size);
      });
      if (size !== null && at < size) throw wrongSize(named.name, at, size);
    } catch (error) {
      if (!(error instanceof Passing) || streams < STREAMS) throw error;
      const { message } = error;
      throw invalid(
        named.name,
        `it broke off ${STREAMS} times (${message}), and this server cannot go on from where it was`,
        `${STREAMS} 回途中で切れ(${message})、このサーバーは続きから送れません`,
      );
    }
  });
}

/** Reads a body to its end, and leaves none open. Throws what `take` throws, or Passing. */
async function eachChunk(reply: Reply, take: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  const body = (reply.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      // Only what the connection throws may pass; a full disk does not.
      const next = await body.next().catch((error: unknown) => {
        throw asFailure(error);
      });
      if (next.done) return;
      await take(next.value);
    }
  } finally {
    discard(reply);
  }
}

function endless(file: string, mostBytes: number): HoshikageError {
  const most = sizeText(mostBytes);
  return invalid(
    file,
    `the server does not say how long it is, and the disk has room for ${most} only`,
    `長さが分からないまま、ディスクに置ける ${most} を超えました`,
  );
}

function tooMuch(file: string): HoshikageError {
  return invalid(
    file,
    'the server sent more bytes than it had said',
    'サーバーが、言っていたより多いバイトを送ってきました',
  );
}
