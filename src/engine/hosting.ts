/**
 * A Session at the far end of a server: what the engine process does. Commands come by Node's IPC
 * channel, what it says goes out by a pipe of its own. Main thread of the engine process. It ends with
 * its server, whatever happens to that one; it must never send after the channel is gone, and never end
 * by a signal meant for the whole group.
 */
import { Socket } from 'node:net';
import type { AbiTable, NativeAddon } from './addon.js';
import { WIRE_FD } from './fork.js';
import { LIMITS_PER_CALL, pulseMs } from './hang.js';
import type { HostBehaviour } from './host-arguments.js';
import type { Command, LogLine, Message } from './protocol.js';
import { Heart, PulseMaker } from './pulse.js';
import { Session } from './session.js';
import { encode } from './wire.js';

/** How long an orphaned engine may take to free things before it kills itself, ms. */
const ORPHAN_GRACE_MS = 2000;

/** Exit code of an engine whose libllama gave up (GGML_ASSERT); sysexits calls it a software error. */
const CRASHED_EXIT = 70;

/** Serves the parent process until it says `close` or goes away. Needs an IPC channel and WIRE_FD. */
export function serveParent(
  addon: NativeAddon,
  abi: AbiTable,
  { hangLimitMs }: Pick<HostBehaviour, 'hangLimitMs'>,
): void {
  // These reach the whole group (Ctrl-C, a service manager, a terminal that is closed); the server
  // drains its requests and then closes the engine.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  addon.dieWithParent();
  const send = crashGuard(addon);
  const emit = (message: Message): void => {
    send(message, () => {
      if (message.type === 'closed') process.exit(0);
    });
  };
  const session = new Session({ addon, abi, emit, rssBytes });
  forwardLog(addon, send);
  const heart = heartOf(addon, session, send, hangLimitMs);
  process.on('message', (message) => {
    // Only our own server holds the other end of this channel.
    session.perform(message as Command);
    heart.wake();
  });
  process.on('disconnect', () => {
    const deadline = setTimeout(() => process.kill(process.pid, 'SIGKILL'), ORPHAN_GRACE_MS);
    deadline.unref();
    void session.close().then(() => process.exit(0));
  });
}

function heartOf(addon: NativeAddon, session: Session, send: Send, hangLimitMs: number): Heart {
  const everyMs = pulseMs(hangLimitMs);
  const source = {
    progress: () => addon.progress(),
    pieces: () => session.pieces,
    usage: () => process.resourceUsage(),
    rssBytes,
  };
  const limits = hangLimitMs > 0 ? (hangLimitMs * LIMITS_PER_CALL) / everyMs : Infinity;
  const maker = new PulseMaker(source, limits);
  return new Heart({
    make: () => maker.make(),
    busy: () => session.busy,
    send: (pulse) => send(pulse, () => {}),
    everyMs,
  });
}

function rssBytes(): number {
  return process.memoryUsage.rss();
}

/** Sends a message; `sent` when it is out. */
type Send = (message: Message, sent: () => void) => void;

/**
 * A `send` that asks first whether libllama has given up, and ends the process when that is told:
 * nothing more can be done with it, not even to free, and the server gets a new engine.
 */
function crashGuard(addon: NativeAddon): Send {
  const toParent = parentWire();
  let told = false;
  return (message, sent) => {
    const reason = addon.crashed();
    if (reason !== null && !told) {
      told = true;
      // Before whatever failed by it, so that nobody is sent here again.
      toParent({ type: 'crashed', reason }, () => {});
    }
    toParent(message, () => {
      if (reason !== null) addon.endNow(CRASHED_EXIT);
      sent();
    });
  };
}

function parentWire(): Send {
  const wire = new Socket({ fd: WIRE_FD, readable: false, writable: true });
  // A failed send means that the server is gone; `disconnect` follows.
  wire.on('error', () => {});
  return (message, sent) => {
    if (process.connected) wire.write(encode(message), sent);
  };
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
function forwardLog(addon: NativeAddon, send: Send): void {
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
