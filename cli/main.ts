#!/usr/bin/env node
/**
 * The command's entry: a plain `serve` goes straight to the server, everything else, help and mistakes
 * included, to the parser. Runs in the CLI process. Whatever is loaded here stays in an idle server
 * for as long as it runs, and the parser would be its largest part.
 */
import { chooseLanguage } from '../src/config.js';
import { serve } from './commands/serve.js';
import type { ExitCode } from './fail.js';
import { plainServe } from './plain-serve.js';
import { createShell } from './shell.js';

async function main(args: readonly string[]): Promise<ExitCode> {
  // At every TAB: nothing that is not needed for it is loaded.
  if (args[0] === '__complete') {
    await (await import('./complete.js')).complete(args.slice(1));
    return 0;
  }
  const flags = plainServe(args);
  if (!flags) return (await import('./parser.js')).runCommand(args);
  const shell = createShell(chooseLanguage({ flags: { lang: flags.lang } }));
  await shell.run(() => serve({ ...flags, lang: shell.language }));
  return shell.exitCode ?? 0;
}

// A reader that has gone (`hoshikage list | head -1`) is no failure of ours.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv.slice(2));
