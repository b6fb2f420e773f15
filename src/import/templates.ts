/**
 * Which family of chat formats a template of Ollama's is written for, and a Jinja template of our own
 * for that family. Any process; pure. It must never run the foreign template nor guess: what bears the
 * marks of no family, or of two, is unknown.
 */

/** What stands before a text and behind it. */
type Around = readonly [before: string, after: string];

/** A chat format. */
interface Format {
  readonly name: string;
  /** Texts that all stand in a template of this family, and those that make it another one. */
  readonly marks: readonly string[];
  readonly strangers?: readonly string[];
  readonly system: Around;
  /** True where the system's text stands within the user's turn that follows it. */
  readonly isFolded?: boolean;
  readonly user: Around;
  readonly assistant: Around;
}

/** A known family. */
export interface ChatFamily {
  readonly name: string;
  /** Jinja source. */
  readonly chatTemplate: string;
}

const EOS = '{eos_token}';
const BOS = '{bos_token}';

const COMMAND_R = (role: string): Around => [
  `<|START_OF_TURN_TOKEN|><|${role}_TOKEN|>`,
  '<|END_OF_TURN_TOKEN|>',
];
const CHATML = (role: string): Around => [`<|im_start|>${role}\n`, '<|im_end|>\n'];
const LLAMA_3 = (role: string): Around => [
  `<|start_header_id|>${role}<|end_header_id|>\n\n`,
  '<|eot_id|>',
];

const FORMATS: readonly Format[] = [
  {
    name: 'ChatML',
    marks: ['<|im_start|>', '<|im_end|>'],
    strangers: ['<|im_sep|>'],
    system: CHATML('system'),
    user: CHATML('user'),
    assistant: CHATML('assistant'),
  },
  {
    name: 'Llama 3',
    marks: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    system: LLAMA_3('system'),
    user: LLAMA_3('user'),
    assistant: LLAMA_3('assistant'),
  },
  {
    name: 'Llama 2',
    marks: ['[INST]', '[/INST]', '<<SYS>>'],
    system: ['<<SYS>>\n', '\n<</SYS>>\n\n'],
    isFolded: true,
    user: ['[INST] ', ' [/INST]'],
    assistant: [' ', ` ${EOS}${BOS}`],
  },
  {
    name: 'Mistral',
    marks: ['[INST]', '[/INST]'],
    strangers: ['<<SYS>>', '[SYSTEM_PROMPT]'],
    system: ['', '\n\n'],
    isFolded: true,
    user: ['[INST] ', ' [/INST]'],
    assistant: [' ', EOS],
  },
  {
    name: 'Gemma',
    marks: ['<start_of_turn>', '<end_of_turn>'],
    system: ['', '\n\n'],
    isFolded: true,
    user: ['<start_of_turn>user\n', '<end_of_turn>\n'],
    assistant: ['<start_of_turn>model\n', '<end_of_turn>\n'],
  },
  {
    name: 'Phi-3',
    marks: ['<|assistant|>', '<|end|>'],
    // Its younger sisters have no line of its own for the role.
    strangers: ['</s>', '<|user|>{{', '<|{{ .Role }}|>{{'],
    system: ['<|system|>\n', '<|end|>\n'],
    user: ['<|user|>\n', '<|end|>\n'],
    assistant: ['<|assistant|>\n', '<|end|>\n'],
  },
  {
    name: 'Zephyr',
    marks: ['<|assistant|>', '</s>'],
    strangers: ['<|end|>', '<|user|>{{', '<|{{ .Role }}|>{{'],
    system: ['<|system|>\n', '</s>\n'],
    user: ['<|user|>\n', '</s>\n'],
    assistant: ['<|assistant|>\n', '</s>\n'],
  },
  {
    name: 'Alpaca',
    marks: ['### Instruction:', '### Response:'],
    system: ['', '\n\n'],
    user: ['### Instruction:\n', '\n\n'],
    assistant: ['### Response:\n', '\n\n'],
  },
  {
    name: 'Vicuna',
    marks: ['USER:', 'ASSISTANT:'],
    system: ['', ' '],
    user: ['USER: ', ' '],
    assistant: ['ASSISTANT: ', EOS],
  },
  {
    name: 'Command R',
    marks: ['<|START_OF_TURN_TOKEN|>', '<|END_OF_TURN_TOKEN|>', '<|CHATBOT_TOKEN|>'],
    strangers: ['<|START_RESPONSE|>'],
    system: COMMAND_R('SYSTEM'),
    user: COMMAND_R('USER'),
    assistant: COMMAND_R('CHATBOT'),
  },
  {
    name: 'DeepSeek',
    marks: ['<｜User｜>', '<｜Assistant｜>'],
    system: ['', ''],
    user: ['<｜User｜>', ''],
    assistant: ['<｜Assistant｜>', EOS],
  },
];

/** The family of a template in Go; null where it is none of the known ones, or not clearly one. */
export function familyOf(goTemplate: string): ChatFamily | null {
  const source = goTemplate.replaceAll('\r\n', '\n');
  const holds = (text: string): boolean => source.includes(text);
  const [format, another] = FORMATS.filter(
    ({ marks, strangers = [] }) => marks.every(holds) && !strangers.some(holds),
  );
  if (!format || another) return null;
  return { name: format.name, chatTemplate: jinjaOf(format) };
}

function jinjaOf({ system, isFolded = false, user, assistant }: Format): string {
  const branch = (role: string, what: string): string =>
    `if message.role == '${role}' %}${what}{% `;
  // The space before an answer belongs to its first token.
  const opening = quoted(assistant[0].replace(/ +$/, ''));
  const ask = opening === '' ? '' : `{% if add_generation_prompt %}{{ ${opening} }}{% endif %}`;
  const turns = (systemTurn: string, userTurn: string): string =>
    [
      '{% for message in messages %}{% ',
      branch('system', systemTurn),
      `el${branch('user', userTurn)}`,
      `el${branch('assistant', `{{ ${joined(assistant)} }}`)}`,
      'endif %}{% endfor %}',
    ].join('');
  if (!isFolded) return turns(`{{ ${joined(system)} }}`, `{{ ${joined(user)} }}`) + ask;
  const keep = `{% set turn.lead = turn.lead ~ ${joined(system)} %}`;
  const tell = `{{ ${joined(user, 'turn.lead ~ message.content')} }}{% set turn.lead = '' %}`;
  // Where no user speaks after it, it has a turn of its own.
  const rest = `{% if turn.lead %}{{ ${joined(user, 'turn.lead')} }}{% endif %}`;
  return `{% set turn = namespace(lead='') %}${turns(keep, tell)}${rest}${ask}`;
}

/** An expression for a text with what stands around it. */
function joined([before, after]: Around, text = 'message.content'): string {
  return [quoted(before), text, quoted(after)].filter((one) => one !== '').join(' ~ ');
}

/** An expression for a text of ours; '' for no text. */
function quoted(text: string): string {
  return text
    .split(/(\{[a-z_]+\})/)
    .filter((part) => part !== '')
    .map((part) => (part === EOS || part === BOS ? part.slice(1, -1) : JSON.stringify(part)))
    .join(' ~ ');
}
