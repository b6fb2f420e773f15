/**
 * Entry of a short-lived process that asks a library for its defaults: it is opened by the addon with
 * a table of one layout, and what the addon refuses is the value that the table lacks.
 * Main thread of its own process; it must never be imported.
 */
import { type AbiLayout, type AbiTable, loadAddon, readAbi } from '../../src/engine/addon.js';
import type { Answer, Question } from './library.js';
import type { AbiField } from './table.js';

/** No struct has as many fields; a library that changes its mind for ever must not keep us. */
const MOST_ROUNDS = 300;

/** The evidence of a refusal: `M11: new_field = 7`. */
const EVIDENCE = /(?:^|[\s(,;])(\w+): (\w+) = (\d+)/;

function taught(layout: AbiLayout, name: string, value: number): AbiLayout {
  const fields = layout.fields.map(
    (row): AbiField => (row[0] === name ? [name, row[1], row[2], [...row[3], value]] : row),
  );
  return { ...layout, fields };
}

async function ask({ files, modelParams, contextParams }: Question): Promise<Answer> {
  const addon = loadAddon();
  let table: AbiTable = {
    ...{ ...readAbi(), floor: 0, symbols: [] },
    ...{ modelParams: [modelParams], contextParams: [contextParams] },
  };
  for (let round = 0; round < MOST_ROUNDS; round++) {
    try {
      await addon.openLibrary({ ...files, abi: table, proveSamplers: false, backends: false });
      const [model, context] = [table.modelParams[0], table.contextParams[0]];
      if (!model || !context) break;
      return { modelParams: model, contextParams: context, problem: null };
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      const [, id, name, value] = EVIDENCE.exec(problem) ?? [];
      if (!id || !name) return { modelParams, contextParams, problem };
      const teach = (layout: AbiLayout): AbiLayout =>
        layout.id === id ? taught(layout, name, Number(value)) : layout;
      table = {
        ...table,
        modelParams: table.modelParams.map(teach),
        contextParams: table.contextParams.map(teach),
      };
    }
  }
  return { modelParams, contextParams, problem: 'its defaults are others each time' };
}

process.on('disconnect', () => process.exit(1));
process.once('message', (message) => {
  // Only library.ts sends here.
  void ask(message as Question).then((answer) => {
    process.send?.(answer, undefined, {}, () => process.exit(0));
  });
});
