/**
 * GET /admin/events: what happens to models and memory, as server-sent events. Runs in the server, one
 * per reader. A reader that does not keep up is told how much it missed; nothing is kept for it. It
 * must stop listening however it ends: the reader goes, the request is given up, the server ends.
 */
import type { Context } from 'hono';
import type { ResourceEvent } from '../events.js';
import type { AppDeps, AppEnv } from './deps.js';
import { SSE_HEADERS, SseStream } from './response.js';
import { heldOf, queueOf, residentOf } from './status.js';
import { wireData } from './wire-names.js';

/** Answers with a stream that begins by what is there now. */
export function adminEvents(c: Context<AppEnv>, deps: AppDeps): Response {
  // Its body would never be read, nor cancelled.
  if (c.req.raw.method === 'HEAD') return new Response(null, { headers: SSE_HEADERS });
  const endings = [c.req.raw.signal, deps.ending];
  let missed = 0;
  let unsubscribe = () => {};
  const end = () => {
    unsubscribe();
    for (const signal of endings) signal.removeEventListener('abort', end);
    sse.close();
  };
  const catchUp = () => {
    if (missed === 0 || sse.full) return;
    sse.send(JSON.stringify({ at: Date.now(), count: missed }), 'missed');
    missed = 0;
    sse.send(hello(deps), 'hello');
  };
  const tell = (event: ResourceEvent) => {
    catchUp();
    if (sse.full) missed += 1;
    else sse.send(JSON.stringify(wireData(event)), event.type);
  };
  const sse = new SseStream({ onDrain: catchUp, onCancel: end });
  c.set('finished', sse.finished);
  sse.send(hello(deps), 'hello');
  unsubscribe = deps.events.subscribe(tell);
  for (const signal of endings) signal.addEventListener('abort', end, { once: true });
  if (endings.some((signal) => signal.aborted)) end();
  return sse.response;
}

/** What is resident, waits and is held back, as /v1/status has it. */
function hello({ pool }: AppDeps): string {
  const { residents, queue, held } = pool.status();
  return JSON.stringify({
    at: Date.now(),
    residents: residents.map(residentOf),
    queue: queueOf(queue),
    held: heldOf(held),
  });
}
