/**
 * What is known of a model that another program keeps, before its file was looked at. Types only.
 */
import type { ModelSettings } from '../models/model-settings.js';
import type { ChatFamily } from './templates.js';

/** The programs that are known. */
export const SOURCES = ['ollama', 'lmstudio', 'llama.cpp', 'huggingface'] as const;

/** One of them. */
export type Source = (typeof SOURCES)[number];

/** Something to be said about a model, in both languages. */
export interface Note {
  readonly ja: string;
  readonly en: string;
}

/** A chat template in another language than ours. */
export interface ForeignTemplate {
  /** Null where it is none of the known ones. */
  readonly family: ChatFamily | null;
}

/** A model, and where its file lies. */
export interface Holding {
  readonly source: Source;
  /** As its program calls it. */
  readonly name: string;
  /** Absolute; it stays there. */
  readonly path: string;
  readonly stop: readonly string[];
  readonly settings: ModelSettings;
  /** The chat template that its program has for it, which only serves a file that has none. */
  readonly foreignTemplate: ForeignTemplate | null;
  /** What could not be taken over. */
  readonly notes: readonly Note[];
}

/** Something that is no model to register, and why. */
export interface Skipped {
  readonly source: Source;
  readonly path: string;
  readonly reason: Note;
}

/** A part that shows images to a model. */
export const PROJECTOR: Note = { ja: '画像のための部品です', en: 'a projector for images' };

/** What one program keeps. */
export interface Holdings {
  readonly holdings: readonly Holding[];
  readonly skipped: readonly Skipped[];
}

/** A model of which only the file is known. */
export function bare(source: Source, name: string, path: string): Holding {
  return { source, name, path, stop: [], settings: {}, foreignTemplate: null, notes: [] };
}
