/** The ABI table without its newest model layout: what this package knew before that build came. */
import { type AbiTable, readAbi } from '../../src/engine/addon.js';

export function olderTable(): AbiTable {
  const abi = readAbi();
  return { ...abi, modelParams: abi.modelParams.slice(0, -1) };
}
