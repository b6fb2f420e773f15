/**
 * Which way of writing a model has, by the text of its chat template: the marks that stand in it. Pure,
 * any thread; it must never run a template.
 */
import type { CallStyle } from './binding.js';
import type { Dialect } from './dialect.js';
import { makeDialect, type Reasoning } from './family.js';
import * as json from './json-styles.js';

/** The first row whose marks all stand in the template is the one. */
interface CallRow {
  readonly name: string;
  readonly marks: readonly (string | RegExp)[];
  readonly style: CallStyle;
}

const CALLS: readonly CallRow[] = [{ name: 'hermes', marks: ['<tool_call>'], style: json.HERMES }];

const THINK = { open: '<think>', close: '</think>', end: '\n</think>\n\n' };
const REASONINGS: readonly { readonly marks: readonly string[]; readonly how: Reasoning }[] = [
  { marks: ['<think>'], how: THINK },
];

const holds = (template: string, mark: string | RegExp): boolean =>
  typeof mark === 'string' ? template.includes(mark) : mark.test(template);

/** The dialect of a model with this chat template. */
export function dialectOf(template: string): Dialect {
  const row = CALLS.find(({ marks }) => marks.every((mark) => holds(template, mark)));
  const reasoning = REASONINGS.find(({ marks }) => marks.every((mark) => holds(template, mark)));
  return makeDialect(
    row?.name ?? 'plain',
    reasoning?.how ?? null,
    row?.style ?? json.PLAIN,
    row !== undefined,
  );
}
