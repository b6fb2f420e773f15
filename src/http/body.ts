/**
 * Reads the JSON body of a request within its limit. Runs in the server. It must never hold more
 * bytes than the limit, and never repeat what a body said in an error.
 */
import { HoshikageError } from '../errors.js';

/** The parsed body. Codes: unsupported_media_type, body_too_large, invalid_json. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  checkType(request);
  return parse(await readBytes(request, maxBytes));
}

/** The same for a body that may be left out: then it is `{}`. */
export async function readOptionalJson(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  if (bytes.byteLength === 0) return {};
  checkType(request);
  return parse(bytes);
}

function checkType(request: Request): void {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new HoshikageError('unsupported_media_type');
  }
}

function parse(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HoshikageError('invalid_json', placeOf(cause, text));
  }
}

/**
 * With a length in the headers Node reads just as much, so comparing is enough and the server's fast
 * path stays; without one (chunked) the bytes are counted as they come.
 */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const declared = request.headers.get('content-length');
  if (declared !== null) {
    if (!(Number(declared) <= maxBytes)) throw tooLarge(maxBytes);
    return new Uint8Array(await request.arrayBuffer());
  }
  if (!request.body) return new Uint8Array();
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return Buffer.concat(parts);
      bytes += value.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      parts.push(value);
    }
  } finally {
    // The rest of a refused body is not wanted; there is nobody to tell if that fails too.
    reader.cancel().catch(() => {});
  }
}

/** A text in another encoding would reach the model as a heap of U+FFFD, without a word. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const reason = { reason: 'the body is not UTF-8', reason_ja: '本文が UTF-8 ではありません' };
    throw new HoshikageError('invalid_json', reason, { cause });
  }
}

function tooLarge(limit: number): HoshikageError {
  return new HoshikageError('body_too_large', { limit });
}

/** Where the JSON breaks off. The parser's own words would quote the body, and so the log would. */
function placeOf(cause: unknown, text: string): { reason: string; reason_ja: string } {
  if (text.trim() === '') return { reason: 'the body is empty', reason_ja: '本文が空です' };
  const position = cause instanceof Error && /position (\d+)/.exec(cause.message)?.[1];
  if (!position) return { reason: 'syntax error', reason_ja: '構文が正しくありません' };
  return { reason: `syntax error at position ${position}`, reason_ja: `${position} 文字目` };
}
