/**
 * What a check is, the list of all of them, and how they are run: each with a deadline of its own, none
 * able to stop another. Any process, main thread. It knows nothing of what is checked.
 */
import { toHoshikageError, words } from '../errors.js';

/** One text in both languages. */
export interface Text {
  readonly ja: string;
  readonly en: string;
}

/** `skipped`: there is nothing to look at, or an earlier failure leaves nothing to say. */
export type CheckState = 'ok' | 'warning' | 'broken' | 'skipped';

const same = (text: string): Text => ({ ja: text, en: text });

/** Every group of checks, in the order of the report. */
export const GROUPS = {
  runtime: { ja: '実行環境', en: 'Runtime' },
  addon: { ja: 'アドオン', en: 'Addon' },
  library: same('libllama'),
  accelerators: { ja: 'GPU', en: 'GPU' },
  config: { ja: '設定', en: 'Settings' },
  storage: { ja: '置き場所', en: 'Storage' },
  models: { ja: 'モデル', en: 'Models' },
  server: { ja: 'サーバー', en: 'Server' },
} as const satisfies Readonly<Record<string, Text>>;

/** Every check, in the order of the report. The names are stable: programs may rely on them. */
export const CHECKS = {
  'runtime.node': same('Node.js'),
  'runtime.platform': { ja: 'OS と CPU', en: 'System' },
  'runtime.libc': { ja: 'C ライブラリ', en: 'C library' },
  'runtime.libstdcxx': same('libstdc++'),
  'addon.file': { ja: 'ファイル', en: 'File' },
  'addon.load': { ja: '読み込み', en: 'Loading' },
  'addon.sources': { ja: 'ソースとの一致', en: 'Sources' },
  'addon.tools': { ja: 'ビルドの道具', en: 'Build tools' },
  'library.search': { ja: '場所', en: 'Place' },
  'library.scan': { ja: '開く前の検査', en: 'Before opening' },
  'library.needs': { ja: '必要な C ライブラリ', en: 'Needed C libraries' },
  'library.open': { ja: '開く', en: 'Opening' },
  'library.symbols': { ja: '関数', en: 'Functions' },
  'library.layout': { ja: '構造体の形', en: 'Layouts' },
  'library.batch': { ja: 'llama_batch', en: 'llama_batch' },
  'library.samplers': { ja: 'サンプラー', en: 'Samplers' },
  'library.devices': { ja: 'デバイス', en: 'Devices' },
  'library.mode': { ja: '動かし方', en: 'Mode' },
  'accelerators.cuda': { ja: 'NVIDIA', en: 'NVIDIA' },
  'accelerators.rocm': { ja: 'AMD ROCm', en: 'AMD ROCm' },
  'accelerators.vulkan': same('Vulkan'),
  'accelerators.metal': same('Metal'),
  'accelerators.files': { ja: 'GPU 版の部品', en: 'GPU files' },
  'accelerators.use': { ja: '使われ方', en: 'Use' },
  'config.settings': { ja: '値', en: 'Values' },
  'config.hints': { ja: '気づいたこと', en: 'Remarks' },
  'config.permissions': { ja: 'ファイルの権限', en: 'Permissions' },
  'storage.directories': { ja: 'ディレクトリ', en: 'Directories' },
  'storage.space': { ja: 'ディスクの空き', en: 'Disk space' },
  'storage.ramdisk': { ja: 'RAM ディスク', en: 'RAM disk' },
  'storage.states': { ja: '会話の状態', en: 'Saved states' },
  'models.map': { ja: '台帳', en: 'Map' },
  'models.files': { ja: '登録したモデル', en: 'Added models' },
  'models.directory': same('MODEL_DIR'),
  'server.running': { ja: '動いているサーバー', en: 'Running server' },
  'server.port': { ja: 'ポート', en: 'Port' },
  'server.service': { ja: 'サービス', en: 'Service' },
} as const satisfies Readonly<Record<string, Text>>;

/** The stable name of a check. */
export type CheckId = keyof typeof CHECKS;

/** What a check found. */
export interface Finding {
  readonly id: CheckId;
  readonly state: CheckState;
  readonly detail: Text;
  /** What to do; null where there is nothing to do. */
  readonly remedy: Text | null;
}

/** A finding as it is reported. */
export interface CheckResult extends Finding {
  readonly group: keyof typeof GROUPS;
  readonly groupTitle: Text;
  readonly title: Text;
}

/** Some checks that are made together, because they look at the same thing. */
export interface Examination {
  readonly ids: readonly [CheckId, ...CheckId[]];
  /** 10 s by default. */
  readonly deadlineMs?: number;
  readonly run: (signal: AbortSignal) => Promise<readonly Finding[]>;
}

const DEADLINE_MS = 10_000;

/** A finding; `detail` as one text is the same in both languages. */
export function finding(
  id: CheckId,
  state: CheckState,
  detail: Text | string,
  remedy: Text | null = null,
): Finding {
  return { id, state, detail: typeof detail === 'string' ? same(detail) : detail, remedy };
}

/** An error of ours in both languages. */
export function textOf(thrown: unknown): Text {
  const { code, details, cause } = toHoshikageError(thrown);
  if (code === 'internal_error')
    return same(cause instanceof Error ? cause.message : String(cause));
  return { ja: words(code, 'ja', details), en: words(code, 'en', details) };
}

/**
 * Runs all examinations at the same time and gives one result for every check, in the order of CHECKS.
 * `onWait` hears, each time one ends, which groups still run. Rejects only when `signal` aborts.
 */
export async function runExaminations(
  examinations: readonly Examination[],
  signal: AbortSignal,
  onWait: (groups: readonly Text[]) => void = () => {},
): Promise<readonly CheckResult[]> {
  const waiting = new Set(examinations);
  const tell = () => onWait([...new Set([...waiting].map(({ ids }) => GROUPS[groupOf(ids[0])]))]);
  tell();
  const found = new Map<CheckId, Finding>();
  const one = async (examination: Examination): Promise<void> => {
    for (const each of await examine(examination, signal)) found.set(each.id, each);
    waiting.delete(examination);
    tell();
  };
  await Promise.all(examinations.map(one));
  signal.throwIfAborted();
  const ids = examinations.flatMap((examination) => examination.ids);
  const inOrder = (Object.keys(CHECKS) as CheckId[]).filter((id) => ids.includes(id)); // own keys
  return inOrder.map((id) => ({
    ...(found.get(id) ?? notHere(id)),
    group: groupOf(id),
    groupTitle: GROUPS[groupOf(id)],
    title: CHECKS[id],
  }));
}

/** One examination; what it throws, and its being late, are findings too. */
async function examine(
  { ids, deadlineMs = DEADLINE_MS, run }: Examination,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const abort = new AbortController();
  const stop = () => abort.abort();
  signal.addEventListener('abort', stop, { once: true });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Finding[]>((resolve) => {
    timer = setTimeout(() => {
      const seconds = deadlineMs / 1000;
      resolve(
        failed(ids, {
          ja: `確認が ${seconds} 秒で終わりませんでした`,
          en: `The check did not end within ${seconds} s`,
        }),
      );
    }, deadlineMs);
    abort.signal.addEventListener('abort', () => resolve([]), { once: true });
  });
  const work = async () => run(abort.signal);
  try {
    return await Promise.race([work().catch((thrown) => failed(ids, unforeseen(thrown))), late]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    abort.abort();
  }
}

function unforeseen(thrown: unknown): Text {
  const { ja, en } = textOf(thrown);
  return { ja: `確認できませんでした: ${ja}`, en: `The check itself failed: ${en}` };
}

/** The first check of a failed examination is broken, the others say that it is why they say nothing. */
function failed(ids: Examination['ids'], detail: Text): readonly Finding[] {
  const [first, ...others] = ids;
  return [
    finding(first, 'broken', detail),
    ...others.map((id) =>
      finding(id, 'skipped', {
        ja: `「${CHECKS[first].ja}」を確認できなかったため`,
        en: `Because "${CHECKS[first].en}" could not be checked`,
      }),
    ),
  ];
}

function notHere(id: CheckId): Finding {
  return finding(id, 'skipped', { ja: 'この環境にはありません', en: 'Does not apply here' });
}

function groupOf(id: CheckId): keyof typeof GROUPS {
  // Every name begins with the name of its group.
  return id.slice(0, id.indexOf('.')) as keyof typeof GROUPS;
}
