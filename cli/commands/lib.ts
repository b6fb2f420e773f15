/**
 * `hoshikage lib …`: which libllama is used, and which others are at hand. Runs in the CLI process;
 * each of its commands has a file of its own. Nothing here opens a library.
 */
import { type Command, literal } from '../shell.js';

/** Registers the command with its own commands. */
export const libCommand: Command = (parser, shell) => {
  const { say } = shell;
  const which = {
    type: 'string',
    demandOption: true,
    describe: say({
      ja: '名前(lib list で分かる)、ファイルかディレクトリ、または default(選択をやめる)',
      en: 'An id (see lib list), a file or directory, or default (choose nothing)',
    }),
  } as const;
  return parser.command(
    'lib',
    say({ ja: 'libllama を入れる、試す、切り替える', en: 'Install, prove and switch libllama' }),
    (lib) =>
      lib
        .command(
          ['list', 'ls'],
          say({ ja: '入っている libllama の一覧', en: 'List the libllamas' }),
          (list) =>
            list.option('json', {
              type: 'boolean',
              describe: say({ ja: 'JSON で出力する', en: 'Print JSON' }),
            }),
          ({ json = false }) =>
            shell.run(async () => (await import('./lib-list.js')).listLibraries(json, shell)),
        )
        .command(
          'install [variant]',
          say({ ja: 'npm のレジストリーから入れる', en: 'Install one from the npm registry' }),
          (install) =>
            install
              .positional('variant', {
                choices: ['cpu', 'cuda', 'vulkan', 'metal'] as const,
                describe: say({
                  ja: '種類(書かなければ、見つかった GPU に合わせる)',
                  en: 'Which build (by default the one for the GPU that is found)',
                }),
              })
              // Here the word means the version of the library.
              .version(false)
              .option('version', {
                type: 'string',
                requiresArg: true,
                default: 'latest',
                describe: say({ ja: 'パッケージの版', en: 'Version of the package' }),
              }),
          ({ variant, version }) =>
            shell.run(async () =>
              (await import('./lib-install.js')).install({ variant, version }, shell),
            ),
        )
        .command(
          'use <library>',
          say({ ja: '試験してから切り替える', en: 'Prove one, then switch to it' }),
          (use) =>
            use.positional('library', which).option('minimal', {
              type: 'boolean',
              describe: say({
                ja: '知らない版でも、最小モードの試験に通れば使う',
                en: 'Use an unknown version too, in the minimal mode, if it passes in it',
              }),
            }),
          ({ library, minimal = false }) =>
            shell.run(async () =>
              (await import('./lib-use.js')).use(literal(library), { minimal }, shell),
            ),
        )
        .command(
          'check <library>',
          say({ ja: '何も変えずに調べる', en: 'Look at one and change nothing' }),
          (check) =>
            check
              .positional('library', {
                ...which,
                describe: say({
                  ja: '名前(lib list で分かる)、ファイルかディレクトリ、または default(何も選ばないときのもの)',
                  en: 'An id (see lib list), a file or directory, or default (the one without a choice)',
                }),
              })
              .option('canary', {
                type: 'boolean',
                describe: say({
                  ja: '切り替える前の試験もする',
                  en: 'Run the proof that a switch needs, too',
                }),
              }),
          ({ library, canary = false }) =>
            shell.run(async () =>
              (await import('./lib-check.js')).check(literal(library), { canary }, shell),
            ),
        )
        .command(
          'rollback',
          say({ ja: '一つ前のものに戻す', en: 'Go back to the one before' }),
          (rollback) => rollback,
          () => shell.run(async () => (await import('./lib-use.js')).rollback(shell)),
        )
        .command(
          'rm <id>',
          say({ ja: '入れたものを消す', en: 'Remove an installed one' }),
          (rm) =>
            rm.positional('id', {
              type: 'string',
              demandOption: true,
              describe: say({ ja: '名前(lib list で分かる)', en: 'Its id (see lib list)' }),
            }),
          ({ id }) =>
            shell.run(async () => (await import('./lib-remove.js')).remove(literal(id), shell)),
        )
        .demandCommand(1),
    () => {},
  );
};
