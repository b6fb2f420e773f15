/**
 * `hoshikage chat [ALIAS]`: a conversation at a terminal. Runs in the CLI process; a server of its own ends
 * with it.
 */
import { type ExitCode, usageError } from '../fail.js';
import type { Shell } from '../shell.js';
import type { Wishes } from '../talk/request-flags.js';

/** What was asked for on the command line. */
export interface ChatWanted {
  readonly model: string | null;
  readonly wishes: Wishes;
}

const ENDED = { ja: '会話を終わりました', en: 'The conversation was ended' };

/** Talks until the user leaves. */
export async function chat({ model, wishes }: ChatWanted, shell: Shell): Promise<ExitCode> {
  const { stdin: input, stdout: output } = process;
  if (!input.isTTY || !output.isTTY) {
    throw usageError({
      ja: 'chat は端末で使います。パイプやファイルには run を使ってください',
      en: 'chat needs a terminal; for pipes and files there is run',
    });
  }
  const { loadConfig } = await import('../../src/config.js');
  const { untilInterrupted } = await import('../local-library.js');
  const { openModelServer } = await import('../talk/model-server.js');
  const { Session } = await import('../talk/session.js');
  const { HoshikageError } = await import('../../src/errors.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  await untilInterrupted(async (signal) => {
    const open = (leaving: AbortSignal) => openModelServer(config, leaving);
    const { system, fields } = wishes;
    const cwd = process.cwd();
    await Session.run({ open, model, system, fields, input, output, cwd, shell }, signal);
    if (signal.aborted) throw new HoshikageError('cancelled');
  }, ENDED);
  return 0;
}
