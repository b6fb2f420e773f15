/**
 * `hoshikage doctor [--json]`: everything Hoshikage needs, looked at, with what to do about what is
 * broken. Runs in the CLI process, which shows it; the looking is done by doctor-process.ts, since Node
 * cannot end while one of its file system calls hangs.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Language } from '../../src/config.js';
import type { CheckResult, CheckState } from '../../src/doctor/check.js';
import type { Diagnosis } from '../../src/doctor/doctor.js';
import type { DoctorNews, DoctorOrder } from '../doctor-process.js';
import type { ExitCode } from '../fail.js';
import { paintOf } from '../paint.js';
import { displayWidth, ownCommand, plain, print, printJson, type Words } from '../print.js';
import { RedrawnLine } from '../progress.js';
import type { Command, Shell } from '../shell.js';

/** Registers the command. */
export const doctorCommand: Command = (parser, shell) =>
  parser.command(
    'doctor',
    shell.say({ ja: 'うまく動かない理由を調べる', en: 'Find out what is wrong' }),
    (doctor) =>
      doctor.option('json', {
        type: 'boolean',
        describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
      }),
    ({ json = false }) => shell.run(() => doctor(json, shell)),
  );

/** The examination ends itself before; this is for one that cannot even do that. */
const LIMIT_MS = 130_000;

async function doctor(json: boolean, shell: Shell): Promise<ExitCode> {
  const progress = showProgress(json, shell);
  try {
    const diagnosis = await examine(shell.language, (groups) =>
      progress.show(groups.map((words) => words[shell.language])),
    );
    progress.clear();
    if (json) printJson(toJson(diagnosis));
    else for (const line of toText(diagnosis, shell)) print(line);
    return diagnosis.ok ? 0 : 1;
  } finally {
    progress.clear();
  }
}

/** The diagnosis of a process of its own, which is killed whatever it still waits for. */
async function examine(
  language: Language,
  onWait: (groups: readonly Words[]) => void,
): Promise<Diagnosis> {
  const { entryBeside } = await import('../../src/engine/fork.js');
  const entry = entryBeside(import.meta.url, '../doctor-process');
  const child = fork(fileURLToPath(entry), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const deadline = AbortSignal.timeout(LIMIT_MS);
  try {
    return await new Promise<Diagnosis>((resolve, reject) => {
      child.on('message', (message) => {
        const news = message as DoctorNews; // only doctor-process.ts sends here
        if ('waiting' in news) onWait(news.waiting);
        else if ('diagnosis' in news) resolve(news.diagnosis);
        else reject(new Error(news.failure));
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`it ended by ${signal ?? code}`)));
      deadline.addEventListener('abort', () => reject(deadline.reason), { once: true });
      const order: DoctorOrder = { language, command: ownCommand() };
      child.send(order);
    });
  } finally {
    child.kill('SIGKILL');
    if (child.connected) child.disconnect();
    // Not even a signal ends a call into a dead file system; it need not keep us.
    child.unref();
  }
}

/** One line on the terminal that names what still runs; none where nobody watches. */
function showProgress(json: boolean, { say }: Shell) {
  const { stderr } = process;
  const isShown = stderr.isTTY && !json;
  const line = new RedrawnLine(stderr);
  return {
    clear: () => line.clear(),
    show(groups: readonly string[]) {
      line.clear();
      if (!isShown || groups.length === 0) return;
      line.draw((columns) => {
        const texts = groups.map((_, count) => {
          const names = groups.slice(0, groups.length - count).join(', ');
          return say({ ja: `調べています: ${names} …`, en: `Looking at: ${names} …` });
        });
        return texts.find((text) => displayWidth(text) <= columns) ?? '';
      }, true);
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
  const paint = paintOf(process.stdout);
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
