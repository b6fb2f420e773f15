/**
 * What `pull` shows: short names, what a repository offers, and what happens on the way. Runs in the CLI
 * process. It decides nothing; names that came from a server never steer the terminal.
 */
import type { MachineMemory } from '../src/memory/machine.js';
import type { Fit } from '../src/pull/fits.js';
import type { KnownModel } from '../src/pull/known.js';
import type { Offer } from '../src/pull/offers.js';
import type { PullNote, PullWatch } from '../src/pull/pull.js';
import { formatBytes, ownCommand, plain, print, remark, table, type Words } from './print.js';
import { DownloadProgress, LoadProgress } from './progress.js';
import type { Shell } from './shell.js';

const FIT_WORDS: Readonly<Record<Fit, Words>> = {
  fits: { ja: '収まる', en: 'fits' },
  tight: { ja: 'ほかを閉じれば収まる', en: 'fits once others are closed' },
  short: { ja: '収まらない', en: 'does not fit' },
  unknown: { ja: '-', en: '-' },
};
/** Others that are named in one line. */
const NAMED = 8;

/** The short names there are, and how everything else is named. */
export function showKnown(models: readonly KnownModel[], { say }: Shell): void {
  const head = say({ ja: '名前\t何か\tリポジトリ', en: 'NAME\tWHAT\tREPOSITORY' }).split('\t');
  const rows = models.map((model) => [model.name, say(model), `hf:${model.repository}`]);
  for (const line of table([head, ...rows])) print(line);
  print('');
  const own = ownCommand();
  for (const [example, words] of [
    ['lfm2.5-1.2b-jp', { ja: '短い名前で', en: 'by a short name' }],
    [
      'hf:OWNER/REPOSITORY',
      { ja: 'このマシンに合う形を選ぶ', en: 'in the form that suits this machine' },
    ],
    ['hf:OWNER/REPOSITORY:Q4_K_M', { ja: '形を名指しする', en: 'in the form named' }],
    ['https://HOST/FILE.gguf', { ja: 'どこかのファイル', en: 'a file anywhere' }],
  ] as const) {
    print(`${own} pull ${example}   # ${say(words)}`);
  }
}

/** What a repository offers, with sizes and what suits this machine; `chosen` is marked. */
export function showOffers(
  offers: readonly (readonly [Offer, Fit])[],
  chosen: Offer | null,
  machine: MachineMemory,
  { say }: Shell,
): void {
  const head = say({
    ja: ' \t形\tサイズ\tメモリ\tファイル',
    en: ' \tFORM\tSIZE\tMEMORY\tFILE',
  }).split('\t');
  const rows = offers.map(([offer, fit]) => [
    offer === chosen ? '*' : ' ',
    offer.quantisation ?? '-',
    offer.bytes === null ? '?' : formatBytes(offer.bytes),
    say(FIT_WORDS[fit]),
    fileText(offer),
  ]);
  for (const line of table([head, ...rows])) print(line);
  const [total, free] = [machine.totalBytes, machine.availableBytes].map(formatBytes);
  print('');
  print(
    say({
      ja: `メモリは全体で ${total}、今の空きは ${free}(GPU のメモリは数えていません)。* は、名指ししなければ取り寄せるもの`,
      en: `Memory: ${total} in all, ${free} free now (that of a GPU is not counted); * is what is downloaded unless you name another`,
    }),
  );
}

function fileText({ files }: Offer): string {
  const [first] = files;
  const more = files.length > 1 ? ` (+${files.length - 1})` : '';
  return `${first?.path ?? ''}${more}`;
}

/** What was chosen, since nobody named a form, and what else there is. */
export function sayChoice(
  chosen: Offer,
  fit: Fit,
  offers: readonly Offer[],
  { language }: Shell,
): void {
  const others = offers.filter((one) => one !== chosen).map((one) => labelOf(one));
  const list = others.slice(0, NAMED).join(', ') + (others.length > NAMED ? ', …' : '');
  const memory = FIT_WORDS[fit];
  const more = others.length > 0;
  remark(
    {
      ja: `${labelOf(chosen)} にします(メモリに${memory.ja})${more ? `。ほかに ${list}` : ''}`,
      en: `Taking ${labelOf(chosen)} (${memory.en})${more ? `; there is also ${list}` : ''}`,
    },
    language,
  );
}

/** A form with its size. */
export function labelOf(offer: Offer): string {
  const name = offer.quantisation ?? offer.files[0]?.path ?? '';
  return offer.bytes === null ? name : `${name} (${formatBytes(offer.bytes)})`;
}

/** Shows how far a pull is. Call `clear` at the end, however it came. */
export class PullScreen implements PullWatch {
  readonly #shell: Shell;
  readonly #download = new DownloadProgress();
  #keeps = false;
  readonly #fleeting = new Set<string>();
  #check: { readonly name: string; readonly line: LoadProgress } | null = null;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  /** Whether something has come that the next pull can go on with. */
  get keeps(): boolean {
    return this.#keeps;
  }

  readonly progress = (name: string, received: number, size: number | null): void => {
    if (received > 0 && size !== null && !this.#fleeting.has(name)) this.#keeps = true;
    this.#endCheck();
    this.#download.update(lastOf(name), received, size);
  };

  readonly checking = (name: string, done: number): void => {
    if (this.#check?.name !== name) {
      this.clear();
      this.#check = { name, line: new LoadProgress() };
    }
    const file = lastOf(name);
    const what = this.#shell.say({ ja: `確かめています: ${file}`, en: `Checking ${file}` });
    this.#check.line.update(what, done);
  };

  readonly note = (note: PullNote): void => {
    this.clear();
    if (note.kind === 'no_ranges') this.#fleeting.add(note.name);
    remark(noteWords(note), this.#shell.language);
  };

  /** Takes the lines away. */
  clear(): void {
    this.#download.clear();
    this.#endCheck();
  }

  #endCheck(): void {
    this.#check?.line.clear();
    this.#check = null;
  }
}

/** A file without its repository: a line has no room for more. */
function lastOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function noteWords({ kind, name, bytes }: PullNote): Words {
  const file = plain(name);
  switch (kind) {
    case 'resumed':
      return {
        ja: `続きから取り寄せます(${formatBytes(bytes)} はもう届いています): ${file}`,
        en: `Going on from ${formatBytes(bytes)} that are here already: ${file}`,
      };
    case 'changed':
      return {
        ja: `サーバーのファイルが前と違うので、初めから取り寄せます: ${file}`,
        en: `The file on the server is another one now, so it begins anew: ${file}`,
      };
    case 'no_ranges':
      return {
        ja: `このサーバーは途中から送れません。切れたら初めからになります: ${file}`,
        en: `This server cannot send parts, so a break means beginning anew: ${file}`,
      };
    case 'no_hash':
      return {
        ja: `この URL には SHA-256 がないので、長さと GGUF の見出しだけを確かめました(--sha256 で渡せます): ${file}`,
        en: `The address gives no SHA-256, so only length and GGUF header were checked (--sha256 gives one): ${file}`,
      };
  }
}
