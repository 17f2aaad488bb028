import type { Source, Unreadable } from '../../src/manifests/sources.ts'

/** Sources as they are read, without files. */
export async function* sourcesOf(...sources: (Source | Unreadable)[]): AsyncGenerator<Source | Unreadable> {
  yield* sources
}

/** One source of this text. */
export const sourceOf = (text: string, name = 'a.yaml') => sourcesOf({ name, text })
