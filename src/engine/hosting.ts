/**
 * A Session at the far end of Node's IPC channel: what the engine process does.
 * Main thread of the engine process. It ends with its server, whatever happens to that one; it must
 * never send after the channel is gone, and never end by a signal meant for the whole group.
 */
import type { AbiTable, NativeAddon } from './addon.js';
import type { Command, LogLine, Message } from './protocol.js';
import { Session } from './session.js';

/** How long an orphaned engine may take to free things before it kills itself, ms. */
const ORPHAN_GRACE_MS = 2000;

/** Exit code of an engine whose libllama gave up (GGML_ASSERT); sysexits calls it a software error. */
const CRASHED_EXIT = 70;

/** Serves the parent process until it says `close` or goes away. Needs an IPC channel. */
export function serveParent(addon: NativeAddon, abi: AbiTable): void {
  // These reach the whole group (Ctrl-C, a service manager, a terminal that is closed); the server
  // drains its requests and then closes the engine.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  addon.dieWithParent();
  const emit = (message: Message): void => {
    // Nothing more can be done with this libllama, not even to free: the server gets a new engine.
    send(message, () => {
      if (message.type === 'closed') process.exit(0);
      if (tellsOfCrash(message)) addon.endNow(CRASHED_EXIT);
    });
  };
  const session = new Session({ addon, abi, emit });
  forwardLog(addon);
  process.on('message', (message) => {
    // Only our own server holds the other end of this channel.
    session.perform(message as Command);
  });
  process.on('disconnect', () => {
    const deadline = setTimeout(() => process.kill(process.pid, 'SIGKILL'), ORPHAN_GRACE_MS);
    deadline.unref();
    void session.close().then(() => process.exit(0));
  });
}

function send(message: Message, sent: () => void): void {
  if (!process.connected || !process.send) return;
  // A failed send means that the server is gone; `disconnect` follows.
  process.send(message, undefined, {}, sent);
}

/** Whether the library has given up in this process, by what it answers. */
export function tellsOfCrash(message: Message): boolean {
  if (message.type === 'refusal') return message.error.code === 'engine_crashed';
  if (message.type !== 'ring') return false;
  return message.news.some(
    ({ end }) => end !== null && 'error' in end && end.error.code === 'engine_crashed',
  );
}

/**
 * What libllama calls an error when our abort callback ends a decode whose owners are all gone: status
 * 1 of ggml, return value 2 of llama_decode. Nothing failed, so nobody should be alarmed.
 */
const ABORTED_DECODE =
  /graph_compute_async failed with error 1\b|failed to compute graph, compute status: 1\b|failed to decode, ret = 2\b|decode: removing memory module entries/;

/** The level of a line of libllama in our log. */
export function levelOf(level: LogLine[0], text: string): LogLine[0] {
  return ABORTED_DECODE.test(text) ? 'debug' : level;
}

/** libllama writes hundreds of lines while it loads: they travel together, once per turn. */
function forwardLog(addon: NativeAddon): void {
  let lines: LogLine[] = [];
  addon.onLog((level, text) => {
    if (lines.length === 0) {
      setImmediate(() => {
        send({ type: 'log', lines }, () => {});
        lines = [];
      });
    }
    lines.push([levelOf(level, text), text]);
  });
}
