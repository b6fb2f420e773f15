/**
 * `hoshikage service …`: the server as a service of this user, started with the machine or the login and
 * kept running. Runs in the CLI process. Each command is in a file of its own that is loaded when it runs.
 */
import type { Command } from '../shell.js';

/** Registers the commands. */
export const serviceCommand: Command = (parser, shell) => {
  const { say } = shell;
  const force = {
    type: 'boolean',
    describe: say({
      ja: '星影が書いたものでないユニットも置き換える(消す)',
      en: 'Replace (or remove) a unit that Hoshikage did not write, too',
    }),
  } as const;
  return parser.command(
    'service',
    say({ ja: 'サーバーを systemd のサービスにする', en: 'The server as a systemd service' }),
    (service) =>
      service
        .command(
          'install',
          say({
            ja: 'ユニットを書き、有効にして起動する',
            en: 'Write the unit, enable it and start it',
          }),
          (install) => install.option('force', force),
          ({ force = false }) =>
            shell.run(async () => (await import('./service-install.js')).install({ force }, shell)),
        )
        .command(
          'uninstall',
          say({ ja: '止めて、ユニットを消す', en: 'Stop it and remove the unit' }),
          (uninstall) => uninstall.option('force', force),
          ({ force = false }) =>
            shell.run(async () =>
              (await import('./service-install.js')).uninstall({ force }, shell),
            ),
        )
        .command(
          'status',
          say({ ja: '動いているかを見る', en: 'Show whether it runs' }),
          (status) => status,
          () => shell.run(async () => (await import('./service-status.js')).showService(shell)),
        )
        .demandCommand(1),
    () => {},
  );
};
