/**
 * What a server and an engine say to each other: commands one way, messages the other.
 * Plain data only (structured clone: no functions, no class instances), so that the same words travel
 * over Node's IPC channel and through a direct call in one process. It must never hold state.
 */
import {
  type ErrorCode,
  type ErrorDetails,
  HoshikageError,
  isErrorCode,
  toHoshikageError,
} from '../errors.js';
import type { EngineCounters } from './counters.js';
import type {
  CompletionRequest,
  CompletionResult,
  EngineInfo,
  EngineOptions,
  SlotState,
  TextSegment,
  TokenBatch,
} from './engine.js';

/** The library to open: absolute path (or a bare name), and what is known of the file before that. */
export interface LibraryFiles {
  readonly path: string;
  /** Siblings to open before it, in order. */
  readonly preload: readonly string[];
  /** llama_* functions it exports that the table does not know: newer than we are. */
  readonly unknownSymbols: readonly string[];
  /** Drive an unknown layout in the minimal mode instead of refusing it. */
  readonly allowUnknown: boolean;
}

/** Server to engine. `id` numbers calls and completions, in one series. */
export type Command =
  | { readonly type: 'open'; readonly library: LibraryFiles; readonly options: EngineOptions }
  | {
      readonly type: 'tokenize';
      readonly id: number;
      readonly segments: readonly TextSegment[];
      readonly addSpecial: boolean;
    }
  | { readonly type: 'detokenize'; readonly id: number; readonly tokens: Int32Array }
  | { readonly type: 'slots'; readonly id: number }
  | { readonly type: 'embed'; readonly id: number; readonly inputs: readonly Int32Array[] }
  | {
      readonly type: 'saveState';
      readonly id: number;
      readonly slot: number;
      readonly path: string;
      readonly mostBytes?: number;
    }
  | { readonly type: 'restoreState'; readonly id: number; readonly path: string }
  | { readonly type: 'start'; readonly id: number; readonly request: CompletionRequest }
  | { readonly type: 'cancel'; readonly id: number; readonly keepTokens: number }
  /** A call whose answer nobody waits for any more; it is answered all the same, soon. */
  | { readonly type: 'cancelCall'; readonly id: number }
  | { readonly type: 'close' };

/** What a saved state was made of. */
export interface SavedState {
  readonly tokens: Int32Array;
  /** Size of the file. */
  readonly bytes: number;
}

/** Where a state was put, and what is in it. */
export interface RestoredState {
  readonly slot: number;
  readonly tokens: Int32Array;
}

/** What a call answers; the caller knows which of them it asked for. */
export type ReplyValue =
  | Int32Array
  | Uint8Array
  | readonly SlotState[]
  | readonly Float32Array[]
  | SavedState
  | RestoredState
  | null;

/** News of one completion: tokens, its end, or both. */
export interface CompletionNews {
  readonly id: number;
  readonly batch: TokenBatch | null;
  readonly end: { readonly result: CompletionResult } | { readonly error: WireError } | null;
}

/**
 * About once a second while anything loads, runs or is called. The numbers only ever grow; one that
 * stays the same while there is work for it means that nothing gets done.
 */
export interface Pulse {
  readonly type: 'pulse';
  /** All that gets done: the other two, loading, calls. */
  readonly progress: number;
  /** Steps of completions, and looks at whether to abort one. */
  readonly steps: number;
  /** The same of embeddings. */
  readonly embeds: number;
  /** Main memory that the process holds. */
  readonly rssBytes: number;
}

/** What an engine's slots do, and what it has done so far. */
export interface Picture {
  readonly slots: readonly SlotState[];
  readonly counters: EngineCounters;
}

/** The model is loaded. */
export interface Ready {
  readonly type: 'ready';
  readonly info: EngineInfo;
  readonly picture: Picture;
  /** Main memory that the process holds; null where it is the caller's own. */
  readonly rssBytes: number | null;
}

/** Engine to server. One `ring` carries what all completions got since the last one. */
export type Message =
  | { readonly type: 'progress'; readonly fraction: number }
  | Ready
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'reply'; readonly id: number; readonly value: ReplyValue }
  | { readonly type: 'refusal'; readonly id: number; readonly error: WireError }
  | {
      readonly type: 'ring';
      readonly news: readonly CompletionNews[];
      /** Present when the last one is older than some milliseconds or a slot became free. */
      readonly picture: Picture | null;
    }
  | { readonly type: 'log'; readonly lines: readonly LogLine[] }
  | Pulse
  /** libllama has given up, in these words; nothing it says from now on counts, and the process ends. */
  | { readonly type: 'crashed'; readonly reason: string }
  | { readonly type: 'closed' };

/** One line of the library's (or the engine's) own log. */
export type LogLine = readonly [level: 'debug' | 'info' | 'warn' | 'error', text: string];

/** An error as plain data. `reason` is the English evidence, for the log. */
export interface WireError {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly reason: string;
}

/** Any thrown value as plain data; what carries none of our codes becomes `fallback`. */
export function toWire(thrown: unknown, fallback: ErrorCode): WireError {
  const error = toHoshikageError(thrown, fallback);
  const cause = error.cause instanceof Error ? error.cause : error;
  return { code: error.code, details: error.details, reason: cause.message };
}

/** The error a WireError stands for; its evidence is the cause. */
export function fromWire(wire: WireError): HoshikageError {
  const code = isErrorCode(wire.code) ? wire.code : 'internal_error';
  return new HoshikageError(code, wire.details, { cause: new Error(wire.reason) });
}
