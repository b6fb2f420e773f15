/**
 * Rows of the table of settings: where models and libraries are. Data only, in the order of
 * `.env.example`.
 */
import { boolean, optional, path } from '../setting-kinds.js';
import type { Setting } from './row.js';

export const FILES = [
  {
    key: 'MODEL_DIR',
    property: 'modelDir',
    kind: path(),
    default: 'models',
    ja: 'ここに置いた GGUF は登録しなくても使える',
    en: 'GGUF files in here are offered without being added',
  },
  {
    key: 'MODEL_MAP_FILE',
    property: 'modelMapFile',
    kind: path(),
    default: 'model_map.json',
    ja: '登録したモデルの台帳',
    en: 'The map of added models',
  },
  {
    key: 'HOSHIKAGE_LIB_PATH',
    property: 'libPath',
    kind: optional(path()),
    default: '',
    ja: '使う libllama(ファイルまたはディレクトリ)。空 = lib/、同梱、システムの順に探す',
    en: 'The libllama to use (file or directory); empty = lib/, the packaged one, the system',
  },
  {
    key: 'ALLOW_UNKNOWN_LIBLLAMA',
    property: 'allowUnknownLibllama',
    kind: boolean(),
    default: '0',
    ja: '1 = 構造体の形が分からない(新しすぎる)libllama も、最小限の機能で使う',
    en: '1 = use a libllama whose struct layouts are unknown (too new), with a minimum of features',
  },
] as const satisfies readonly Setting[];
