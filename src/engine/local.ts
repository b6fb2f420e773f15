/**
 * An Engine in this process: for embedding, diagnosis and tests; the server uses process.ts instead.
 * JavaScript thread. A crash of the library is a crash of this process; it must never be used where
 * other requests would fall with it.
 */
import { HoshikageError } from '../errors.js';
import type { AbiTable, NativeAddon } from './addon.js';
import type { EngineOptions } from './engine.js';
import { fromWire, type LibraryFiles, type LogLine, type Message } from './protocol.js';
import { EngineProxy } from './proxy.js';
import { Session } from './session.js';

/** What opening an in-process engine takes. */
export interface LocalEngineInput {
  readonly addon: NativeAddon;
  readonly abi: AbiTable;
  readonly library: LibraryFiles;
  readonly options: EngineOptions;
  /** The engine's own lines; the library's come by `addon.onLog`. */
  readonly onLog?: (line: LogLine) => void;
  /** 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Opens the library (once per process), loads the model, makes its context.
 * Codes: library_not_found, library_incompatible, model_load_failed, cancelled.
 */
export function openLocalEngine(input: LocalEngineInput): Promise<EngineProxy> {
  const { addon, abi, signal } = input;
  if (signal?.aborted) return Promise.reject(new HoshikageError('cancelled'));
  return new Promise((resolve, reject) => {
    let proxy: EngineProxy | null = null;
    const emit = (message: Message): void => {
      if (message.type === 'log') for (const line of message.lines) input.onLog?.(line);
      else if (message.type === 'progress') input.onProgress?.(message.fraction);
      else if (message.type === 'ready') {
        signal?.removeEventListener('abort', abandon);
        proxy = new EngineProxy(link, message);
        resolve(proxy);
      } else if (message.type === 'failed') {
        signal?.removeEventListener('abort', abandon);
        void session.close().then(() => reject(failure(message, signal)));
      } else if (message.type === 'closed') {
        proxy?.ended({ expected: true, cause: 'closed', detail: 'closed' });
      } else proxy?.receive(message);
    };
    const session = new Session({ addon, abi, emit });
    const link = {
      pid: null,
      post: (command: Parameters<Session['perform']>[0]) => session.perform(command),
      close: () => session.close(),
      // It hangs in this very process: nothing could end it.
      abandon: () => {},
    };
    const abandon = (): void => void session.close();
    signal?.addEventListener('abort', abandon, { once: true });
    session.perform({ type: 'open', library: input.library, options: input.options });
  });
}

function failure(
  message: Extract<Message, { type: 'failed' }>,
  signal: AbortSignal | undefined,
): HoshikageError {
  return signal?.aborted ? new HoshikageError('cancelled') : fromWire(message.error);
}
