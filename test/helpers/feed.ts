/**
 * Listens to /admin/events of a running server: every event as it was told, from the moment the stream
 * is open. Ends with the test.
 */
import type { Owner, TestServer } from './server.js';
import { until } from './waiting.js';
import { ask } from './wire.js';

/** One event: its name and its data. */
export interface FeedEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What was heard so far. */
export interface Feed {
  readonly events: readonly FeedEvent[];
  /** Settles when the server has ended the stream. */
  readonly ended: Promise<void>;
  /** Waits for an event that fits. */
  find(what: string, fits: (event: FeedEvent) => boolean): Promise<FeedEvent>;
  /** Events of one kind so far, e.g. `load` in the state `ready`. */
  count(name: string, fits?: (data: FeedEvent['data']) => boolean): number;
}

/** Listens to a server; settles when the stream is open. */
export async function listen(owner: Owner, server: TestServer): Promise<Feed> {
  const going = new AbortController();
  owner.after(() => going.abort());
  const headers = { authorization: `Bearer ${server.run.token}` };
  const { bytes } = await ask(`${server.url}/admin/events`, { headers, signal: going.signal });
  const events: FeedEvent[] = [];
  const ended = read(bytes, events);
  // A test that does not look at the end leaves it to its owner.
  ended.catch(() => {});
  return {
    events,
    ended,
    find: (what, fits) => until(what, () => events.find(fits) ?? null),
    count: (name, fits = () => true) =>
      events.filter((event) => event.name === name && fits(event.data)).length,
  };
}

async function read(bytes: AsyncIterable<Uint8Array>, events: FeedEvent[]): Promise<void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const part of bytes) {
    rest += decoder.decode(part, { stream: true });
    const parts = rest.split('\n\n');
    rest = parts.pop() ?? '';
    for (const one of parts) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(one) ?? [];
      if (name !== undefined && data !== undefined) events.push({ name, data: JSON.parse(data) });
    }
  }
  if (rest !== '') throw new Error('the stream of events ends in mid-event');
}
