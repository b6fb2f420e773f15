/**
 * What a template makes of a conversation, found by rendering small ones and looking for their words:
 * what its source looks like says little. Runs in the server, its renders in the template worker. A
 * template is asked once; it must never be asked by a plain chat that it renders well.
 */
import type { Tool } from '../dialect/dialect.js';
import type { TemplateMessage } from './conversation.js';
import { limitsFor } from './jinja.js';
import { isRefusal, type TemplateRenderer } from './template.js';
import { placeTools, TOOL_PLACES, type ToolPlace } from './tool-place.js';

/** How a call has to be handed over for a template to write it well. */
export interface CallForm {
  /** Arguments as the object that their JSON text says, or as that text. */
  readonly arguments: 'object' | 'text';
  /** The content of a message that has calls only. */
  readonly emptyContent: '' | null;
  /** Whether a call is written where there is content beside it. */
  readonly besideText: boolean;
  /** Whether a message may have several. */
  readonly parallel: boolean;
}

/** How a result has to be handed over: as text, or, so as not to be a text in a text, as what it says. */
export type ResultForm = 'object' | 'text';

/** Where a template looks for what was thought. */
export type ReasoningKey = 'reasoning_content' | 'thinking' | 'reasoning';

/** What a template does. */
export interface TemplateFacts {
  /** Where a system message is shown: anywhere, as the first one only, or nowhere. */
  readonly systems: 'anywhere' | 'first' | 'none';
  /** Whether two user turns in a row are refused. */
  readonly alternates: boolean;
  /** Whether a user may speak behind a result. */
  readonly userAfterResult: boolean;
  readonly tools: ToolPlace;
  /** Whether the place of the tools has to be there, be it empty. */
  readonly needsTools: boolean;
  /** Null where calls are not written. */
  readonly calls: CallForm | null;
  /** How a message of the role `tool` is shown: null where it is not, or as another speaker's words. */
  readonly results: ResultForm | null;
  /** Whether a message of the role `developer` is shown, also behind a system message. */
  readonly developer: boolean;
  readonly reasoning: ReasoningKey;
  /** Whether reasoning is taken beside content in a message with calls. */
  readonly reasoningBesideText: boolean;
}

/** What is known of a template. */
export interface FactsRequest {
  readonly renderer: TemplateRenderer;
  /** Jinja source. */
  readonly template: string;
  readonly model: { readonly bosText: string; readonly eosText: string };
}

const KEPT_TEMPLATES = 16;
const known = new WeakMap<TemplateRenderer, Map<string, Promise<TemplateFacts>>>();

/**
 * The facts about a template, found once however many ask at a time. Where a render took too long or
 * the worker was lost, what the source seems to say stands in, and the next one asks anew.
 */
export function factsOf(request: FactsRequest): Promise<TemplateFacts> {
  const { renderer, template } = request;
  const all = known.get(renderer) ?? new Map<string, Promise<TemplateFacts>>();
  known.set(renderer, all);
  const facts = all.get(template) ?? findFacts(request, () => all.delete(template));
  // Set anew to be the youngest; the oldest goes.
  all.delete(template);
  all.set(template, facts);
  const [oldest] = all.keys();
  if (all.size > KEPT_TEMPLATES && oldest !== undefined) all.delete(oldest);
  return facts;
}

async function findFacts(request: FactsRequest, forget: () => void): Promise<TemplateFacts> {
  try {
    return await new Probe(request).facts();
  } catch {
    forget();
    return guessed(request.template);
  }
}

/** What the source seems to say. */
function guessed(template: string): TemplateFacts {
  return {
    systems: 'anywhere',
    alternates: false,
    userAfterResult: true,
    tools: template.includes('tools') ? 'tools' : 'words',
    needsTools: false,
    calls: template.includes('tool_calls')
      ? { arguments: 'object', emptyContent: '', besideText: true, parallel: true }
      : null,
    results: /['"](tool|tool_response|ipython)['"]/.test(template) ? 'text' : null,
    developer: template.includes('developer'),
    reasoning: 'reasoning_content',
    reasoningBesideText: true,
  };
}

const SYSTEM = { role: 'system', content: 'qsystemq' };
const DEVELOPER = { role: 'developer', content: 'qdeveloperq' };
const LATER = { role: 'system', content: 'qlaterq' };
const USER = { role: 'user', content: 'quserq' };
const OTHER = { role: 'user', content: 'qotherq' };
const SAID = { role: 'assistant', content: 'qsaidq' };
const RESULT = { role: 'tool', content: 'qresultq', name: 'qpastq', tool_call_id: 'probecall' };
const SECOND = { ...RESULT, content: 'qsecondq', name: 'qnextq', tool_call_id: 'probenext' };
const TOOL: Tool = {
  ...{ name: 'qofferedq', description: 'Probes.', strict: false },
  parameters: {
    type: 'object',
    properties: { qkeyq: { type: 'string', description: 'A key.' } },
    required: ['qkeyq'],
  },
};

/** How the call of a probe is handed over. */
interface ProbeForm {
  readonly arguments: 'object' | 'text';
  readonly content: string | null;
}

function calling(form: ProbeForm, more: Readonly<Record<string, unknown>> = {}): TemplateMessage {
  return { role: 'assistant', content: form.content, tool_calls: [callOf(form)], ...more };
}

function callOf({ arguments: form }: ProbeForm, name = 'qpastq', id = 'probecall'): unknown {
  const given = form === 'object' ? { qkeyq: 'qvalueq' } : '{"qkeyq": "qvalueq"}';
  return { id, type: 'function', function: { name, arguments: given } };
}

/** Whether a call stands there as it should: not lost, not as a text in a text, not as Python's dict. */
function isCallShown(text: string | null): boolean {
  return shows(text, 'qpastq', 'qkeyq', 'qvalueq') && !/\\"qkeyq|\{'qkeyq/.test(text ?? '');
}

function shows(text: string | null, ...words: readonly string[]): boolean {
  return text !== null && words.every((word) => text.includes(word));
}

/** Asks one template. */
class Probe {
  readonly #request: FactsRequest;
  #place: ToolPlace = 'words';
  #needsTools = false;

  constructor(request: FactsRequest) {
    this.#request = request;
  }

  /** Rejects where a render gave neither text nor a refusal. */
  async facts(): Promise<TemplateFacts> {
    await this.#findPlace();
    const systems = await this.#systems();
    const alternates =
      (await this.#render([USER])) !== null && !shows(await this.#render([USER, OTHER]), 'qotherq');
    const calls = await this.#calls();
    const turn = calls ? calling(probeFormOf(calls)) : SAID;
    const results = await this.#results(turn);
    const after =
      results !== null && alternates ? await this.#render([USER, turn, RESULT, OTHER]) : '';
    const reasoning = await this.#reasoning(calls);
    return {
      ...{ systems, alternates, userAfterResult: after !== null },
      developer: await this.#developer(),
      ...{ tools: this.#place, needsTools: this.#needsTools, calls, results, ...reasoning },
    };
  }

  async #findPlace(): Promise<void> {
    this.#needsTools = false;
    const isBare = (await this.#render([USER])) !== null;
    for (const place of TOOL_PLACES) {
      const text = await this.#ask(placeTools([USER], [TOOL], place));
      if (!shows(text, TOOL.name)) continue;
      this.#place = place;
      this.#needsTools = !isBare;
      return;
    }
  }

  async #systems(): Promise<TemplateFacts['systems']> {
    if (!shows(await this.#render([SYSTEM, USER]), 'qsystemq', 'quserq')) return 'none';
    const later = await this.#render([SYSTEM, USER, SAID, LATER, OTHER]);
    return shows(later, 'qsystemq', 'qlaterq') ? 'anywhere' : 'first';
  }

  async #developer(): Promise<boolean> {
    if (!this.#request.template.includes('developer')) return false;
    if (!shows(await this.#render([DEVELOPER, USER]), 'qdeveloperq')) return false;
    return shows(await this.#render([SYSTEM, DEVELOPER, USER]), 'qsystemq', 'qdeveloperq');
  }

  async #calls(): Promise<CallForm | null> {
    // Some templates take a call at the end of a conversation for one to be continued.
    for (const tail of [RESULT, OTHER]) {
      for (const given of ['object', 'text'] as const) {
        const form = await this.#shortest(given, tail);
        if (form) return { ...form, ...(await this.#company(form, tail)) };
      }
    }
    return null;
  }

  /** The content that brings a call alone with nothing else: some templates write an empty turn, or `None`. */
  async #shortest(
    given: 'object' | 'text',
    tail: TemplateMessage,
  ): Promise<Pick<CallForm, 'arguments' | 'emptyContent'> | null> {
    let best: { readonly content: '' | null; readonly text: string } | null = null;
    for (const content of ['', null] as const) {
      const text = await this.#render([USER, calling({ arguments: given, content }), tail]);
      if (text === null || !isCallShown(text)) continue;
      if (best === null || text.length < best.text.length) best = { content, text };
    }
    return best && { arguments: given, emptyContent: best.content };
  }

  async #company(
    form: Pick<CallForm, 'arguments' | 'emptyContent'>,
    tail: TemplateMessage,
  ): Promise<Pick<CallForm, 'besideText' | 'parallel'>> {
    const own = probeFormOf(form);
    const text = await this.#render([USER, calling({ ...own, content: 'qtextq' }), tail]);
    const two = [callOf(own), callOf(own, 'qnextq', 'probenext')];
    const tails = tail === RESULT ? [RESULT, SECOND] : [tail];
    const both = await this.#render([USER, { ...calling(own), tool_calls: two }, ...tails]);
    return { besideText: isCallShown(text), parallel: shows(both, 'qpastq', 'qnextq') };
  }

  async #results(turn: TemplateMessage): Promise<ResultForm | null> {
    const text = await this.#render([USER, turn, RESULT]);
    if (!shows(text, RESULT.content)) return null;
    for (const role of ['assistant', 'user']) {
      if (text === (await this.#render([USER, turn, { role, content: RESULT.content }])))
        return null;
    }
    const asText = await this.#render([USER, turn, { ...RESULT, content: '{"qkeyq":"qresultq"}' }]);
    if (!asText?.includes('\\"qkeyq')) return 'text';
    const asObject = await this.#render([
      USER,
      turn,
      { ...RESULT, content: { qkeyq: 'qresultq' } },
    ]);
    return /[^\\]"qkeyq": ?"qresultq/.test(asObject ?? '') ? 'object' : 'text';
  }

  async #reasoning(
    calls: CallForm | null,
  ): Promise<Pick<TemplateFacts, 'reasoning' | 'reasoningBesideText'>> {
    const keys = (['reasoning_content', 'thinking', 'reasoning'] as const).filter((key) =>
      this.#request.template.includes(key),
    );
    for (const key of keys) {
      const thought = { [key]: 'qthoughtq' };
      if (calls) {
        const form = probeFormOf(calls);
        const text = await this.#render([USER, calling(form, thought), RESULT]);
        if (shows(text, 'qthoughtq')) {
          const both = calling({ ...form, content: 'qtextq' }, thought);
          const besideText = (await this.#render([USER, both, RESULT])) !== null;
          return { reasoning: key, reasoningBesideText: besideText };
        }
      }
      const text = await this.#render([USER, { ...SAID, ...thought }, OTHER]);
      if (shows(text, 'qthoughtq')) return { reasoning: key, reasoningBesideText: true };
    }
    return { reasoning: 'reasoning_content', reasoningBesideText: true };
  }

  /** Text, or null where the template refuses. */
  #render(messages: readonly TemplateMessage[]): Promise<string | null> {
    const place = this.#needsTools ? this.#place : 'words';
    return this.#ask(placeTools(messages, [], place));
  }

  async #ask({ messages, tools, more }: ReturnType<typeof placeTools>): Promise<string | null> {
    const { renderer, template, model } = this.#request;
    const own = { bos_token: model.bosText, eos_token: model.eosText, documents: null };
    const variables = { ...more, ...own, tools, messages, add_generation_prompt: true };
    try {
      return await renderer.render(template, variables, { limits: limitsFor(6, 2000) });
    } catch (error) {
      if (isRefusal(error)) return null;
      throw error;
    }
  }
}

function probeFormOf({
  arguments: form,
  emptyContent,
}: Pick<CallForm, 'arguments' | 'emptyContent'>): ProbeForm {
  return { arguments: form, content: emptyContent };
}
