/**
 * `hoshikage pull [SOURCE]`: downloads a model and gives it a name. Runs in the CLI process. What can be
 * refused is refused before the download begins; what has come is kept when it is interrupted,
 * where the server lets anybody go on with it.
 */
import type { Config } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import type { Client } from '../../src/pull/client.js';
import type { WantedFile } from '../../src/pull/pull.js';
import type { HubSource, Source } from '../../src/pull/source.js';
import { type ExitCode, usageError } from '../fail.js';
import { untilInterrupted } from '../local-library.js';
import { formatBytes, ownCommand, plain, print, shortPath, type Words } from '../print.js';
import { labelOf, PullScreen, sayChoice, showKnown, showOffers } from '../pull-words.js';
import { register, usageLine } from '../register.js';
import { type Command, literal, type Shell } from '../shell.js';
import { escapeWord } from '../shell-words.js';

/** Silence after which a connection is given up, ms. */
const SILENCE_MS = 30_000;

/** Registers the command. */
export const pullCommand: Command = (parser, shell) =>
  parser.command(
    'pull [source]',
    shell.say({ ja: 'モデルを取り寄せて登録する', en: 'Download a model and add it' }),
    (pull) =>
      pull
        .positional('source', {
          type: 'string',
          describe: shell.say({
            ja: '短い名前、hf:所有者/リポジトリ[:形|/ファイル.gguf]、https://…/ファイル.gguf(なければ短い名前の一覧)',
            en: 'A short name, hf:OWNER/REPOSITORY[:FORM|/FILE.gguf], or https://…/FILE.gguf (none: the short names)',
          }),
        })
        .option('list', {
          type: 'boolean',
          describe: shell.say({
            ja: 'リポジトリにある形とサイズを見るだけ',
            en: 'Only show the forms of the repository and their sizes',
          }),
        })
        .option('alias', {
          type: 'string',
          requiresArg: true,
          describe: shell.say({ ja: '登録する名前', en: 'The name to add it by' }),
        })
        .option('dir', {
          type: 'string',
          requiresArg: true,
          describe: shell.say({
            ja: '置く場所(なければ MODEL_DIR の下)',
            en: 'Where to put it (else below MODEL_DIR)',
          }),
        })
        .option('sha256', {
          type: 'string',
          requiresArg: true,
          describe: shell.say({
            ja: 'URL のファイルがもつはずの SHA-256',
            en: 'The SHA-256 that the file of an address must have',
          }),
        })
        .option('force', {
          type: 'boolean',
          describe: shell.say({
            ja: '同じ場所のファイル、同じ名前の登録を置き換える',
            en: 'Replace a file at that place, or an entry of that name',
          }),
        })
        .option('yes', {
          alias: 'y',
          type: 'boolean',
          describe: shell.say({
            ja: 'メモリに収まらなくても、尋ねずに取り寄せる',
            en: 'Download without a question even what does not fit the memory',
          }),
        }),
    ({ source, list = false, force = false, yes = false, ...more }) => {
      const options = { ...more, list, force, yes };
      return shell.run(() => pull(source === undefined ? null : literal(source), options, shell));
    },
  );

interface Options {
  readonly list: boolean;
  readonly alias?: string | undefined;
  readonly dir?: string | undefined;
  readonly sha256?: string | undefined;
  readonly force: boolean;
  readonly yes: boolean;
}

/** One run: what it works with, and what was asked. */
interface Run {
  readonly config: Config;
  readonly client: Client;
  readonly options: Options;
  readonly shell: Shell;
  readonly screen: PullScreen;
  readonly signal: AbortSignal;
}

/** What is to be downloaded; null where only a look was wanted. */
interface Plan {
  readonly files: readonly WantedFile[];
  readonly alias: string | null;
  /** As the repository names it. */
  readonly licence: Words | null;
}

async function pull(text: string | null, options: Options, shell: Shell): Promise<ExitCode> {
  if (text === null) {
    const { KNOWN_MODELS } = await import('../../src/pull/known.js');
    showKnown(KNOWN_MODELS, shell);
    return 0;
  }
  const { loadConfig, proxiesOf } = await import('../../src/config.js');
  const { parseSource } = await import('../../src/pull/source.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const source = parseSource(text, config.hubEndpoint);
  checkOptions(source, options);
  const { Web } = await import('../../src/web/web.js');
  const { Client } = await import('../../src/pull/client.js');
  const web = new Web({ ...proxiesOf(config), silenceMs: SILENCE_MS });
  const { hubEndpoint: endpoint, hubToken: token } = config;
  const client = new Client({ web, endpoint, token });
  const screen = new PullScreen(shell);
  try {
    return await untilInterrupted(
      async (signal) => {
        const run = { config, client, options, shell, screen, signal };
        const plan =
          source.kind === 'hub' ? await planHub(source, run) : await planUrl(source, run);
        return plan === null ? 0 : await carryOut(plan, run);
      },
      () => interruptedWords(commandOf(text, options), screen.keeps),
    );
  } finally {
    await web.close();
  }
}

/** What was asked for, as a line for a shell. */
function commandOf(text: string, { alias, dir, sha256, force, yes, list }: Options): string {
  const valued = Object.entries({ alias, dir, sha256 }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${escapeWord(value)}`],
  );
  const bare = Object.entries({ list, force, yes }).flatMap(([name, is]) =>
    is ? [`--${name}`] : [],
  );
  return [ownCommand(), 'pull', escapeWord(text), ...valued, ...bare].join(' ');
}

function interruptedWords(command: string, isKept: boolean): Words {
  return isKept
    ? {
        ja: `中断しました。届いた分は残っています。続きは: ${command}`,
        en: `Interrupted; what has come is kept. To go on: ${command}`,
      }
    : {
        ja: `中断しました。続きから始められるものは残っていません。初めからなら: ${command}`,
        en: `Interrupted; nothing is left to go on with. To begin anew: ${command}`,
      };
}

/** Code: usage. */
function checkOptions(source: Source, { list, sha256 }: Options): void {
  if (sha256 !== undefined && (source.kind === 'hub' || !/^[0-9a-f]{64}$/i.test(sha256))) {
    throw usageError({
      ja: '--sha256 は、URL のファイルに 16 進数 64 桁で付けます(ハブのファイルは、ハブの SHA-256 で確かめます)',
      en: '--sha256 takes 64 hexadecimal digits, for the file of an address (the hub has its own)',
    });
  }
  if (list && source.kind === 'url') {
    throw usageError({
      ja: '--list は、hf: のリポジトリか短い名前に付けます',
      en: '--list goes with a repository (hf:) or a short name',
    });
  }
}

async function planUrl({ url }: Source & { kind: 'url' }, run: Run): Promise<Plan> {
  const { urlFiles } = await import('../../src/pull/plan.js');
  const sha256 = run.options.sha256?.toLowerCase() ?? null;
  return { files: urlFiles(url, sha256, await placesOf(run)), alias: null, licence: null };
}

async function planHub(source: HubSource, run: Run): Promise<Plan | null> {
  const { readRepository } = await import('../../src/pull/hub.js');
  const { chooseOffer, offersOf } = await import('../../src/pull/offers.js');
  const { fitOf } = await import('../../src/pull/fits.js');
  const { hubFiles } = await import('../../src/pull/plan.js');
  const { machineMemory } = await import('../../src/memory/machine.js');
  const { config, client, options, shell, signal } = run;
  const endpoint = config.hubEndpoint;
  const repository = await readRepository(client, endpoint, source, signal);
  const offers = offersOf(repository.files);
  const machine = await machineMemory();
  const isLarge = (bytes: number | null): boolean => fitOf(bytes, machine) === 'short';
  const choose = () => chooseOffer(offers, source, ({ bytes }) => !isLarge(bytes));
  if (options.list) {
    const usual = offers.length === 0 ? choose() : await quietly(choose);
    const rows = offers.map((offer) => [offer, fitOf(offer.bytes, machine)] as const);
    showOffers(rows, usual, machine, shell);
    return null;
  }
  const offer = choose();
  const isNamed = source.file !== null || source.quantisation !== null;
  if (!isNamed) sayChoice(offer, fitOf(offer.bytes, machine), offers, shell);
  if (isLarge(offer.bytes) && !options.yes) await confirm(source, labelOf(offer), offer.bytes, run);
  const files = hubFiles(endpoint, source, repository, offer, await placesOf(run));
  const page = `${endpoint}/${source.owner}/${source.repository}`;
  const { licence } = repository;
  const words = {
    ja: `ライセンス: ${licence}(${page})`,
    en: `Licence: ${licence} (${page})`,
  };
  return { files, alias: source.known, licence: licence === null ? null : words };
}

/** What it gives, or null where nothing suits. */
async function quietly<T>(work: () => T): Promise<T | null> {
  try {
    return work();
  } catch (error) {
    if (error instanceof HoshikageError) return null;
    throw error;
  }
}

async function placesOf({ config, options }: Run) {
  const { toAbsolute } = await import('../../src/models/registry.js');
  const { dir } = options;
  const chosen = dir === undefined ? null : toAbsolute(dir, process.cwd());
  return { modelDir: config.modelDir, dir: chosen };
}

/** Whether it is wanted although it does not fit. Codes: pull_not_fitting, cancelled. */
async function confirm(
  { owner, repository }: HubSource,
  label: string,
  bytes: number | null,
  { shell, signal }: Run,
): Promise<void> {
  const model = `${owner}/${repository}`;
  const { stdin: input, stderr: output } = process;
  if (input.isTTY && output.isTTY) {
    const { askYes } = await import('../question.js');
    const question = shell.say({
      ja: `${model} ${label} はこのマシンのメモリに収まりません。それでも取り寄せますか [y/N] `,
      en: `${model} ${label} does not fit the memory of this machine; download it all the same? [y/N] `,
    });
    if (await askYes(plain(question), { input, output, signal })) return;
  }
  throw new HoshikageError('pull_not_fitting', { model, size: formatBytes(bytes ?? 0) });
}

/** Downloads it, and registers it. */
async function carryOut(plan: Plan, run: Run): Promise<ExitCode> {
  const { pullFiles } = await import('../../src/pull/pull.js');
  const { aliasOf } = await import('../../src/pull/plan.js');
  const { loadAddon } = await import('../../src/engine/addon.js');
  const { config, client, options, shell, screen, signal } = run;
  const { files } = plan;
  const [first] = files;
  if (!first) throw new RangeError('a model has at least one file');
  const alias = options.alias ?? plan.alias ?? aliasOf(first);
  const isRegistered = await checkAlias(alias, first.target, options.force, config);
  try {
    const { force } = options;
    const pulled = await pullFiles({
      ...{ files, client, force, signal, watch: screen },
      // Asked only where fs-ext is missing; other pulls then lock in the same way.
      tryLock: (fd) => loadAddon().tryLock(fd),
    });
    screen.clear();
    const where = `${shortPath(pulled.path)} (${formatBytes(pulled.bytes)})`;
    print(
      plain(
        pulled.already
          ? shell.say({ ja: `もうあります: ${where}`, en: `Already here: ${where}` })
          : shell.say({ ja: `取り寄せました: ${where}`, en: `Downloaded ${where}` }),
      ),
    );
    if (plan.licence) print(plain(shell.say(plan.licence)));
    await enter({ alias, path: pulled.path, isRegistered }, run);
    return 0;
  } finally {
    screen.clear();
  }
}

/**
 * Whether the name is this file's already. Checked before anything is downloaded.
 * Codes: usage, model_exists, map_broken.
 */
async function checkAlias(
  alias: string,
  path: string,
  force: boolean,
  { modelMapFile }: Config,
): Promise<boolean> {
  const { aliasProblem, findEntry, ModelRegistry } = await import('../../src/models/registry.js');
  const problem = aliasProblem(alias);
  if (problem) {
    const name = plain(alias.slice(0, 80));
    throw usageError({
      ja: `名前 ${name} は使えません(${problem.ja})`,
      en: `The name ${name} cannot be used (${problem.en})`,
    });
  }
  const entry = findEntry(await new ModelRegistry(modelMapFile).read(), alias);
  if (entry?.path === path) return true;
  if (entry && !force) throw new HoshikageError('model_exists', { model: alias });
  return false;
}

/** Gives it its name, and says how it is used. */
async function enter(
  {
    alias,
    path,
    isRegistered,
  }: { readonly alias: string; readonly path: string; readonly isRegistered: boolean },
  { config, options, shell }: Run,
): Promise<void> {
  const { say } = shell;
  const { findServer } = await import('../admin-client.js');
  if (isRegistered) {
    print(say({ ja: `登録済みです: ${alias}`, en: `Added before: ${alias}` }));
  } else {
    await register(config, { alias, path, stop: [], force: options.force }, shell);
    print(say({ ja: `登録しました: ${alias}`, en: `Added model: ${alias}` }));
  }
  const talk = `${ownCommand()} chat ${escapeWord(alias)}`;
  print(say({ ja: `話すには: ${talk}`, en: `To talk with it: ${talk}` }));
  print(usageLine(alias, shell));
  if (findServer(config)) return;
  const command = `${ownCommand()} serve`;
  print(say({ ja: `サーバーを動かすには: ${command}`, en: `To start the server: ${command}` }));
}
