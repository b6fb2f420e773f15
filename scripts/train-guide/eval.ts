/**
 * `npm run guide:eval`: asks the built-in model every question of its examination through a real
 * server, with nothing but the model and the message, and prints how many answers are right. Exits
 * with 1 where fewer are than the guide promises. `--model FILE` examines another file, `--part N`
 * asks every Nth question only, `--wrong` lists the wrong answers.
 */
import { parseArgs } from 'node:util';
import { GUIDE_ID } from '../../src/models/guide.js';
import { makeHome, type Owner, startServer } from '../../test/helpers/server.js';
import { chat, chatBody } from '../../test/helpers/wire.js';
import { cleaningUp } from '../bench/cleanup.js';
import { LANGUAGES, readLessons } from './dialogues.js';
import { GROUPS, type Group, isOutside, isRight, type Task, tasksOf } from './examination.js';

/** What the guide promises, as shares of the questions. */
const PROMISED: Partial<Record<Group, number>> = { taught: 0.95, 'held out': 0.8 };

interface Marked {
  readonly task: Task;
  readonly said: string;
  readonly right: boolean;
}

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    part: { type: 'string', default: '1' },
    wrong: { type: 'boolean', default: false },
  },
});

async function examine(tasks: readonly Task[], owner: Owner): Promise<Marked[]> {
  const home = makeHome(owner);
  if (values.model !== undefined) home.writeMap({ [GUIDE_ID]: values.model });
  const server = await startServer(owner, { home });
  const marked: Marked[] = [];
  for (const task of tasks) {
    const { status, body } = await chat(server, chatBody(GUIDE_ID, task.question));
    if (status !== 200) throw new Error(`status ${status}: ${JSON.stringify(body)}`);
    const said = body.choices[0]?.message.content ?? '';
    marked.push({ task, said, right: isRight(task, said) });
  }
  return marked;
}

/** A line of the table, and whether it keeps the promise, which nothing asked cannot. */
function report(name: string, marked: readonly Marked[], promised = 0): boolean {
  const right = marked.filter((one) => one.right).length;
  const share = marked.length === 0 ? 0 : right / marked.length;
  const wanted = promised > 0 ? `  (at least ${(promised * 100).toFixed(0)} %)` : '';
  const figures = `${String(right).padStart(5)} of ${String(marked.length).padEnd(5)}`;
  process.stdout.write(
    `${name.padEnd(24)}${figures}${(share * 100).toFixed(1).padStart(6)} %${wanted}\n`,
  );
  return share >= promised;
}

function reportAll(marked: readonly Marked[]): boolean {
  const kept = GROUPS.map((group) => {
    const of = marked.filter(({ task }) => task.group === group);
    const whole = report(group, of, PROMISED[group]);
    for (const language of LANGUAGES) {
      report(
        `  ${language}`,
        of.filter(({ task }) => task.language === language),
      );
    }
    report(
      '  "I do not know"',
      of.filter(({ task }) => isOutside(task)),
    );
    return whole;
  });
  return kept.every(Boolean);
}

const every = Number(values.part);
if (!Number.isSafeInteger(every) || every < 1) throw new Error(`not a part: ${values.part}`);
const tasks = tasksOf(readLessons()).filter((_, index) => index % every === 0);
const marked = await cleaningUp((owner) => examine(tasks, owner));
if (values.wrong) {
  for (const { task, said, right } of marked) {
    if (right) continue;
    process.stdout.write(`${task.group}  ${task.id}  ${task.question}\n    ${said}\n`);
  }
}
if (!reportAll(marked)) process.exitCode = 1;
