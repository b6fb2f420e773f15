/**
 * What the pool works with: its settings and the rooms beside it. Types only; the composition root
 * fills them in, tests give fakes.
 */

import type { StartEngine } from '../engine/engine.js';
import type { EventBus } from '../events.js';
import type { Log } from '../log.js';
import type { PlanEngine } from '../memory/use.js';
import type { ModelEntry } from '../models/registry.js';
import type { StateKeeper } from '../states/saved-model.js';
import type { EngineSettings, FindModel } from './options.js';
import type { Purpose } from './pool-status.js';

/** The settings of the pool; a Config has them all. */
export interface PoolSettings extends EngineSettings {
  /** 0 = never. */
  readonly idleTimeoutMs: number;
  /** Requests that may wait; one whose model is being loaded for it does not count. */
  readonly queueSize: number;
  readonly queueTimeoutMs: number;
  /** Generating models in memory at the same time. */
  readonly maxLoadedModels: number;
  /** Embedding models in memory at the same time, counted apart. */
  readonly maxLoadedEmbedding: number;
  /** How often a request may be overtaken by requests for a model that is in memory. */
  readonly maxSkips: number;
}

/** What a pool works with. */
export interface PoolDeps {
  readonly settings: PoolSettings;
  readonly log: Log;
  readonly startEngine: StartEngine;
  /** The sound file of an entry, made where it can be made. Codes: model_file_missing, model_file_invalid. */
  readonly locate: (entry: ModelEntry) => Promise<string>;
  /** The file to load `source` from: itself, or a verified copy. It must not fail where the source is sound. */
  readonly stage: (source: string) => Promise<string>;
  /** The models there are, for draft models that are named. */
  readonly find: FindModel;
  /** Looks at a draft model's file. Code: draft_model_unusable. */
  readonly checkDraft: (path: string) => Promise<void>;
  /** What the file says it is for. Codes: model_file_missing, model_file_invalid. */
  readonly purposeOf: (entry: ModelEntry) => Promise<Purpose>;
  /** Null: nobody looks at memory; a model then goes wholly before the next one loads. */
  readonly plan: PlanEngine | null;
  /** Null: no states are kept. */
  readonly states: StateKeeper | null;
  readonly events: EventBus;
  /** A model is used from now on, or no more. */
  readonly onActivity: (entry: ModelEntry, active: boolean) => void;
}
