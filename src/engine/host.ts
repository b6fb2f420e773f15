/**
 * Entry of the engine process: loads the addon and serves the server that forked it.
 * Main thread of the engine process. It must never be imported by anything else.
 */
import { type AbiTable, loadAddon, type NativeAddon, readAbi } from './addon.js';
import { hostBehaviour } from './host-arguments.js';
import { serveParent } from './hosting.js';
import { lowerPriority } from './priority.js';
import { toWire } from './protocol.js';

const behaviour = hostBehaviour(process.argv.slice(2));
const { nice } = behaviour;
// First: threads inherit it.
const notLowered = nice > 0 ? lowerPriority(nice) : null;

/** The addon and its table, or null after telling the server why not. */
function load(): { readonly addon: NativeAddon; readonly abi: AbiTable } | null {
  try {
    return { addon: loadAddon(), abi: readAbi() };
  } catch (error) {
    process.send?.({ type: 'failed', error: toWire(error, 'addon_missing') });
    return null;
  }
}

const loaded = load();
if (notLowered !== null) {
  const text = `the priority is not lowered to NICE=${nice}: ${notLowered}`;
  process.send?.({ type: 'log', lines: [['debug', text]] });
}
if (loaded) serveParent(loaded.addon, loaded.abi, behaviour);
else process.once('disconnect', () => process.exit(1));
