/** Messages typed at a terminal: Japanese, several lines, pastes, and what Ctrl-C does when. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { type Entry, LineInput } from '../../cli/talk/line-input.js';
import { slashCompleter } from '../../cli/talk/slash-commands.js';
import { until } from '../helpers/waiting.js';

const patient = AbortSignal.timeout(60_000);

/** A terminal into which somebody types. */
function terminal(context: TestContext) {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (raw: boolean) => void modes.push(raw),
  });
  const output = Object.assign(new PassThrough(), { isTTY: true, columns: 20 });
  let shown = '';
  output.on('data', (part: Buffer) => {
    shown += part.toString();
  });
  const completer = slashCompleter(() => ['猫/小', 'qwen3']);
  const lines = new LineInput({ input, output, prompts: { first: '> ', more: '| ' }, completer });
  context.after(() => lines.close());
  return {
    lines,
    modes,
    shown: () => shown,
    type: (text: string | Buffer) => input.write(text),
    resize: (columns: number) => {
      output.columns = columns;
      output.emit('resize');
    },
    end: () => input.end(),
    /** What the keys make of the next message. */
    async message(keys: string): Promise<Entry> {
      const next = lines.next(patient);
      input.write(keys);
      return next;
    },
  };
}

const said = (text: string, isLine = false): Entry => ({ type: 'message', text, isLine });

describe('a message at the terminal', () => {
  it('is a line, edited by whole characters however wide they are', async (context) => {
    const one = terminal(context);
    assert.deepEqual(await one.message('こんにちわ\u007fは\r'), said('こんにちは', true));
    assert.deepEqual(await one.message('😀x\u001b[D\u001b[D\u001b[3~y\r'), said('yx', true));
    assert.deepEqual(await one.message('星影\u001b[Dの\r'), said('星の影', true));
    // Behind the prompt (2 columns), 星 (2) and の (2), which is drawn in the middle of the line.
    assert.ok(one.shown().includes('\u001b[7G'), JSON.stringify(one.shown()));
    assert.deepEqual(await one.message('\u001b[A\u001b[A\r'), said('yx', true), 'from the history');
  });

  it('may come in pieces of a character, as a slow line brings it', async (context) => {
    const one = terminal(context);
    const next = one.lines.next(patient);
    for (const byte of Buffer.from('影\r')) one.type(Buffer.from([byte]));
    assert.deepEqual(await next, said('影', true));
  });

  it('has several lines by a backslash, by triple quotes, or by a paste', async (context) => {
    const one = terminal(context);
    assert.deepEqual(await one.message('a \\\rb\r'), said('a \nb'));
    assert.deepEqual(await one.message('"""\rx\r\r  y\r"""\r'), said('x\n\n  y'));
    assert.deepEqual(await one.message('"""x\r/quit"""\r'), said('x\n/quit'));
    assert.deepEqual(await one.message('"""one line"""\r'), said('one line'));
    const paste = '\u001b[200~/quit\r\n\tこう\r"""\u001b[201~';
    assert.deepEqual(await one.message(`${paste}!\r`), said('/quit\n\tこう\n"""!'));
    assert.deepEqual(await one.message('\u001b[200~/stats\u001b[201~\r'), said('/stats', true));
  });

  it('is never empty', async (context) => {
    const one = terminal(context);
    assert.deepEqual(await one.message('\r  \r"""\r"""\rx\r'), said('x', true));
  });

  it('is completed where it is a command', async (context) => {
    const one = terminal(context);
    const next = one.lines.next(patient);
    one.type('/mo');
    one.type('\t');
    await until('completion', () => one.shown().includes('/model'));
    one.type(' 猫');
    one.type('\t');
    await until('name', () => one.shown().includes('猫/小'));
    one.type('\r');
    assert.deepEqual(await next, said('/model 猫/小', true));
  });
});

describe('Ctrl-C at the terminal', () => {
  it('first forgets what was typed, and counts where nothing was', async (context) => {
    const one = terminal(context);
    assert.deepEqual(await one.message('half\u0003whole\r'), said('whole', true));
    assert.deepEqual(await one.message('"""\rhalf\r\u0003whole\r'), said('whole', true));
    assert.deepEqual(await one.message('half\\\r\u0003\u0003'), { type: 'interrupt' });
  });

  it('is heard within a paste that has no end, and behind an escape', async (context) => {
    const one = terminal(context);
    const next = one.lines.next(patient);
    one.type('\u001b[200~half a paste\r');
    one.type('\u0003');
    assert.deepEqual(await next, { type: 'interrupt' });
    const again = one.lines.next(patient);
    one.type('\u001b');
    one.type('\u0003');
    assert.deepEqual(await again, { type: 'interrupt' });
  });

  it('stops an answer, and what was typed ahead of it is forgotten', async (context) => {
    const one = terminal(context);
    await one.message('ask\r');
    let stops = 0;
    one.lines.onInterrupt(() => {
      stops += 1;
    });
    one.type('typed ahead\r');
    one.type('\u0003');
    await until('the stop', () => stops === 1);
    assert.deepEqual(await one.message('next\r'), said('next', true));
  });
});

describe('the terminal', () => {
  it('keeps what is typed during an answer for afterwards, and shows none of it before', async (context) => {
    const one = terminal(context);
    await one.message('ask\r');
    one.type('second\rthi');
    one.type('rd\r');
    assert.ok(!one.shown().includes('second'));
    assert.deepEqual(await one.lines.next(patient), said('second', true));
    assert.deepEqual(await one.lines.next(patient), said('third', true));
  });

  it('is drawn again when its size changes, but not into an answer', async (context) => {
    const one = terminal(context);
    const next = one.lines.next(patient);
    one.type('星影');
    await until('the line', () => one.shown().includes('影'));
    one.resize(40);
    const drawn = one.shown().split('> ').length;
    assert.equal(drawn, 3, JSON.stringify(one.shown()));
    one.type('\r');
    await next;
    one.resize(30);
    assert.equal(one.shown().split('> ').length, drawn);
  });

  it('ends the input by Ctrl-D on an empty line, when it goes away, and when the program must', async (context) => {
    const end: Entry = { type: 'end' };
    assert.deepEqual(await terminal(context).message('x\u007f\u0004'), end);
    const gone = terminal(context);
    const next = gone.lines.next(patient);
    gone.end();
    assert.deepEqual(await next, end);
    assert.deepEqual(await gone.lines.next(patient), end);
    const stop = new AbortController();
    const stopped = terminal(context).lines.next(stop.signal);
    stop.abort();
    assert.deepEqual(await stopped, end);
  });

  it('is given back as it was', async (context) => {
    const one = terminal(context);
    await one.message('x\r');
    one.lines.close();
    assert.deepEqual([one.modes[0], one.modes.at(-1)], [true, false]);
    const [on, off] = [
      one.shown().indexOf('\u001b[?2004h'),
      one.shown().lastIndexOf('\u001b[?2004l'),
    ];
    assert.ok(on >= 0 && off > on);
  });
});
