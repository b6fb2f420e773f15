/**
 * `npm run test:templates -- DIR [NAME ...]`: renders every *.jinja of a folder with our engine and with
 * Python's Jinja2 as Hugging Face sets it up, and compares the bytes. Exits with 1 on any difference.
 * It must never write into the folder. `-- --record FILE` writes what Python makes of the small templates
 * of test/chat/jinja-cases.json into that file.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { compile, limitsFor, type Program, render } from '../src/chat/jinja.js';
import { CASES } from './test-templates/cases.js';
import { type Answer, askPython, type Job, NOW, type Outcome } from './test-templates/python.js';

/** Of each template; names given on the command line show them all. */
const SHOWN_DIFFERENCES = 1;

const VERDICTS = [
  'identical',
  'both raise',
  'beyond',
  'only we raise',
  'only Python raises',
  'differs',
] as const;
type Verdict = (typeof VERDICTS)[number];
const WRONG: ReadonlySet<Verdict> = new Set(['only we raise', 'only Python raises', 'differs']);

function templatesIn(folder: string, names: readonly string[]): ReadonlyMap<string, string> {
  const files = readdirSync(folder).filter((file) => file.endsWith('.jinja'));
  const wanted = files.filter(
    (file) => names.length === 0 || names.some((name) => file.includes(name)),
  );
  return new Map(
    wanted
      .sort()
      .map((file) => [basename(file, '.jinja'), readFileSync(join(folder, file), 'utf8')]),
  );
}

function ours(source: string): (variables: Readonly<Record<string, unknown>>) => Outcome {
  const [year, month, ...rest] = NOW;
  const now = new Date(year, month - 1, ...rest);
  let program: Program | Error;
  try {
    program = compile(source);
  } catch (error) {
    program = error instanceof Error ? error : new Error(String(error));
  }
  return (variables) => {
    try {
      if (program instanceof Error) throw program;
      return { text: render(program, variables, limitsFor(10, 10_000), now) };
    } catch (error) {
      return { error: String(error) };
    }
  };
}

function judge(mine: Outcome, [strict, extended]: Answer): Verdict {
  const python = extended ?? strict;
  if ('error' in mine) return 'error' in python ? 'both raise' : 'only we raise';
  if ('error' in python) return 'only Python raises';
  if (mine.text !== python.text) return 'differs';
  return extended ? 'beyond' : 'identical';
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 160));

function difference(mine: Outcome, python: Outcome): string {
  const [a, b] = [mine, python].map((one) => ('text' in one ? one.text : one.error)) as [
    string,
    string,
  ];
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  const from = 'text' in mine && 'text' in python ? Math.max(0, at - 40) : 0;
  return `    ours   @${at} ${shown(a.slice(from))}\n    python @${at} ${shown(b.slice(from))}`;
}

function main(folder: string | undefined, names: readonly string[]): void {
  if (folder === undefined) throw new Error('usage: npm run test:templates -- DIR [NAME ...]');
  const templates = templatesIn(folder, names);
  const jobs = [...templates.keys()].flatMap((name) =>
    CASES.map(([, variables]): Job => [name, variables]),
  );
  const answers = askPython(templates, jobs).values();
  const sums = new Map<Verdict, number>(VERDICTS.map((one) => [one, 0]));
  const differences: string[] = [];
  let wrong = 0;
  const row = (title: string, counts: ReadonlyMap<Verdict, number>): string =>
    [
      title.slice(0, 46).padEnd(46),
      ...VERDICTS.map((one) => String(counts.get(one)).padStart(one.length)),
    ].join('  ');
  console.log([''.padEnd(46), ...VERDICTS].join('  '));
  for (const [name, source] of templates) {
    const counts = new Map<Verdict, number>(VERDICTS.map((one) => [one, 0]));
    const run = ours(source);
    let shownHere = 0;
    for (const [title, variables] of CASES) {
      const answer = answers.next().value;
      if (answer === undefined) throw new Error('Python gave too few answers');
      const mine = run(variables);
      const verdict = judge(mine, answer);
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
      sums.set(verdict, (sums.get(verdict) ?? 0) + 1);
      if (!WRONG.has(verdict)) continue;
      wrong += 1;
      shownHere += 1;
      if (names.length > 0 || shownHere <= SHOWN_DIFFERENCES) {
        differences.push(
          `${name}: ${title}: ${verdict}\n${difference(mine, answer[1] ?? answer[0])}`,
        );
      }
    }
    console.log(row(name, counts));
  }
  console.log(row(`${templates.size} templates`, sums));
  console.log("'beyond': rendered as Python does once it may append to lists and has from_json.");
  for (const one of differences) console.log(`\n${one}`);
  if (differences.length < wrong) console.log(`\n... and ${wrong - differences.length} more`);
  process.exitCode = wrong > 0 ? 1 : 0;
}

/** Small templates by what they show, each with Python's text, or null where it raises. */
interface Recorded {
  readonly variables: unknown;
  readonly cases: Record<string, [string, string | null][]>;
}

function record(file: string): void {
  const recorded: Recorded = JSON.parse(readFileSync(file, 'utf8'));
  const cases = Object.values(recorded.cases).flat();
  const sources = new Map(cases.map(([source]) => [source, source]));
  const answers = askPython(
    sources,
    cases.map(([source]): Job => [source, recorded.variables]),
  );
  for (const [index, one] of cases.entries()) {
    const python = answers[index]?.[0];
    one[1] = python && 'text' in python ? python.text : null;
  }
  writeFileSync(file, `${JSON.stringify(recorded, null, 2)}\n`);
}

const [folder, ...names] = process.argv.slice(2);
try {
  if (folder === '--record') record(names[0] ?? 'test/chat/jinja-cases.json');
  else main(folder, names);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
