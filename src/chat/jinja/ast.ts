/**
 * The tree of a template. Plain data, owned by nobody: compiled templates are kept as such and shared by renders, so nothing
 * may change them.
 */
import type { Value } from './values.js';

/** An argument list; `extra` is *args and `extraKeywords` is **kwargs. */
export interface Arguments {
  readonly args: readonly Expression[];
  readonly keywords: readonly (readonly [string, Expression])[];
  readonly extra: Expression | null;
  readonly extraKeywords: Expression | null;
}

/** One link of a filter chain; a null target takes what a block wrote. */
export interface FilterNode extends Arguments {
  readonly kind: 'filter';
  readonly target: Expression | null;
  readonly name: string;
}

export interface CallNode extends Arguments {
  readonly kind: 'call';
  readonly target: Expression;
}

export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'tuple' | 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly rows: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly target: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly target: Expression; readonly key: Expression }
  | {
      readonly kind: 'slice';
      readonly target: Expression;
      readonly parts: readonly (Expression | null)[];
    }
  | CallNode
  | FilterNode
  | ({ readonly kind: 'test'; readonly target: Expression; readonly name: string } & Arguments)
  | { readonly kind: 'not' | 'negative' | 'positive'; readonly target: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'concat'; readonly items: readonly Expression[] }
  | {
      readonly kind: 'compare';
      readonly first: Expression;
      readonly rest: readonly (readonly [string, Expression])[];
    }
  | {
      readonly kind: 'condition';
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | null;
    };

/** What may stand left of an assignment. */
export type Target =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'member'; readonly name: string; readonly attribute: string }
  | { readonly kind: 'targets'; readonly items: readonly Target[] };

/** A macro's or a call block's signature and body, with what the body asks for. */
export interface MacroNode {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly fallback: Expression | null }[];
  readonly body: readonly Statement[];
  readonly uses: { readonly caller: boolean; readonly kwargs: boolean; readonly varargs: boolean };
}

export interface ForNode {
  readonly kind: 'for';
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | null;
  readonly recursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}

export type Statement =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | {
      readonly kind: 'if';
      readonly branches: readonly (readonly [Expression, readonly Statement[]])[];
      readonly otherwise: readonly Statement[];
    }
  | ForNode
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'capture';
      readonly target: Target;
      readonly filter: FilterNode | null;
      readonly body: readonly Statement[];
    }
  | { readonly kind: 'macro'; readonly macro: MacroNode }
  | { readonly kind: 'call-block'; readonly call: CallNode; readonly macro: MacroNode }
  | {
      readonly kind: 'filter-block';
      readonly filter: FilterNode;
      readonly body: readonly Statement[];
    }
  | {
      readonly kind: 'with';
      readonly rows: readonly (readonly [Target, Expression])[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: 'generation' | 'block'; readonly body: readonly Statement[] }
  | { readonly kind: 'refused'; readonly tag: string }
  | { readonly kind: 'break' | 'continue' };

/** A compiled template. */
export interface Program {
  readonly type: 'template';
  readonly body: readonly Statement[];
}
