/**
 * One GET with its redirects, as whoever downloads needs it: through the proxies that are configured,
 * with a limit on silence, and with a key for nobody but the host it was asked for. Any process; the
 * only place that opens a connection to another machine, and only when a command asked for it. It must
 * never follow a redirect down to plain http, nor from a host outside to an address of this machine or
 * of the networks around it, whatever name that address has: names are judged by what they resolve to
 * at the moment of connecting.
 */
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { addressesOf, isPrivateAddress, literalAddress, watchedLookup } from './addresses.js';

/** Proxies, as HTTP_PROXY and its kin name them; an empty text is none. */
export interface Proxies {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  /** Hosts that are reached without a proxy. */
  readonly noProxy: string;
}

/** How to reach others. */
export interface WebOptions extends Proxies {
  /** Silence after which a connection is given up, ms. */
  readonly silenceMs: number;
  /** Certificates to trust instead of Node's; null = Node's. */
  readonly ca?: readonly string[] | null;
  /** False: any certificate will do. */
  readonly strictSsl?: boolean;
  /** How names become addresses; the system's way by default. */
  readonly lookup?: LookupFunction;
  /** Which addresses a stranger's redirect may not lead to. */
  readonly isPrivate?: (address: string) => boolean;
}

/** What a GET sends besides its address. */
export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** The Authorization header for an address; asked only for the origin of the first one. */
  readonly authorization?: (url: URL) => string | null;
  readonly signal: AbortSignal;
}

/** An answer that is no redirect. Read its body, or `discard` it. */
export interface Reply {
  /** Where it came from in the end. */
  readonly url: URL;
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  /** The headers of the first answer, a redirect's where there was one. */
  readonly firstHeaders: Dispatcher.ResponseData['headers'];
  readonly body: Dispatcher.ResponseData['body'];
}

/** A redirect that is not followed, and why. */
export class Unfollowed extends Error {
  readonly url: URL;
  readonly reason_ja: string;

  constructor(url: URL, reason: { readonly en: string; readonly ja: string }) {
    super(reason.en);
    this.url = url;
    this.reason_ja = reason.ja;
  }
}

const MAX_REDIRECTS = 5;
/** After which a name is left to the proxy. */
const LOOKUP_MS = 5000;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Connections to other machines. Close it when done. */
export class Web {
  readonly #isPrivate: (address: string) => boolean;
  readonly #lookup: LookupFunction;
  readonly #hasProxy: boolean;
  /** For addresses that the user named. */
  readonly #trusting: EnvHttpProxyAgent;
  /** For addresses that a host outside named. */
  readonly #wary: EnvHttpProxyAgent;
  /** Names that so far meant nothing but private addresses. */
  readonly #inside = new Set<string>();

  constructor(options: WebOptions) {
    const { lookup = systemLookup, isPrivate = isPrivateAddress } = options;
    this.#isPrivate = isPrivate;
    this.#lookup = lookup;
    this.#hasProxy = options.httpProxy !== '' || options.httpsProxy !== '';
    this.#trusting = agentOf(
      options,
      watchedLookup(lookup, (hostname, addresses) => {
        if (addresses.every(isPrivate)) this.#inside.add(hostname);
        else this.#inside.delete(hostname);
      }),
    );
    this.#wary = agentOf(
      options,
      watchedLookup(lookup, (hostname, addresses) => {
        if (addresses.some(isPrivate)) throw leadsInside(new URL(`http://${hostname}/`));
      }),
    );
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await Promise.all([this.#trusting.destroy(), this.#wary.destroy()]);
  }

  /** Throws Unfollowed, what undici says of a connection, or the reason of the signal. */
  async get(url: URL, { headers, authorization, signal }: GetOptions): Promise<Reply> {
    let target = url;
    let isOutside = false;
    let firstHeaders: Reply['headers'] | undefined;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      if (isOutside) await this.#assertOutside(target, signal);
      const own = target.origin === url.origin ? (authorization?.(target) ?? null) : null;
      const answer = await (isOutside ? this.#wary : this.#trusting).request({
        origin: target.origin,
        path: target.pathname + target.search,
        method: 'GET',
        headers: { 'user-agent': 'hoshikage', ...headers, ...(own && { authorization: own }) },
        signal,
      });
      firstHeaders ??= answer.headers;
      const { location } = answer.headers;
      if (!REDIRECTS.has(answer.statusCode) || typeof location !== 'string') {
        const { statusCode: status, headers: answered, body } = answer;
        return { url: target, status, headers: answered, firstHeaders, body };
      }
      discard(answer);
      isOutside ||= !this.#isInside(target);
      target = redirected(target, location);
    }
    throw new Unfollowed(url, {
      en: `more than ${MAX_REDIRECTS} redirects`,
      ja: `リダイレクトが ${MAX_REDIRECTS} 回を超えました`,
    });
  }

  /** Whether a host that was just asked is this machine's or a network's around it. */
  #isInside(url: URL): boolean {
    const literal = literalAddress(url);
    return literal === null ? this.#inside.has(url.hostname) : this.#isPrivate(literal);
  }

  /**
   * What no lookup will see: addresses as they are, names that mean this machine everywhere, and, where
   * there is a proxy that looks them up itself, names of private addresses.
   */
  async #assertOutside(url: URL, signal: AbortSignal): Promise<void> {
    const literal = literalAddress(url);
    const isLocalName = /^(.*\.)?localhost\.?$/.test(url.hostname);
    if (isLocalName || (literal !== null && this.#isPrivate(literal))) throw leadsInside(url);
    if (literal !== null || !this.#hasProxy) return;
    const addresses = await this.#addressesOf(url.hostname, signal);
    if (addresses.some(this.#isPrivate)) throw leadsInside(url);
  }

  /** What a name means here; nothing where only the proxy can know. */
  async #addressesOf(hostname: string, signal: AbortSignal): Promise<readonly string[]> {
    const done = new AbortController();
    const tooLong = sleep(LOOKUP_MS, [], { signal: AbortSignal.any([signal, done.signal]) });
    const found = new Promise<readonly string[]>((resolve) => {
      this.#lookup(hostname, { all: true }, (error, addresses) =>
        resolve(error ? [] : addressesOf(addresses)),
      );
    });
    try {
      return await Promise.race([found, tooLong]);
    } finally {
      done.abort();
    }
  }
}

/** Ends an answer whose body nobody wants: reading it to its end would be waiting for a stranger. */
export function discard({ body }: Pick<Reply, 'body'>): void {
  body.on('error', () => {});
  body.destroy();
}

/** An address without what may be a secret in it. */
export function shownUrl({ origin, pathname }: URL): string {
  return origin + pathname;
}

/** What a failed connection says, as far as it helps whoever reads it. */
export function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(inner instanceof Error)) return String(inner);
  const code = 'code' in inner ? String(inner.code) : '';
  return inner.message === '' ? code || inner.name : inner.message;
}

function agentOf(
  { httpProxy, httpsProxy, noProxy, silenceMs, ca, strictSsl = true }: WebOptions,
  lookup: LookupFunction,
): EnvHttpProxyAgent {
  const tls = { rejectUnauthorized: strictSsl, ...(ca && { ca: [...ca] }) };
  return new EnvHttpProxyAgent({
    // Empty texts, so that it does not look into the environment itself.
    httpProxy,
    httpsProxy,
    noProxy,
    // A proxy's own address is the user's choice, so only direct connections use this lookup.
    connect: { ...tls, timeout: silenceMs, lookup },
    requestTls: tls,
    proxyTls: tls,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
  });
}

function redirected(from: URL, location: string): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : null;
  const isDown = from.protocol === 'https:' && target?.protocol !== 'https:';
  if (!target || isDown || !/^https?:$/.test(target.protocol)) {
    throw new Unfollowed(from, {
      en: 'it redirects to what cannot be trusted',
      ja: '信頼できないところへリダイレクトしています',
    });
  }
  target.username = '';
  target.password = '';
  return target;
}

function leadsInside(url: URL): Unfollowed {
  return new Unfollowed(url, {
    en: `it redirects to ${url.hostname}, which is an address of this machine or of a private network`,
    ja: `このマシンか内側のネットワークのアドレス(${url.hostname})へリダイレクトしています`,
  });
}
