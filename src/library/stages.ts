/**
 * What became of one library, stage by stage, for whoever explains it to a person: from its file to
 * its devices. Any process; the library is opened by a probe of its own, and nothing is remembered.
 */
import type { LibraryIdentity } from '../engine/engine.js';
import { fromWire } from '../engine/protocol.js';
import type { HoshikageError } from '../errors.js';
import { buildsOf } from './bracket.js';
import { type IdentifyInput, identifyLibrary } from './identify.js';
import { refusedBy, scanHere } from './known.js';
import { filesOf, type ScanReport } from './scan.js';
import type { Verdict } from './verdict.js';

/** The stages in the order in which they are passed. */
export const STAGES = [
  'scan',
  'open',
  'symbols',
  'layout',
  'batch',
  'samplers',
  'devices',
] as const;

/** One of STAGES. */
export type StageName = (typeof STAGES)[number];

/** How one stage ended. */
export interface Stage {
  readonly stage: StageName;
  readonly ok: boolean;
  /** English; what was seen, or what is wrong. */
  readonly detail: string;
  readonly detail_ja: string;
}

/** All that is found out about a library by looking at it once. */
export interface Explanation {
  readonly scan: ScanReport;
  readonly verdict: Verdict;
  /** Up to the first that failed. */
  readonly stages: readonly Stage[];
}

/** What explaining takes. */
export interface ExplainInput extends Omit<IdentifyInput, 'files'> {
  /** The libllama: absolute, or a bare name. */
  readonly path: string;
  /** Drive an unknown layout in the minimal mode instead of refusing it. */
  readonly allowUnknown: boolean;
  /** Another way to identify a library than by a probe process. */
  readonly identify?: typeof identifyLibrary;
}

/** Looks at a library anew. Rejects only with `cancelled`. */
export async function explainLibrary(input: ExplainInput): Promise<Explanation> {
  const { path, allowUnknown, identify = identifyLibrary, ...rest } = input;
  const scan = await scanHere(path, input.env);
  const verdict = scan.refusal
    ? refusedBy(scan.refusal)
    : (await identify({ ...rest, files: filesOf(scan, allowUnknown) })).verdict;
  return { scan, verdict, stages: stagesOf(scan, verdict) };
}

/** The stages of a library with this scan and verdict, up to the first that failed. */
export function stagesOf(scan: ScanReport, { identity, error }: Verdict): readonly Stage[] {
  const refusal = error && fromWire(error);
  const failed = refusal ? stageOf(scan, refusal) : null;
  const passed = failed === null ? STAGES : STAGES.slice(0, STAGES.indexOf(failed));
  const stages = passed.map((stage) => ({ stage, ok: true, ...seen(stage, scan, identity) }));
  if (failed === null || !refusal) return stages;
  const detail = String(refusal.details.reason ?? refusal.message);
  const detail_ja = String(refusal.details.reason_ja ?? detail);
  return [...stages, { stage: failed, ok: false, detail, detail_ja }];
}

/** What the addon's refusals say, by the stage they belong to. */
const SIGNS: readonly (readonly [sign: RegExp, stage: StageName])[] = [
  [/^missing symbols|^its symbols|^too old/, 'symbols'],
  [/^llama_batch/, 'batch'],
  [/layout|_params\b/, 'layout'],
  [/sampler/, 'samplers'],
];

/** The stage at which a library was refused. */
export function stageOf(scan: ScanReport | null, refusal: HoshikageError): StageName {
  if (scan?.refusal) return 'scan';
  if (refusal.code === 'library_not_found') return 'open';
  const reason = String(refusal.details.reason ?? '');
  return SIGNS.find(([sign]) => sign.test(reason))?.[1] ?? 'open';
}

/** What was seen at a stage that was passed; of a refused library only the scan is known. */
function seen(
  stage: StageName,
  scan: ScanReport,
  identity: LibraryIdentity | null,
): Pick<Stage, 'detail' | 'detail_ja'> {
  if (stage === 'scan') return scanned(scan);
  if (!identity) return same('');
  const { layout, samplers, devices, minimal } = identity;
  switch (stage) {
    case 'open':
      return same(
        [identity.version, identity.ggmlVersion && `ggml ${identity.ggmlVersion}`]
          .filter(Boolean)
          .join(', '),
      );
    case 'symbols': {
      const { builds, builds_ja } = buildsOf(identity.bracket);
      return { detail: `llama.cpp ${builds}`, detail_ja: `llama.cpp ${builds_ja}` };
    }
    case 'layout':
      return minimal
        ? { detail: 'unknown; minimal mode', detail_ja: '未知の形。最小限の機能で使います' }
        : same(`${layout.model} / ${layout.context}`);
    case 'samplers':
      return same(`penalties ${samplers.penalties ?? '-'}, dry ${samplers.dry ?? '-'}`);
    case 'devices':
      return same(devices.map(({ name, description }) => `${name} (${description})`).join(', '));
    default:
      return same('llama_batch 56 bytes');
  }
}

function scanned({
  facts,
  preload,
  unknownSymbols,
}: ScanReport): Pick<Stage, 'detail' | 'detail_ja'> {
  if (!facts) return { detail: 'left to the system', detail_ja: 'システムに任せます' };
  const kind = `${facts.format} ${facts.machine}`;
  const count = unknownSymbols.length;
  const newer = count === 0 ? '' : `, ${count} functions newer than our table`;
  const newer_ja = count === 0 ? '' : `、知らない関数 ${count} 個`;
  return {
    detail: `${kind}, ${preload.length} files beside it${newer}`,
    detail_ja: `${kind}、一緒に開くファイル ${preload.length} 個${newer_ja}`,
  };
}

function same(detail: string): Pick<Stage, 'detail' | 'detail_ja'> {
  return { detail, detail_ja: detail };
}
