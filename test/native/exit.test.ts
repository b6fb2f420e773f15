/** How processes, worker threads and forgotten wraps end: no signal of our own, no hang, nothing left. */
import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadAddon } from '../../src/engine/addon.js';
import { buildFake, FakeControl, skipReason, within } from './fake.js';
import { modelFile, type StoryEnd, startStory } from './rig.js';

/** Steering for one story. */
interface Steering {
  readonly control: FakeControl;
  readonly parameters: { readonly library: string; readonly model: string };
}

async function steered<T>(use: (steering: Steering) => Promise<T>): Promise<T> {
  const control = new FakeControl();
  try {
    return await use({
      control,
      parameters: { library: buildFake(), model: modelFile(control) },
    });
  } finally {
    control.close();
  }
}

/** Makes the phase last until the story ends it. */
function hold(control: FakeControl, phase: string): void {
  if (phase === 'loading') control.set('holdLoad', 1);
  if (phase === 'embedding') control.set('holdEmbed', 1);
  if (phase === 'prefill') control.set('tokenSleepUs', 300);
  if (phase === 'generating') control.set('tokenSleepUs', 2000);
}

const describeEnd = (end: StoryEnd): string => `code ${end.code}, ${end.signal}\n${end.stderr}`;

describe('the end of a process', { skip: skipReason, concurrency: 2 }, () => {
  const phases = [
    'opened',
    'loading',
    'loaded',
    'idle',
    'embedding',
    'prefill',
    'generating',
  ] as const;
  const ways = [
    { way: 'end', title: 'that closes everything', code: 0 },
    { way: 'leave', title: 'that only cancels and leaves', code: 0 },
    { way: 'exit', title: 'by process.exit', code: 3 },
    { way: 'throw', title: 'by an error that nobody catches', code: 1 },
  ] as const;
  for (const phase of phases) {
    for (const { way, title, code } of ways) {
      it(`${title} while ${phase} is an ordinary one`, () =>
        steered(async ({ control, parameters }) => {
          hold(control, phase);
          const end = await startStory('leaveBy', { ...parameters, phase, way }, control).end;
          assert.equal(end.signal, null, describeEnd(end));
          assert.equal(end.code, code, describeEnd(end));
          assert.equal(control.get('violations'), 0);
          if (way === 'end') assert.equal(control.get('liveModels'), 0);
        }));
    }
    it(`by SIGTERM while ${phase} is that signal’s, at once`, () =>
      steered(async ({ control, parameters }) => {
        hold(control, phase);
        const story = startStory('leaveBy', { ...parameters, phase, way: 'wait' }, control);
        await story.at(phase);
        story.kill('SIGTERM');
        const end = await story.end;
        assert.equal(end.signal, 'SIGTERM', describeEnd(end));
      }));
  }

  it('does not come by an error thrown in the doorbell’s callback: the bell goes on ringing', () =>
    steered(async ({ control, parameters }) => {
      hold(control, 'generating');
      const story = { ...parameters, phase: 'generating', way: 'throwInWake' };
      const end = await startStory('leaveBy', story, control).end;
      assert.equal(end.signal, null, describeEnd(end));
      assert.equal(end.code, 0, describeEnd(end));
      assert.deepEqual(end.out.at(-1), { at: 'left' });
    }));
});

describe('a completion that was refused', { skip: skipReason }, () => {
  it('keeps no process alive', () =>
    steered(async ({ parameters }) => {
      const end = await startStory('refused', parameters).end;
      assert.deepEqual(end.out.at(-1), { at: 'refused', code: 'closed' });
      assert.equal(end.signal, null, describeEnd(end));
    }));
});

describe('a worker thread', { skip: skipReason, concurrency: 2 }, () => {
  for (const phase of ['opened', 'loading', 'idle', 'prefill', 'generating'] as const) {
    for (const way of ['wait', 'leave', 'exit'] as const) {
      const how = { wait: 'terminated', leave: 'left', exit: 'ended by process.exit' }[way];
      it(`${how} while ${phase}, leaves a process in which the main thread still works`, () =>
        steered(async ({ control, parameters }) => {
          if (phase === 'generating') control.set('tokenSleepUs', 1000);
          if (phase === 'prefill') control.set('tokenSleepUs', 100);
          const end = await startStory('thread', { ...parameters, phase, way, times: 4 }, control)
            .end;
          assert.equal(end.signal, null, describeEnd(end));
          assert.equal(end.code, 0, describeEnd(end));
          assert.deepEqual(end.out.at(-1), { at: 'main still works', vocabulary: 320 });
          assert.equal(control.get('liveModels'), 0);
          assert.equal(control.get('liveContexts'), 0);
          assert.equal(control.get('violations'), 0);
        }));
    }
  }
});

describe('wraps that nobody closes', { skip: skipReason }, () => {
  it('are freed by the garbage collector, which says so in the log', () =>
    steered(async ({ control, parameters }) => {
      control.set('tokenSleepUs', 100);
      const story = startStory('collect', parameters, control);
      await story.at('collected');
      const end = await story.end;
      assert.equal(end.signal, null, describeEnd(end));
      assert.equal(end.code, 0, describeEnd(end));
      const warnings = end.out.find((line) => line.at === 'collected')?.warnings;
      assert.ok(Array.isArray(warnings) && warnings.length > 0, 'it warns');
      assert.equal(control.get('liveContexts'), 0);
      assert.equal(control.get('liveModels'), 0);
      assert.equal(control.get('violations'), 0);
    }));
});

describe('tryLock and dieWithParent', { skip: skipReason }, () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'hoshikage-os-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('a lock is exclusive between processes and ends with its holder, even by SIGKILL', async () => {
    const path = join(folder, 'map.lock');
    writeFileSync(path, '');
    const addon = loadAddon();
    const holder = startStory('lock', { path });
    await holder.at('asked');
    const file = openSync(path, 'r+');
    assert.equal(addon.tryLock(file), false);
    holder.kill('SIGKILL');
    const end = await holder.end;
    assert.deepEqual(end.out[0], { at: 'asked', locked: true });
    assert.equal(addon.tryLock(file), true);
    const second = startStory('lock', { path });
    await second.at('asked');
    second.kill('SIGKILL');
    assert.deepEqual((await second.end).out[0], { at: 'asked', locked: false });
  });

  it('a lock on a bad descriptor is an error with a code', () => {
    assert.throws(() => loadAddon().tryLock(99_999), /./);
  });

  it('a child that asked for it dies with its parent', {
    skip: process.platform !== 'linux',
  }, async () => {
    const path = join(folder, 'pid');
    const parent = startStory('parent', { path });
    await parent.at('orphan');
    const pid = Number(readFileSync(path, 'utf8'));
    parent.kill('SIGKILL');
    await parent.end;
    const gone = async (): Promise<void> => {
      for (;;) {
        try {
          process.kill(pid, 0);
        } catch {
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    await within(gone(), 'the end of the orphan');
  });
});
