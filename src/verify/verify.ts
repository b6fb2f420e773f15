/**
 * The proof of a model's file: looked at, hashed, its template rendered, and used in a process of its
 * own. Main thread of the process that wants to know (a command, never the server). It changes nothing,
 * leaves no process behind, and lets nothing native near a file that is not sound and hashed; a template
 * that cannot be rendered is the file's fault, too, but no reason not to load it.
 */
import { purposeOf } from '../resources/purpose.js';
import { checkInUse, type EngineInput } from './engine-stages.js';
import {
  checkFiles,
  type HashedFile,
  hashFiles,
  type OnHashed,
  renderTemplate,
} from './file-stages.js';
import { type Stage, Stages } from './stage.js';

/** What a verification takes. */
export interface VerifyInput extends EngineInput {
  /** Absolute; of a split model the first part. */
  readonly path: string;
  /** Called as each stage ends. */
  readonly onStage?: (stage: Stage) => void;
  readonly onHashed?: OnHashed;
}

/** What came of it. */
export interface Certificate {
  /** `refused`: a stage failed. `unchecked`: none did, but not everything could be found out. */
  readonly verdict: 'sound' | 'refused' | 'unchecked';
  readonly stages: readonly Stage[];
  /** Empty where it did not come to that. */
  readonly files: readonly HashedFile[];
}

/** Verifies a model. Rejects with `cancelled` only. */
export async function verifyModel(input: VerifyInput): Promise<Certificate> {
  const { path, signal, onHashed = () => {} } = input;
  const stages = new Stages(signal, input.onStage);
  const files = await checkFiles(path, stages);
  if (!files) return certificate(stages, 'generation', []);
  const [{ facts }] = files;
  const purpose = purposeOf(facts);
  const last = purpose === 'embed' ? 'embedding' : 'generation';
  const hashed = await hashFiles(files, stages, { signal, onHashed });
  if (!hashed) return certificate(stages, last, []);
  const isEmbedder = purpose === 'embed';
  const prompt = await renderTemplate(facts, stages, { signal, isEmbedder });
  await checkInUse({ files, prompt, purpose }, stages, input);
  return certificate(stages, last, hashed);
}

function certificate(
  stages: Stages,
  last: 'generation' | 'embedding',
  files: readonly HashedFile[],
): Certificate {
  const all = stages.all(last);
  const has = (state: Stage['state']): boolean => all.some((stage) => stage.state === state);
  const verdict = has('failed') ? 'refused' : has('unchecked') ? 'unchecked' : 'sound';
  return { verdict, stages: all, files };
}
