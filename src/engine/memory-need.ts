/**
 * What an engine is estimated to take, as whoever estimates it tells whoever places its layers and
 * makes its slots. Types only.
 */

/**
 * What a model is estimated to take, in bytes, by its file and these options, before anything is
 * allocated. A layer's weights and cache lie together, on a device or in main memory.
 */
export interface MemoryNeed {
  /** Weights of each layer, its experts included. */
  readonly layerBytes: readonly number[];
  /** Of those, the experts: what cpuExpertLayers keeps in main memory for its first layers. */
  readonly expertBytes: readonly number[];
  /** Final norm and head; they are placed like one more layer after the last. */
  readonly outputBytes: number;
  /** What the head takes besides on a device, where it is a copy of the embedding table. */
  readonly outputCopyBytes: number;
  /** Embedding table and whatever else belongs to no layer: always in main memory. */
  readonly inputBytes: number;
  /** KV cache or recurrent state of each layer, for all slots. */
  readonly kvBytesPerLayer: readonly number[];
  /** Scratch memory of one step, on each device that has layers. */
  readonly computeBytes: number;
  /** Scratch memory of one step in main memory, and the process itself with its vocabulary. */
  readonly hostBytes: number;
  /** Of all this, what main memory holds for this engine alone, neither mapped nor on a device. */
  readonly privateBytes: number;
  /** What devices hold of it where they have room; 0 where there are none, or none is to be used. */
  readonly deviceBytes: number;
  /** What a draft model takes besides, counted in the last two as well; absent without one. */
  readonly draft?: DraftNeed;
}

/** What a draft model takes, in bytes, wherever it lies. */
export interface DraftNeed {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  /** Scratch memory and its vocabulary. */
  readonly computeBytes: number;
  /** Of all that, what devices hold. */
  readonly deviceBytes: number;
}

/** What an engine with so many slots is estimated to take. */
export interface SlotNeed {
  readonly slots: number;
  readonly memory: MemoryNeed;
}
