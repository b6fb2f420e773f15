/**
 * The template worker's entry: renders what TemplateRenderer posts, one at a time, with compiled
 * templates kept. Runs in a worker thread that may be killed at any moment, so it must own nothing.
 */
import { parentPort } from 'node:worker_threads';
import { compile, type Program, type RenderLimits, render } from './jinja.js';

/** One thing to render. */
export interface RenderJob {
  readonly template: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly limits: RenderLimits;
}

/** The worker's answers; `ready` comes once, before the first job. */
export type RenderReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'failed'; readonly reason: string };

const KEPT_TEMPLATES = 8;
const compiled = new Map<string, Program>();

function programOf(template: string): Program {
  const program = compiled.get(template) ?? compile(template);
  // Set anew to be the youngest; the oldest goes.
  compiled.delete(template);
  compiled.set(template, program);
  if (compiled.size > KEPT_TEMPLATES) {
    for (const oldest of compiled.keys()) {
      compiled.delete(oldest);
      break;
    }
  }
  return program;
}

function answer(job: RenderJob): RenderReply {
  try {
    return { kind: 'text', text: render(programOf(job.template), job.variables, job.limits) };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

const post = (reply: RenderReply) => parentPort?.postMessage(reply);
parentPort?.on('message', (job: RenderJob) => post(answer(job)));
post({ kind: 'ready' });
