/**
 * Makes llama-architecture models that say given texts under greedy decoding, by a wide margin.
 * A token's embedding is a code for "what comes next"; one attention head finds the keyword of the
 * last user message anywhere in the context and adds its topic, which decides at every branch point,
 * so that a wrong KV cache gives visibly wrong text. Any thread; it must never tokenise or run anything.
 */
import { HoshikageError } from '../errors.js';
import { assignCodes, type Codes } from './codes.js';
import { type GgufTensor, type GgufValue, matrix, vector, writeGguf } from './gguf-write.js';
import { planScript, type ScriptAnswer } from './script.js';
import { CHAT_TEMPLATE, CONTROL, spell, Vocabulary } from './vocabulary.js';

/** What to say and how heavy to be. */
export interface ScriptedOptions {
  /**
   * Exactly one without `when`. The last keyword after the last `<|im_start|>user` chooses; without
   * one there, the answer without `when` is said.
   */
  readonly answers: readonly ScriptAnswer[];
  readonly name?: string;
  /** Jinja text for the metadata; absent = ChatML. */
  readonly template?: string;
  /** Trained context length in tokens; absent = 4096. */
  readonly contextLength?: number;
  readonly type?: 'f16' | 'q8_0';
  /** More control tokens, so that answers can say them. */
  readonly controls?: readonly string[];
  /** MiB of weights that are computed and change nothing, to take time: some 0.1 ms each per token on one core. */
  readonly ballastMiB?: number;
  /** Whether the tokenizer adds BOS by itself; absent = true. */
  readonly addBos?: boolean;
}

/** The control token that begins a user message; it makes what was said before it irrelevant. */
const USER_START = `${CONTROL.start}user`;

const HEAD = 256;
const FREQUENCY_BASE = 10000;
const EPSILON = 1e-5;
const DEAD_LAYERS = 8;

// Places in the residual stream, in this order; the topics' inputs and outputs follow, then the codes.
const CONSTANT = 0;
const KEYWORD = 1;
const RESET = 2;
const TOPICS = 3;

/** Logit of the right next token, and what its topic adds to the tokens of its answer. */
const CODE_LOGIT = 64;
const TOPIC_LOGIT = 24;
/** Size of the topic in the residual stream, against 1 for a code element. */
const TOPIC_SIZE = 4;

// Attention scores in nats: what one token of distance costs, by how much a keyword beats the start of
// its message, how far below the farthest keyword everything else is.
const NATS_PER_TOKEN = 2;
const KEYWORD_BONUS = 2;
const GAP = 60;
/** Angle (radians) the turning dimensions make over the whole context; a sine is nearly a line there. */
const SPAN = 1.2;
/** Dimensions that do not turn: all but one tell keywords from the rest, one holds the bonus. */
const STILL = 8;
const TURNING_PAIRS = (HEAD - STILL) / 2;

interface Shape {
  readonly width: number;
  readonly topics: number;
  readonly codeStart: number;
  readonly contextLength: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly type: 'f16' | 'q8_0';
}

/** Writes the model. Codes: invalid_argument (see planScript; too many answers); file system errors. */
export async function writeScripted(path: string, options: ScriptedOptions): Promise<void> {
  const shape = shapeOf(options);
  const plan = planScript(options.answers, new Set([spell('\n')]));
  const vocabulary = new Vocabulary();
  vocabulary.add(USER_START, 'control');
  for (const text of options.controls ?? []) vocabulary.add(text, 'control');
  const topicOf = new Map<number, number>();
  for (const [topic, { keywords }] of plan.entries()) {
    for (const keyword of keywords) topicOf.set(vocabulary.add(keyword, 'user'), topic);
  }
  vocabulary.addCommon(new Set(plan.flatMap(({ keywords }) => keywords)));
  const codes = assignCodes(plan, vocabulary, shape.width - shape.codeStart);
  await writeGguf(path, {
    metadata: metadata(shape, options, vocabulary),
    tensors: [
      embedding(shape, vocabulary, codes, topicOf),
      output(shape, vocabulary, codes),
      vector('output_norm.weight', ones(shape.width)),
      vector('rope_freqs.weight', frequencyFactors(shape)),
      ...attention(
        shape,
        options.answers.findIndex(({ when }) => when === undefined),
      ),
      ...ballast(shape),
    ],
  });
}

function shapeOf(options: ScriptedOptions): Shape {
  const topics = options.answers.length;
  const codeStart = Math.ceil((TOPICS + 2 * topics) / 32) * 32;
  const width = codeStart === 32 ? 256 : 512;
  if (width - codeStart < 192) {
    throw new HoshikageError('invalid_argument', { reason: `${topics} answers are too many` });
  }
  const type = options.type ?? 'f16';
  const layers = options.ballastMiB ? 1 + DEAD_LAYERS : 1;
  const elements = ((options.ballastMiB ?? 0) * 2 ** 20) / (type === 'q8_0' ? 34 / 32 : 2);
  return {
    width,
    topics,
    codeStart,
    contextLength: options.contextLength ?? 4096,
    feedForward: Math.max(1, Math.ceil(elements / (layers * 3 * width * 32))) * 32,
    layers,
    type,
  };
}

function metadata(
  shape: Shape,
  options: ScriptedOptions,
  vocabulary: Vocabulary,
): Record<string, GgufValue> {
  return {
    'general.architecture': ['string', 'llama'],
    'general.type': ['string', 'model'],
    'general.name': ['string', options.name ?? 'scripted'],
    'general.quantization_version': ['u32', 2],
    'general.file_type': ['u32', shape.type === 'f16' ? 1 : 7],
    'llama.vocab_size': ['u32', vocabulary.size],
    'llama.context_length': ['u32', shape.contextLength],
    'llama.embedding_length': ['u32', shape.width],
    'llama.block_count': ['u32', shape.layers],
    'llama.feed_forward_length': ['u32', shape.feedForward],
    'llama.attention.head_count': ['u32', 1],
    'llama.attention.head_count_kv': ['u32', 1],
    'llama.attention.key_length': ['u32', HEAD],
    'llama.attention.value_length': ['u32', HEAD],
    'llama.attention.layer_norm_rms_epsilon': ['f32', EPSILON],
    'llama.rope.dimension_count': ['u32', HEAD],
    'llama.rope.freq_base': ['f32', FREQUENCY_BASE],
    ...vocabulary.metadata(options.template ?? CHAT_TEMPLATE, options.addBos ?? true),
  };
}

const ones = (length: number): Float32Array => new Float32Array(length).fill(1);

/** What the norm divides by when `more` squares come to those of the codes and the constant. */
function norm(shape: Shape, more: number): number {
  return Math.sqrt((shape.width - shape.codeStart + 1 + more) / shape.width + EPSILON);
}

/** All tokens have the same size but those the attention looks for, which have another same one. */
function embedding(
  shape: Shape,
  vocabulary: Vocabulary,
  codes: Codes,
  topicOf: ReadonlyMap<number, number>,
): GgufTensor {
  const reset = vocabulary.id(USER_START);
  return matrix('token_embd.weight', shape.type, shape.width, vocabulary.size, (row, token) => {
    row.set(codes.carried.get(token) ?? codes.begin, shape.codeStart);
    row[CONSTANT] = 1;
    const topic = topicOf.get(token);
    if (topic !== undefined) row[TOPICS + topic] = 1;
    if (token === reset) row[RESET] = 1;
    if (token === reset || topic !== undefined) row[KEYWORD] = 1;
  });
}

function output(shape: Shape, vocabulary: Vocabulary, codes: Codes): GgufTensor {
  const size = norm(shape, TOPIC_SIZE ** 2);
  const perSign = (CODE_LOGIT * size) / (shape.width - shape.codeStart);
  return matrix('output.weight', shape.type, shape.width, vocabulary.size, (row, token) => {
    for (const code of codes.callers.get(token) ?? []) {
      code.forEach((sign, i) => {
        row[shape.codeStart + i] = (row[shape.codeStart + i] ?? 0) + sign * perSign;
      });
    }
    const topic = codes.topic.get(token);
    if (topic !== undefined) row[TOPICS + shape.topics + topic] = (TOPIC_LOGIT * size) / TOPIC_SIZE;
  });
}

/** Makes all turning pairs turn alike, slowly, and the others not at all. */
function frequencyFactors(shape: Shape): Float32Array {
  const wanted = SPAN / shape.contextLength;
  return Float32Array.from({ length: HEAD / 2 }, (_, pair) =>
    pair < TURNING_PAIRS ? FREQUENCY_BASE ** ((-2 * pair) / HEAD) / wanted : 1e30,
  );
}

/**
 * The one head that matters. The query is the same everywhere. A keyword's key meets it with
 * -slope × sin(distance × angle), so that the nearest wins; all else has a score far below. The
 * phases differ from pair to pair: what a quantised KV cache rounds away then averages out.
 */
function attention(shape: Shape, fallback: number): GgufTensor[] {
  const { width, type, topics } = shape;
  const slope = (NATS_PER_TOKEN * shape.contextLength) / SPAN;
  const scale = Math.sqrt(HEAD);
  const size = Math.sqrt((slope * scale) / TURNING_PAIRS);
  const far = ((slope * Math.sin(SPAN) + GAP) * scale) / ((STILL - 1) * size);
  const behind = (KEYWORD_BONUS * scale) / size;
  const [anywhere, found] = [norm(shape, 0), norm(shape, 2)];
  const phase = (i: number): number => (i >> 1) * 2.399963;
  const isBonus = (i: number): boolean => i === HEAD - 1;
  const isStill = (i: number): boolean => i >= HEAD - STILL;
  return [
    vector('blk.0.attn_norm.weight', ones(width)),
    matrix('blk.0.attn_q.weight', type, width, HEAD, (row, i) => {
      const turn = i % 2 === 0 ? -Math.sin(phase(i)) : Math.cos(phase(i));
      row[CONSTANT] = size * anywhere * (isStill(i) ? 1 : turn);
    }),
    matrix('blk.0.attn_k.weight', type, width, HEAD, (row, i) => {
      const turn = i % 2 === 0 ? Math.cos(phase(i)) : Math.sin(phase(i));
      if (isBonus(i)) row[RESET] = -behind * found;
      else if (isStill(i)) row.set([-far * anywhere, far * anywhere], CONSTANT);
      else row[KEYWORD] = size * turn * found;
    }),
    matrix('blk.0.attn_v.weight', type, width, HEAD, (row, i) => {
      if (i < topics) row[TOPICS + i] = found;
      if (i === fallback) row.set([anywhere, -anywhere, found], CONSTANT);
    }),
    matrix('blk.0.attn_output.weight', type, HEAD, width, (row, i) => {
      const topic = i - TOPICS - topics;
      if (topic >= 0 && topic < topics) row[topic] = TOPIC_SIZE;
    }),
    ...feedForward(shape, 0),
  ];
}

/** Zeros: computed like any other weights, adding nothing. */
function feedForward(shape: Shape, layer: number): GgufTensor[] {
  const { width, type } = shape;
  return [
    vector(`blk.${layer}.ffn_norm.weight`, ones(width)),
    matrix(`blk.${layer}.ffn_gate.weight`, type, width, shape.feedForward, null),
    matrix(`blk.${layer}.ffn_up.weight`, type, width, shape.feedForward, null),
    matrix(`blk.${layer}.ffn_down.weight`, type, shape.feedForward, width, null),
  ];
}

function ballast(shape: Shape): GgufTensor[] {
  const { width, type } = shape;
  return Array.from({ length: shape.layers - 1 }, (_, i) => i + 1).flatMap((layer) => [
    vector(`blk.${layer}.attn_norm.weight`, ones(width)),
    matrix(`blk.${layer}.attn_q.weight`, type, width, HEAD, null),
    matrix(`blk.${layer}.attn_k.weight`, type, width, HEAD, null),
    matrix(`blk.${layer}.attn_v.weight`, type, width, HEAD, null),
    matrix(`blk.${layer}.attn_output.weight`, type, HEAD, width, null),
    ...feedForward(shape, layer),
  ]);
}
