import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { limitsFor } from '../../src/chat/jinja.js';
import { TemplateRenderer } from '../../src/chat/template.js';

const workers: Worker[] = [];
process.on('worker', (worker) => workers.push(worker));
/** How many template workers run now: they have a limit, which the loader's own thread has not. */
const running = () =>
  workers.filter(({ threadId, resourceLimits }) => {
    return threadId !== -1 && resourceLimits?.maxOldGenerationSizeMb === 512;
  }).length;

const limits = limitsFor(1, 100);
const SLOW = '{% for i in range(9000) %}{% for j in range(9000) %}x{% endfor %}{% endfor %}';

describe('template renderer', () => {
  const renderer = new TemplateRenderer();
  after(() => renderer.close());

  it('renders in its worker', async () => {
    assert.equal(await renderer.render('a{{ b }}', { b: '星' }, { limits }), 'a星');
  });

  it('says a template_failed with the words of raise_exception', async () => {
    const failing = renderer.render("{{ raise_exception('no system role') }}", {}, { limits });
    await assert.rejects(failing, { code: 'template_failed', message: /no system role/ });
  });

  it('renders many at once, each with its own answer', async () => {
    const many = Array.from({ length: 20 }, (_, i) =>
      renderer.render('{{ i }}', { i }, { limits }),
    );
    assert.deepEqual(
      await Promise.all(many),
      many.map((_, i) => String(i)),
    );
  });

  it('ends its worker to rest, unless it renders, and goes on with a new one', async () => {
    await renderer.render('a', {}, { limits });
    assert.equal(running(), 1);
    await renderer.rest();
    assert.equal(running(), 0);
    const again = renderer.render('b', {}, { limits });
    await renderer.rest();
    assert.equal(await again, 'b');
    assert.equal(running(), 1);
  });

  it('refuses what cannot be handed to the worker', async () => {
    const odd = renderer.render('{{ f }}', { f: () => 1 }, { limits });
    await assert.rejects(odd, { code: 'template_failed' });
    assert.equal(await renderer.render('ok', {}, { limits }), 'ok');
  });

  it('does not begin for a caller that has gone', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(renderer.render('a', {}, { limits, signal }), { code: 'cancelled' });
  });
});

describe('template renderer: a template that takes too long', () => {
  it('is killed, and the next one gets a new worker', async () => {
    const renderer = new TemplateRenderer({ timeoutMs: 100 });
    try {
      const slow = renderer.render(SLOW, {}, { limits: { steps: 1e9, length: 1e9 } });
      const next = renderer.render('next', {}, { limits });
      await assert.rejects(slow, { code: 'template_failed', message: /longer than 100 ms/ });
      assert.equal(await next, 'next');
    } finally {
      await renderer.close();
    }
  });

  it('is told from one whose answer is late because the main thread was held up', async () => {
    const renderer = new TemplateRenderer({ timeoutMs: 100 });
    try {
      await renderer.render('warm', {}, { limits });
      // From here on timers come before messages.
      await setImmediate();
      const late = renderer.render('in time', {}, { limits });
      const begun = performance.now();
      while (performance.now() - begun < 300);
      assert.equal(await late, 'in time');
    } finally {
      await renderer.close();
    }
  });

  it('does not stop close(), which refuses what runs and what waits', async () => {
    const renderer = new TemplateRenderer({ timeoutMs: 60_000 });
    const slow = renderer.render(SLOW, {}, { limits: { steps: 1e9, length: 1e9 } });
    const waiting = renderer.render('next', {}, { limits });
    const both = Promise.allSettled([slow, waiting]);
    await renderer.close();
    for (const outcome of await both) {
      assert.equal(outcome.status === 'rejected' && outcome.reason.code, 'closed');
    }
    await assert.rejects(renderer.render('late', {}, { limits }), { code: 'closed' });
    await renderer.close();
  });
});
