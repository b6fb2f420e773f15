/** Asks Python's Jinja2: one process reads all jobs and writes all answers. */
import { spawnSync } from 'node:child_process';
import { inProject } from '../root.js';

const PYTHON = process.env.PYTHON ?? '/usr/bin/python3';
const ORACLE = inProject('scripts/test-templates/oracle.py');

/** The time that strftime_now tells: year, month, day, hour, minute, second. */
export const NOW = [2026, 7, 5, 15, 4, 9] as const;

/** What one engine made of one job. */
export type Outcome = { readonly text: string } | { readonly error: string };
/** Python's: as Hugging Face has it, and with what we have beyond it where that was lacking. */
export type Answer = readonly [Outcome, Outcome | null];
/** A template's name and its variables. */
export type Job = readonly [string, unknown];

/** Python's answers in the order of the jobs; throws an Error that says how to install Jinja2. */
export function askPython(
  templates: ReadonlyMap<string, string>,
  jobs: readonly Job[],
): readonly Answer[] {
  const input = JSON.stringify({ now: NOW, templates: Object.fromEntries(templates), jobs });
  const run = spawnSync(PYTHON, [ORACLE], { input, encoding: 'utf8', maxBuffer: 1024 ** 3 });
  if (run.status !== 0) {
    const hint = /No module named/.test(run.stderr ?? '')
      ? 'Install Jinja2 first: apt-get install python3-jinja2'
      : 'Set PYTHON to a Python 3 that has Jinja2 (Debian: apt-get install python3-jinja2)';
    throw new Error(`${PYTHON} failed: ${run.error?.message ?? run.stderr}\n${hint}`);
  }
  return JSON.parse(run.stdout);
}
