/**
 * A conversation at a terminal, from the first question to the last: messages, commands, answers. Runs in
 * the CLI process. What goes wrong with one question is told, and the next one may be asked.
 */
import { guidePath, modelNotFound } from '../../src/models/guide.js';
import { fail } from '../fail.js';
import { type Paint, paintOf } from '../paint.js';
import { formatSpan, plain, plainLines, shortPath, table } from '../print.js';
import { type Shell, suggestions } from '../shell.js';
import { type Answer, type AnswerFigures, ask, figuresOf, noAnswer } from './answer.js';
import { Conversation } from './conversation.js';
import { type Entry, type KeySource, LineInput } from './line-input.js';
import type { ModelServer, OfferedModel } from './model-server.js';
import { Output, type OutputStream } from './output.js';
import { readSlash, SLASH_COMMANDS, type Slash, slashCompleter } from './slash-commands.js';
import { TranscriptFiles } from './transcript.js';

/** What a session is made of. */
export interface SessionOptions {
  /** Gives the server, again where the last one has gone. */
  readonly open: (signal: AbortSignal) => Promise<ModelServer>;
  /** Null: the one in memory, else the first. */
  readonly model: string | null;
  readonly system: string | null;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly input: KeySource;
  readonly output: OutputStream;
  readonly cwd: string;
  readonly shell: Shell;
}

/** Of one column per character in every terminal: the cursor is moved by them. */
const PROMPTS = { first: '> ', more: '| ' } as const;

const STOPPED = { ja: '(止めました)', en: '(stopped)' } as const;

export class Session {
  readonly #options: SessionOptions;
  readonly #shell: Shell;
  readonly #paint: Paint;
  readonly #output: Output;
  readonly #files: TranscriptFiles;
  #server: ModelServer;
  #models: readonly OfferedModel[];
  readonly #conversation: Conversation;

  private constructor(
    options: SessionOptions,
    server: ModelServer,
    models: readonly OfferedModel[],
    model: string,
  ) {
    this.#options = options;
    this.#shell = options.shell;
    this.#paint = paintOf(options.output);
    this.#output = new Output(options.output);
    this.#files = new TranscriptFiles(options.cwd);
    this.#server = server;
    this.#models = models;
    this.#conversation = new Conversation(model, options.system);
  }

  /** Talks until the user leaves or `signal` aborts. Codes: model_not_found, those of `open`. */
  static async run(options: SessionOptions, signal: AbortSignal): Promise<void> {
    const server = await options.open(signal);
    let session: Session | null = null;
    try {
      const models = await server.models(signal);
      session = new Session(options, server, models, choose(models, options.model));
      await session.#talk(signal);
    } finally {
      await (session ? session.#server : server).close();
    }
  }

  async #talk(signal: AbortSignal): Promise<void> {
    const { input, output } = this.#options;
    const prompts = { first: this.#paint.cyan(PROMPTS.first), more: this.#paint.dim(PROMPTS.more) };
    const completer = slashCompleter(() => this.#models.map(({ id }) => id));
    const lines = new LineInput({ input, output, prompts, completer });
    try {
      this.#greet();
      for (let entry = await lines.next(signal); ; ) {
        if (entry.type === 'end') break;
        if (entry.type === 'interrupt') {
          this.#line('');
          this.#hint({ ja: 'もう一度 Ctrl-C で終わります', en: 'Ctrl-C once more to leave' });
          const next = await lines.next(signal);
          if (next.type === 'interrupt') break;
          entry = next;
          continue;
        }
        if (!(await this.#take(entry, lines, signal))) break;
        entry = await lines.next(signal);
      }
    } finally {
      lines.close();
      this.#output.close();
      output.write('\n');
    }
  }

  /** Does what was typed; false = leave. */
  async #take(
    { text, isLine }: Extract<Entry, { type: 'message' }>,
    lines: LineInput,
    signal: AbortSignal,
  ): Promise<boolean> {
    const stop = new AbortController();
    lines.onInterrupt(() => stop.abort());
    const slash = isLine ? readSlash(text) : null;
    if (slash?.name === 'quit') return false;
    try {
      if (slash) await this.#command(slash, AbortSignal.any([stop.signal, signal]));
      else await this.#ask(text, stop.signal, signal);
    } catch (thrown) {
      if (signal.aborted) return false;
      if (stop.signal.aborted) this.#hint(STOPPED);
      else fail(thrown, this.#shell.language, await suggestions(thrown));
    }
    return true;
  }

  #greet(): void {
    const { isOwn } = this.#server;
    this.#line(`星影 Hoshikage  ${this.#paint.bold(plain(this.#conversation.model))}`);
    if (isOwn) {
      this.#hint({
        ja: 'サーバーが動いていないので、この会話のあいだだけ自分で動かします',
        en: 'No server is running: this conversation runs its own until it ends',
      });
    }
    this.#hint({
      ja: '/help で使い方。Ctrl-C で答えを止め、Ctrl-D で終わります',
      en: '/help shows how. Ctrl-C stops an answer, Ctrl-D leaves',
    });
    this.#line('');
  }

  async #ask(question: string, stop: AbortSignal, leaving: AbortSignal): Promise<void> {
    const conversation = this.#conversation;
    const { fields } = this.#options;
    const body = {
      // A long conversation goes on without its oldest turns.
      truncation: 'auto',
      ...fields,
      model: conversation.model,
      messages: conversation.messagesWith(question),
    };
    const signal = AbortSignal.any([stop, leaving]);
    const answer = noAnswer();
    try {
      const server = await this.#reach(signal);
      await ask(answer, { ...this.#hearing(), server, body, signal, shell: this.#shell });
      conversation.count(figuresOf(answer));
    } catch (thrown) {
      if (!stop.aborted || leaving.aborted) throw thrown;
    } finally {
      await this.#output.endLine();
      if (answer.text !== '') conversation.add(question, answer);
    }
    if (stop.aborted) this.#hint(STOPPED);
    this.#afterwords(answer);
    this.#line('');
  }

  /** Writes the words as they come: thoughts dimmed, and an empty line before the answer. */
  #hearing(): { hear(type: 'text' | 'reasoning', words: string): Promise<void> } {
    let isThinking = false;
    return {
      hear: async (type, words) => {
        if (type === 'reasoning') {
          isThinking = true;
          return this.#output.write(words, this.#paint.dim);
        }
        if (isThinking) {
          isThinking = false;
          await this.#output.endLine();
          await this.#output.write('\n');
        }
        return this.#output.write(words);
      },
    };
  }

  #afterwords(answer: Answer): void {
    const { truncatedTokens } = figuresOf(answer);
    if (answer.finishReason === 'length') {
      this.#hint({ ja: '(長さの上限で切れました)', en: '(cut at the length limit)' });
    }
    if (truncatedTokens > 0) {
      this.#hint({
        ja: `(長すぎるので、古いやり取り ${truncatedTokens} トークンを外しました)`,
        en: `(too long: ${truncatedTokens} tokens of old turns were left out)`,
      });
    }
    if (answer.ignored.length > 0) {
      const list = plain(answer.ignored.join(', '));
      this.#hint({
        ja: `(このモデルでは効き目のない項目: ${list})`,
        en: `(without effect on this model: ${list})`,
      });
    }
  }

  /** The server, or another one where it has gone since. */
  async #reach(signal: AbortSignal): Promise<ModelServer> {
    if (this.#server.isOwn) return this.#server;
    const answers = await this.#server.models(signal).catch((thrown: unknown) => {
      if (signal.aborted) throw thrown;
      return null;
    });
    if (answers) {
      this.#models = answers;
      return this.#server;
    }
    this.#hint({ ja: '(サーバーがいなくなりました)', en: '(the server has gone)' });
    this.#server = await this.#options.open(signal);
    return this.#server;
  }

  async #command(slash: Slash, signal: AbortSignal): Promise<void> {
    switch (slash.name) {
      case 'help':
        return this.#help();
      case 'model':
        return this.#chooseModel(slash.argument, signal);
      case 'system':
        return this.#chooseSystem(slash.argument);
      case 'reset':
        this.#conversation.reset();
        return this.#hint({ ja: '会話を忘れました', en: 'The conversation is forgotten' });
      case 'save':
        return this.#save(slash.argument);
      case 'stats':
        return this.#stats();
      case null: {
        const near = slash.near === null ? { ja: '', en: '' } : nearWords(slash.near);
        return this.#hint({
          ja: `${slash.written} というコマンドはありません${near.ja}。/help で一覧が出ます`,
          en: `There is no command ${slash.written}${near.en}; /help lists them`,
        });
      }
    }
  }

  #help(): void {
    const { language } = this.#shell;
    const rows = Object.entries(SLASH_COMMANDS).map(([name, { argument, ...words }]) => [
      `  /${name} ${argument}`.trimEnd(),
      words[language],
    ]);
    for (const line of table(rows)) this.#line(line);
    this.#line('');
    this.#hint({
      ja: '複数行: 行の終わりに \\ を書くか、""" で囲むか、そのまま貼り付けます',
      en: 'Several lines: end a line with \\, put """ around them, or just paste them',
    });
  }

  async #chooseModel(name: string, signal: AbortSignal): Promise<void> {
    this.#models = await this.#server.models(signal);
    if (name !== '') {
      this.#conversation.model = choose(this.#models, name);
      this.#hint({ ja: `これからは ${name} が答えます`, en: `${name} answers from now on` });
      return;
    }
    for (const { id, isLoaded } of this.#models) {
      const mark = id === this.#conversation.model ? '*' : ' ';
      const loaded = isLoaded ? this.#shell.say({ ja: ' (メモリにある)', en: ' (in memory)' }) : '';
      this.#line(` ${mark} ${plain(id)}${this.#paint.dim(loaded)}`);
    }
  }

  #chooseSystem(text: string): void {
    const conversation = this.#conversation;
    if (text !== '') conversation.system = text === '-' ? null : text;
    if (conversation.system === null) {
      this.#hint({ ja: 'システムメッセージはありません', en: 'There is no system message' });
    } else this.#line(plainLines(conversation.system));
  }

  async #save(name: string): Promise<void> {
    if (name === '') {
      return this.#hint({
        ja: 'ファイルの名前を書いてください: /save 会話.md',
        en: 'Name a file: /save talk.md',
      });
    }
    const path = await this.#files.save(this.#conversation, name, this.#shell.language);
    const short = plain(shortPath(path));
    this.#hint({ ja: `書きました: ${short}`, en: `Saved ${short}` });
  }

  #stats(): void {
    const { last, totals } = this.#conversation;
    if (last === null) {
      this.#hint({ ja: 'まだ答えがありません', en: 'There is no answer yet' });
      return;
    }
    const { say, language } = this.#shell;
    const rows = [
      ...lastRows(last).map(([what, value]) => [`  ${what[language]}`, value]),
      [
        say({ ja: '  全部で', en: '  In total' }),
        say({
          ja: `答え ${totals.answers} 件、読んだ ${totals.promptTokens}(うち計算せず ${totals.cachedTokens})、書いた ${totals.completionTokens} トークン`,
          en: `${totals.answers} answers, ${totals.promptTokens} tokens read (${totals.cachedTokens} not computed again), ${totals.completionTokens} written`,
        }),
      ],
    ];
    for (const line of table(rows)) this.#line(line);
  }

  #line(text: string): void {
    this.#options.output.write(`${text}\n`);
  }

  #hint(words: { readonly ja: string; readonly en: string }): void {
    this.#line(this.#paint.dim(plain(this.#shell.say(words))));
  }
}

function nearWords(name: string): { readonly ja: string; readonly en: string } {
  return { ja: `(${name} のことですか?)`, en: ` (did you mean ${name}?)` };
}

function lastRows(last: AnswerFigures) {
  const { promptTokens, cachedTokens, completionTokens, tokensPerSecond, firstTokenMs } = last;
  const number = (value: number | null, digits = 0) => value?.toFixed(digits) ?? '-';
  const first = firstTokenMs ?? Number.NaN;
  const time = first < 10_000 ? `${(first / 1000).toFixed(2)} s` : formatSpan(first, 'en');
  const read = `${number(promptTokens)} (${number(cachedTokens)})`;
  return [
    [{ ja: '読んだトークン(計算せずに済んだ)', en: 'Tokens read (not computed again)' }, read],
    [{ ja: '書いたトークン', en: 'Tokens written' }, number(completionTokens)],
    [{ ja: '速さ(トークン/秒)', en: 'Speed (tokens/s)' }, number(tokensPerSecond, 1)],
    [{ ja: '最初の言葉まで', en: 'To the first word' }, firstTokenMs === null ? '-' : time],
  ] as const;
}

/** The model of that name; without a name the one in memory, else the first. Code: model_not_found. */
function choose(models: readonly OfferedModel[], name: string | null): string {
  if (name === null) {
    const one = models.find(({ isLoaded }) => isLoaded) ?? models[0];
    if (one) return one.id;
  }
  const wanted = (name ?? '').normalize('NFC');
  const found = models.find(({ id }) => id.normalize('NFC') === wanted);
  if (found) return found.id;
  throw modelNotFound(name ?? '', {}, guidePath());
}
