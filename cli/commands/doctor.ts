/**
 * `hoshikage doctor [--json]`: everything Hoshikage needs, looked at, with what to do about what is
 * broken. Runs in the CLI process; the addon and libllama are opened in processes of their own.
 */
import picocolors from 'picocolors';
import type { CheckResult, CheckState } from '../../src/doctor/check.js';
import type { Diagnosis } from '../../src/doctor/doctor.js';
import type { ServerReport } from '../../src/doctor/patient.js';
import type { ExitCode } from '../fail.js';
import { displayWidth, ownCommand, plain, print } from '../print.js';
import type { Command, Shell } from '../shell.js';

/** Registers the command. */
export const doctorCommand: Command = (parser, shell) =>
  parser.command(
    'doctor',
    shell.say({ ja: 'うまく動かない理由を調べる', en: 'Find out what is wrong' }),
    (doctor) =>
      doctor.option('json', {
        type: 'boolean',
        default: false,
        describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
      }),
    ({ json }) => shell.run(() => doctor(json, shell)),
  );

/** No check waits longer than a minute; the whole must end even where that fails. */
const LIMIT_MS = 120_000;

async function doctor(json: boolean, shell: Shell): Promise<ExitCode> {
  const { diagnose } = await import('../../src/doctor/doctor.js');
  const { configPaths } = await import('../../src/config.js');
  const progress = showProgress(json, shell);
  try {
    const diagnosis = await diagnose({
      sources: { flags: { lang: shell.language } },
      command: ownCommand(),
      server: () => askServer(configPaths().runFile),
      signal: AbortSignal.timeout(LIMIT_MS),
      onWait: (groups) => progress.show(groups.map((words) => words[shell.language])),
    });
    progress.clear();
    if (json) print(JSON.stringify(toJson(diagnosis), null, 2));
    else for (const line of toText(diagnosis, shell)) print(line);
    return diagnosis.ok ? 0 : 1;
  } finally {
    progress.clear();
  }
}

/** What the server that run.json names says; it may hang, so silence is an answer. */
async function askServer(runFile: string): Promise<ServerReport | null> {
  const { ask, findServer } = await import('../admin-client.js');
  const server = findServer({ runFile });
  if (!server) return null;
  const answer = await ask(server, 'GET', '/v1/status').catch(() => null);
  const { pid, host, port } = server;
  return { pid, host, port, status: answer?.body ?? null };
}

/** One line on the terminal that names what still runs; none where nobody watches. */
function showProgress(json: boolean, { say }: Shell) {
  const { stderr } = process;
  const isShown = stderr.isTTY && !json;
  let width = 0;
  return {
    clear() {
      if (width > 0) stderr.write(`\r${' '.repeat(width)}\r`);
      width = 0;
    },
    show(groups: readonly string[]) {
      if (!isShown) return;
      this.clear();
      if (groups.length === 0) return;
      const names = groups.join(', ');
      const line = say({ ja: `調べています: ${names} …`, en: `Looking at: ${names} …` });
      width = displayWidth(line);
      stderr.write(line);
    },
  };
}

function toJson({ ok, checks }: Diagnosis): object {
  return {
    ok,
    checks: checks.map(({ id, group, state, title, detail, remedy }) => ({
      id,
      group,
      state,
      title,
      detail,
      remedy,
    })),
  };
}

const MARKS: Readonly<Record<CheckState, string>> = {
  ok: '✓',
  warning: '!',
  broken: '✗',
  skipped: '-',
};

function toText({ checks }: Diagnosis, shell: Shell): readonly string[] {
  const { language, say } = shell;
  const paint = picocolors.createColors(process.stdout.isTTY && picocolors.isColorSupported);
  const colours = { ok: paint.green, warning: paint.yellow, broken: paint.red, skipped: paint.dim };
  const width = Math.max(...checks.map(({ title }) => displayWidth(title[language])));
  const lines: string[] = [];
  let group = '';
  for (const check of checks) {
    if (check.group !== group) {
      group = check.group;
      lines.push('', paint.bold(check.groupTitle[language]));
    }
    const title = check.title[language];
    const padded = title + ' '.repeat(width - displayWidth(title));
    const detail = plain(check.detail[language]);
    const text = check.state === 'skipped' ? paint.dim(detail) : detail;
    lines.push(`  ${colours[check.state](MARKS[check.state])} ${padded}  ${text}`);
    if (check.remedy) {
      const indent = ' '.repeat(width + 6);
      lines.push(`${indent}${paint.cyan('→')} ${plain(check.remedy[language])}`);
    }
  }
  return [...lines.slice(1), '', summary(checks, say)];
}

function summary(checks: readonly CheckResult[], say: Shell['say']): string {
  const count = (state: CheckState) => checks.filter((check) => check.state === state).length;
  const [broken, warnings] = [count('broken'), count('warning')];
  if (broken + warnings === 0) {
    return say({ ja: '問題は見つかりませんでした', en: 'No problem was found' });
  }
  return say({
    ja: `直すところ ${broken} 件、気をつけるところ ${warnings} 件`,
    en: `Broken: ${broken}, warnings: ${warnings}`,
  });
}
