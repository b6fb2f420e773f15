/**
 * `hoshikage run ALIAS [PROMPT…]`: one question, one answer, made for pipes: standard output holds the
 * answer and nothing else. Runs in the CLI process. Ctrl-C, and a reader that leaves, stop the work.
 */
import { type Config, loadConfig } from '../../src/config.js';
import { type ExitCode, usageError } from '../fail.js';
import { untilInterrupted } from '../local-library.js';
import { paintOf } from '../paint.js';
import { jsonText, plain, remark } from '../print.js';
import type { Shell } from '../shell.js';
import { isGiven, readAll } from '../standard-input.js';
import { type Answer, ask, noAnswer } from '../talk/answer.js';
import { openModelServer } from '../talk/model-server.js';
import { Output } from '../talk/output.js';
import type { Wishes } from '../talk/request-flags.js';

/** What was asked for on the command line. */
export interface RunWanted {
  readonly model: string;
  /** The words after the name. */
  readonly prompt: readonly string[];
  readonly json: boolean;
  readonly wishes: Wishes;
}

const WAITING = {
  ja: '標準入力を終わりまで待っています(要らなければ、コマンドの後ろに < /dev/null)',
  en: 'Waiting for the end of standard input (if there is none to come, put < /dev/null behind the command)',
};
const STOPPED = { ja: '止めました', en: 'Stopped' };

/** Asks and writes the answer. */
export async function run(wanted: RunWanted, shell: Shell): Promise<ExitCode> {
  const config = loadConfig({ flags: { lang: shell.language } });
  const output = new Output(process.stdout);
  try {
    await untilInterrupted(async (signal) => {
      const body = bodyOf(wanted, await promptOf(wanted.prompt, config, { shell, signal }));
      await answerTo(body, { config, output, wanted, shell, signal });
    }, STOPPED);
    return 0;
  } catch (thrown) {
    // Whoever read it has had enough.
    if (output.gone.aborted) return 0;
    throw thrown;
  } finally {
    output.close();
  }
}

function bodyOf({ model, wishes }: RunWanted, prompt: string): Record<string, unknown> {
  const { system, fields } = wishes;
  const messages = [
    ...(system === null ? [] : [{ role: 'system', content: system }]),
    { role: 'user', content: prompt },
  ];
  return { ...fields, model, messages };
}

interface Surroundings {
  readonly config: Config;
  readonly output: Output;
  readonly wanted: RunWanted;
  readonly shell: Shell;
  readonly signal: AbortSignal;
}

async function answerTo(
  body: Record<string, unknown>,
  { config, output, wanted, shell, signal }: Surroundings,
): Promise<void> {
  const leaving = AbortSignal.any([signal, output.gone]);
  const server = await openModelServer(config, leaving);
  try {
    const answer = noAnswer();
    const thinking = new Thinking();
    await ask(answer, {
      ...{ server, body, signal: leaving, shell },
      hear: async (type, words) => {
        if (type === 'reasoning') return thinking.hear(words);
        await thinking.end();
        if (!wanted.json) await output.write(words);
      },
    });
    await thinking.end();
    if (answer.ignored.length > 0) remark(ignoredWords(answer.ignored), shell.language);
    if (wanted.json) await output.write(`${jsonText(toJson(wanted, answer))}\n`);
    else await output.endLine();
  } finally {
    await server.close();
  }
}

/** What a model thinks, dimmed on a terminal that is not read as the answer; elsewhere it is left out. */
class Thinking {
  readonly #screen = process.stderr.isTTY ? new Output(process.stderr) : null;
  readonly #dim = paintOf(process.stderr).dim;
  #isOpen = false;

  async hear(words: string): Promise<void> {
    this.#isOpen = true;
    await this.#screen?.write(words, this.#dim);
  }

  async end(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#screen?.endLine();
    await this.#screen?.write('\n');
  }
}

/** Said of fields that do nothing. */
export function ignoredWords(names: readonly string[]): {
  readonly ja: string;
  readonly en: string;
} {
  const list = plain(names.join(', '));
  return {
    ja: `このモデルでは効き目のない項目です: ${list}`,
    en: `Without effect on this model: ${list}`,
  };
}

function toJson({ model }: RunWanted, answer: Answer): object {
  const { text, reasoning, finishReason, usage, timings, firstTokenMs } = answer;
  return {
    model,
    text,
    reasoning: reasoning === '' ? null : reasoning,
    finish_reason: finishReason,
    usage,
    timings,
    first_token_ms: firstTokenMs === null ? null : Math.round(firstTokenMs * 1000) / 1000,
  };
}

/**
 * The prompt: the words, below what comes by a pipe or from a file where there is something. What was read
 * stands first, so that another question about it finds it in the model's memory.
 * Codes: usage, body_too_large, cancelled.
 */
async function promptOf(
  words: readonly string[],
  { maxBodyBytes: limit }: Config,
  { shell, signal }: Pick<Surroundings, 'shell' | 'signal'>,
): Promise<string> {
  const asked = words.join(' ');
  const onSilence = (): void => remark(WAITING, shell.language);
  const given = isGiven() ? await readAll({ limit, signal, onSilence }) : '';
  const prompt = [given.trimEnd(), asked].filter((text) => text.trim() !== '').join('\n\n');
  if (prompt !== '') return prompt;
  throw usageError({
    ja: 'プロンプトがありません。名前のあとに書くか、パイプで渡してください',
    en: 'There is no prompt: write it after the name, or pipe it in',
  });
}
