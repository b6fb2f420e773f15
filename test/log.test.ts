/** What the log writes, where, and for how long it is kept; processes of their own where streams count. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { entryBeside } from '../src/engine/fork.js';
import { HoshikageError } from '../src/errors.js';
import { createLog, formatLine, type LogOptions } from '../src/log.js';
import { codeArguments } from './helpers/script.js';

/** A file as the rotation remembers it, with the seal that lets it be removed. */
function oldEntry(name: string, hashType: string): { date: number; name: string; hash: string } {
  const date = Date.UTC(2020, 0, 1);
  const hash = createHash(hashType).update(`${name}LOG_FILE${date}`).digest('hex');
  return { date, name, hash };
}

const NOW = new Date(2026, 0, 2, 3, 4, 5, 6);

function line(message: string, fields: object = {}, level: 'info' | 'error' = 'info'): string {
  return formatLine({ level, message, fields, start: false }, NOW);
}

/** `2026-01-02` of today, local time. */
function today(): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

function directory(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hoshikage-log-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Runs `body` in a process of its own, with `log` made from `options`. */
function runLogging(options: LogOptions, body: string): { stdout: string; stderr: string } {
  const url = entryBeside(import.meta.url, '../src/log').href;
  const code = `import { createLog } from ${JSON.stringify(url)};
    const log = createLog(${JSON.stringify(options)});
    ${body}
    await log.close();`;
  const args = codeArguments(code);
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.equal(status, 0, stderr);
  return { stdout, stderr };
}

const TO_STDOUT: LogOptions = { filePath: null, level: 'info', keepDays: 14 };

describe('a line of the log', () => {
  it('has local time, level, message and fields', () => {
    const text = line('model loaded', { model: 'qwen3', ms: 12, path: '/a b', none: undefined });
    assert.equal(text, '2026-01-02 03:04:05.006 INFO  model loaded model=qwen3 ms=12 path="/a b"');
  });

  it('stays one line whatever is in it', () => {
    const text = line('a\nb', { model: 'x\r\n2026 ERROR forged', list: ['\u001b[31m'], e: '' });
    for (const char of ['\r', '\n', '\u001b']) assert(!text.includes(char), text);
    assert.match(text, /a\\nb/);
  });

  it('shows an error with its code and causes, on that one line', () => {
    const cause = new Error('disk on fire');
    const error = new HoshikageError('model_load_failed', { model: 'm' }, { cause });
    const text = line('chat failed', { error }, 'error');
    assert.match(text, /error="\[model_load_failed\] .*m.* <- disk on fire"$/);
    assert(!text.includes('\n'), text);
  });

  it('shows where an unexpected error came from', () => {
    const cause = new Error('disk on fire');
    for (const error of [cause, new HoshikageError('internal_error', {}, { cause })]) {
      const [first = '', ...stack] = line('chat failed', { error }, 'error').split('\n');
      assert.match(first, /disk on fire/);
      assert(stack.length > 0 && stack.every((text) => text.startsWith('    at ')));
    }
  });

  it('shows no stack of what a foreseen error was caused by, but its words', () => {
    for (const code of ['engine_crashed', 'engine_hung', 'memory_short', 'queue_full'] as const) {
      const text = line('request failed', { code, cause: new Error('ended by SIGKILL') }, 'error');
      assert.match(text, /cause="ended by SIGKILL"$/);
      assert(!text.includes('\n'), text);
    }
    const cause = new TypeError('x is not a function');
    const [first, ...stack] = line('oops', { code: 'internal_error', cause }, 'error').split('\n');
    assert.match(first ?? '', /x is not a function/);
    assert(stack.length > 0);
  });

  it('survives values that cannot be shown', () => {
    const loop: { self?: object } = {};
    loop.self = loop;
    assert.match(line('x', { loop, big: [1n] }), /loop=\[unprintable\] big=\[unprintable\]/);
  });
});

describe('the log without a file', () => {
  it('goes to standard output, down to its level', () => {
    const { stdout, stderr } = runLogging(
      TO_STDOUT,
      `log.debug('hidden'); log.info('shown'); log.child({ requestId: 'r1' }).error('bad', { n: 1 });`,
    );
    assert.match(stdout, /INFO {2}shown\n.*ERROR bad requestId=r1 n=1\n$/);
    assert.doesNotMatch(stdout, /hidden/);
    assert.equal(stderr, '');
  });

  it('keeps the chatter of libllama for debug, but never its warnings', () => {
    const body = `const library = log.child({ source: 'libllama' });
      library.info('print_info: n_layer = 1'); library.warn('something odd'); log.info('ours');`;
    const at = (level: 'info' | 'debug') =>
      runLogging({ filePath: null, level, keepDays: 14 }, body).stdout;
    assert.doesNotMatch(at('info'), /n_layer/);
    assert.match(at('info'), /something odd/);
    assert.match(at('info'), /ours/);
    assert.match(at('debug'), /n_layer/);
  });

  it('has written every line when close() is done, and takes none after that', () => {
    const { stdout } = runLogging(
      TO_STDOUT,
      `for (let i = 0; i < 20000; i += 1) log.info('line', { i });
       await log.close(); log.info('late');`,
    );
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 20_000);
    assert.match(lines.at(-1) ?? '', /i=19999$/);
  });
});

describe('the log with a file', () => {
  it('goes to a file of the local day; standard error has start-up lines and errors', (context) => {
    const filePath = join(directory(context), 'deep', '星 %s.log');
    const { stdout, stderr } = runLogging(
      { filePath, level: 'debug', keepDays: 14 },
      `log.start('listening', { port: 1 }); log.info('quiet'); log.debug('detail'); log.error('bad');`,
    );
    assert.equal(stdout, '');
    const said = stderr.split('\n').filter((text) => text !== '' && !text.startsWith('    at '));
    assert.equal(said.length, 2);
    assert.match(said[0] ?? '', /INFO {2}listening port=1$/);
    assert.match(said[1] ?? '', /ERROR bad$/);
    const written = readFileSync(`${filePath}.${today()}`, 'utf8');
    for (const text of ['listening', 'quiet', 'detail', 'bad'])
      assert(written.includes(text), text);
  });

  it('leaves standard error alone where that is asked for', (context) => {
    const filePath = join(directory(context), 'h.log');
    const { stdout, stderr } = runLogging(
      { filePath, level: 'info', keepDays: 14, fileOnly: true },
      `log.start('listening'); log.error('bad');`,
    );
    assert.deepEqual([stdout, stderr], ['', '']);
    assert.match(readFileSync(`${filePath}.${today()}`, 'utf8'), /listening\n.*bad\n/);
  });

  it('holds the lines of libllama at info too', (context) => {
    const path = directory(context);
    const filePath = join(path, 'h.log');
    runLogging(
      { filePath, level: 'info', keepDays: 14 },
      `log.info('print_info: n_layer = 1', { source: 'libllama' });`,
    );
    assert.match(readFileSync(`${filePath}.${today()}`, 'utf8'), /n_layer = 1/);
  });

  it('is appended to by the next start, and leaves nothing outside its directory', async (context) => {
    const root = directory(context);
    const filePath = join(root, 'h.log');
    for (const message of ['first', 'second']) {
      const log = createLog({ filePath, level: 'info', keepDays: 14 });
      log.info(message);
      await log.close();
    }
    assert.match(readFileSync(`${filePath}.${today()}`, 'utf8'), /first\n.*second\n$/);
    assert.deepEqual(readdirSync(root).sort(), ['.h.log.audit.json', `h.log.${today()}`]);
  });

  it('is removed after LOG_KEEP_DAYS', async (context) => {
    const root = directory(context);
    const filePath = join(root, 'h.log');
    const first = createLog({ filePath, level: 'info', keepDays: 14 });
    await first.close();
    // As if that had been written long ago, under its day's name.
    const auditFile = join(root, '.h.log.audit.json');
    const audit = JSON.parse(readFileSync(auditFile, 'utf8'));
    const old = oldEntry(join(root, 'h.log.2020-01-01'), audit.hashType);
    writeFileSync(old.name, 'old\n');
    writeFileSync(auditFile, JSON.stringify({ ...audit, files: [old] }));
    const second = createLog({ filePath, level: 'info', keepDays: 14 });
    second.info('new');
    await second.close();
    assert(!existsSync(old.name));
    assert(existsSync(`${filePath}.${today()}`));
  });

  it('forgets a list of old files that was cut short', async (context) => {
    const root = directory(context);
    writeFileSync(join(root, '.h.log.audit.json'), '{"keep":');
    const log = createLog({ filePath: join(root, 'h.log'), level: 'info', keepDays: 14 });
    await log.close();
    assert.equal(JSON.parse(readFileSync(join(root, '.h.log.audit.json'), 'utf8')).keep.amount, 14);
  });

  it('that cannot be written stops the start and names the setting', (context) => {
    const root = directory(context);
    writeFileSync(join(root, 'file'), '');
    const filePath = join(root, 'file', 'h.log');
    assert.throws(
      () => createLog({ filePath, level: 'info', keepDays: 14 }),
      (thrown) => {
        assert(thrown instanceof HoshikageError);
        assert.equal(thrown.code, 'setting_invalid');
        assert.equal(thrown.details.key, 'LOG_FILE_PATH');
        return true;
      },
    );
  });

  it('that fails later is said once and does not end the process', (context) => {
    const filePath = join(directory(context), 'h.log');
    // The day's file is a directory: opening it fails after the log was made.
    mkdirSync(`${filePath}.${today()}`);
    const { stderr } = runLogging(
      { filePath, level: 'info', keepDays: 14 },
      `await new Promise((resolve) => setTimeout(resolve, 50)); log.info('lost'); log.info('lost');`,
    );
    assert.equal(stderr.match(/cannot write the log/g)?.length, 1, stderr);
  });
});
