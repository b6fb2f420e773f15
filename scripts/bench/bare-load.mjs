/**
 * One process that does nothing but load a model and make its first token: what a switch between models
 * is held against. Arguments: libllama, model, prompt. Says `first` on standard output at that moment.
 * Runs the build, without a TypeScript loader, as the server's own engines do.
 */
import { loadAddon, readAbi } from '../../dist/src/engine/addon.js';
import { openLocalEngine } from '../../dist/src/engine/local.js';

const [path, modelPath, text] = process.argv.slice(2);
const engine = await openLocalEngine({
  addon: loadAddon(),
  abi: readAbi(),
  library: { path, preload: [], unknownSymbols: [], allowUnknown: false },
  options: {
    modelPath,
    ...{ contextTokens: 4096, slots: 1, batchTokens: 512, threads: 0, gpuLayers: 0 },
    ...{ flashAttention: 'auto', cacheTypeK: 'f16', cacheTypeV: 'f16', mmap: true, mlock: false },
  },
});
const prompt = await engine.tokenize([{ text, special: true }], true);
const sampling = {
  ...{ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1, repeatPenalty: 1, repeatLastN: 0 },
  ...{ presencePenalty: 0, frequencyPenalty: 0, logitBias: [], ignoreEos: true },
};
for await (const _ of engine.start({ prompt, maxTokens: 1, sampling, cachePrompt: false })) break;
process.stdout.write('first\n');
await engine.close();
