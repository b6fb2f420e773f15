/**
 * Whether characters go on being JSON (RFC 8259), one after the other, and where the value ends. Pure;
 * it must never keep the value.
 */

/** What a character did: the value goes on, it ended with it, it had ended before it, or is none. */
export type Scanned = 'more' | 'done' | 'before' | 'bad';

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const NUMBER_BEGUN = /^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|(?:0|[1-9]\d*)(?:\.\d+)?[eE](?:[+-]?\d*))?$/;
const WORDS = ['true', 'false', 'null'];

type Place = 'value' | 'first' | 'key' | 'colon' | 'after' | 'string' | 'escape' | 'hex' | 'word';

const isBlank = (char: string): boolean =>
  char === ' ' || char === '\n' || char === '\r' || char === '\t';

/** Whether a text is a JSON number. */
export const isNumber = (text: string): boolean => NUMBER.test(text);

/** Text as the inside of a JSON string; halves of surrogate pairs are left as they are. */
export const escapeJson = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON cannot have
  text.replace(/["\\\u0000-\u001f]/g, (char) => JSON.stringify(char).slice(1, -1));

/** Reads one JSON value, character by character. */
export class JsonScanner {
  #place: Place = 'value';
  /** Open objects and arrays. */
  readonly #open: ('{' | '[')[] = [];
  #isKey = false;
  #word = '';
  #digits = 0;

  /** In a string, where a control character is no JSON and is to be escaped. */
  get isInString(): boolean {
    return this.#place === 'string';
  }

  /** The next character. */
  feed(char: string): Scanned {
    switch (this.#place) {
      case 'string':
        return this.#string(char);
      case 'escape':
        this.#place = char === 'u' ? 'hex' : 'string';
        this.#digits = 0;
        return '"\\/bfnrtu'.includes(char) ? 'more' : 'bad';
      case 'hex':
        if (!/^[0-9a-fA-F]$/.test(char)) return 'bad';
        if (++this.#digits === 4) this.#place = 'string';
        return 'more';
      case 'word':
        return this.#wordOn(char);
      default:
        return isBlank(char) ? 'more' : this.#structure(char);
    }
  }

  #string(char: string): Scanned {
    if (char === '\\') this.#place = 'escape';
    if (char !== '"') return 'more';
    if (!this.#isKey) return this.#ended();
    this.#place = 'colon';
    return 'more';
  }

  #wordOn(char: string): Scanned {
    const longer = this.#word + char;
    const isWord = WORDS.some((word) => word.startsWith(longer));
    if (isWord || NUMBER_BEGUN.test(longer)) {
      this.#word = longer;
      return WORDS.includes(longer) ? this.#ended() : 'more';
    }
    if (!NUMBER.test(this.#word)) return 'bad';
    if (this.#ended() === 'done') return 'before';
    return this.feed(char);
  }

  #structure(char: string): Scanned {
    const place = this.#place;
    const inside = this.#open.at(-1);
    if (place === 'colon') {
      this.#place = 'value';
      return char === ':' ? 'more' : 'bad';
    }
    if (place === 'after') {
      if (char === ',') {
        this.#place = inside === '{' ? 'key' : 'value';
        return 'more';
      }
      return this.#close(char);
    }
    if (place === 'first' && (char === '}' || char === ']')) return this.#close(char);
    if (place === 'key' || (place === 'first' && inside === '{')) {
      this.#place = 'string';
      this.#isKey = true;
      return char === '"' ? 'more' : 'bad';
    }
    return this.#value(char);
  }

  #value(char: string): Scanned {
    if (char === '{' || char === '[') {
      this.#open.push(char);
      this.#place = 'first';
      return 'more';
    }
    if (char === '"') {
      this.#place = 'string';
      this.#isKey = false;
      return 'more';
    }
    this.#word = '';
    this.#place = 'word';
    return /^[-0-9tfn]$/.test(char) ? this.#wordOn(char) : 'bad';
  }

  #close(char: string): Scanned {
    const open = this.#open.pop();
    return (open === '{' && char === '}') || (open === '[' && char === ']') ? this.#ended() : 'bad';
  }

  #ended(): Scanned {
    this.#place = 'after';
    return this.#open.length === 0 ? 'done' : 'more';
  }
}
