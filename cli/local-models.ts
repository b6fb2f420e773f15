/**
 * The models as the files say, for when no server answers: the same catalogue the server uses, with
 * the same lock. Runs in the CLI process. It never loads a libllama.
 */
import type { Config } from '../src/config.js';
import { silentLog } from '../src/log.js';
import type { ModelCatalog } from '../src/models/catalog.js';

/** Opens the catalogue for one piece of work and closes it. Codes: those of ModelCatalog. */
export async function withLocalModels<T>(
  config: Config,
  work: (models: ModelCatalog) => Promise<T>,
): Promise<T> {
  const { ModelCatalog } = await import('../src/models/catalog.js');
  const { loadAddon } = await import('../src/engine/addon.js');
  const { modelMapFile, modelDir } = config;
  const models = await ModelCatalog.open({
    modelMapFile,
    modelDir,
    log: silentLog,
    // Asked only where fs-ext is missing; the server then locks in the same way.
    tryLock: (fd) => loadAddon().tryLock(fd),
  });
  try {
    return await work(models);
  } finally {
    models.close();
  }
}
