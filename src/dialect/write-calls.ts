/**
 * Past calls in a family's own writing, for templates that print an assistant's content and know of no
 * calls. Pure, any thread; what is written here must be what the family's listener reads.
 */

/** A past call; `arguments` as they were sent, read as JSON where they are an object. */
export interface PastCall {
  readonly name: string;
  readonly arguments: unknown;
}

/**
 * Calls as text. `mark` is given each of the family's marks, which are control tokens, and gives what
 * is to stand for it: all else is text of a client.
 */
export type CallWriter = (calls: readonly PastCall[], mark: (text: string) => string) => string;

const json = ({ name, arguments: given }: PastCall): string =>
  `{"name": ${JSON.stringify(name)}, "arguments": ${JSON.stringify(given)}}`;

/** An array of objects between marks. */
const array =
  (open: string, close: string): CallWriter =>
  (calls, mark) =>
    `${mark(open)}[${calls.map(json).join(', ')}]${close === '' ? '' : mark(close)}`;

const hermes: CallWriter = (calls, mark) =>
  calls.map((call) => `${mark('<tool_call>')}\n${json(call)}\n${mark('</tool_call>')}`).join('\n');

const python: CallWriter = (calls, mark) =>
  `${mark('<|tool_call_start|>')}[${calls.map(pythonCall).join(', ')}]${mark('<|tool_call_end|>')}`;

const plain: CallWriter = (calls) => calls.map(json).join('\n');

const WRITERS: ReadonlyMap<string, CallWriter> = new Map([
  ['lfm', python],
  ['granite', array('<|tool_call|>', '')],
  ['phi', array('<|tool_call|>', '<|/tool_call|>')],
  ['toolcall', array('<TOOLCALL>', '</TOOLCALL>')],
  ['hermes', hermes],
]);

/** How the family of this name writes calls; plain JSON, one a line, where it is not known here. */
export function callWriterOf(name: string): CallWriter {
  return WRITERS.get(name) ?? plain;
}

function pythonCall({ name, arguments: given }: PastCall): string {
  // What is no object was a slip of the model's; it stands there as it was.
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return `${name}(${pythonValue(given)})`;
  }
  const members = Object.entries(given).map(([key, value]) => `${key}=${pythonValue(value)}`);
  return `${name}(${members.join(', ')})`;
}

/** A Python literal; JSON's strings and numbers are such. */
function pythonValue(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(', ')}]`;
  if (typeof value === 'object') {
    const rows = Object.entries(value);
    return `{${rows.map(([key, one]) => `${JSON.stringify(key)}: ${pythonValue(one)}`).join(', ')}}`;
  }
  return JSON.stringify(value);
}
