import type { NamespacedName } from '../api/metadata.ts'

/** The keys of an object in an index. */
type KeysOf<T> = (object: T) => readonly string[]

/** Objects by the keys that a function gives each of them, in the order in which they came. */
class Index<T> {
  readonly #keysOf: KeysOf<T>
  readonly #byKey = new Map<string, T[]>()

  constructor(keysOf: KeysOf<T>) {
    this.#keysOf = keysOf
  }

  under(key: string): T[] {
    return this.#byKey.get(key)?.slice() ?? []
  }

  /** Puts an object in the place of what it was before; either is undefined where there was, or is, none. */
  replace(before: T | undefined, after: T | undefined): void {
    const added = new Set(after === undefined ? [] : this.#keysOf(after))
    if (before !== undefined) {
      // What stays is replaced and not deleted first: a Map of V8's keeps what was deleted in its chains until it is made anew.
      for (const key of new Set(this.#keysOf(before)))
        this.#replaceUnder(key, before, added.delete(key) ? after : undefined)
    }
    for (const key of added) this.#add(key, after as T)
  }

  #replaceUnder(key: string, before: T, after: T | undefined): void {
    const keyed = this.#byKey.get(key) as T[]
    const place = keyed.indexOf(before)
    if (after !== undefined) keyed[place] = after
    else if (keyed.length === 1) this.#byKey.delete(key)
    else keyed.splice(place, 1)
  }

  #add(key: string, object: T): void {
    const keyed = this.#byKey.get(key)
    if (keyed === undefined) this.#byKey.set(key, [object])
    else keyed.push(object)
  }
}

/**
 * Objects by namespace and name, and by their keys in each index that is named. A table of all names would be as large as the cluster, and
 * no two lookups in it near each other: what is asked together mostly lies in one namespace. For the same reason each index is a table of
 * its own, so that what is seldom, such as wildcards, is looked for in a small one.
 */
export class IndexedObjects<T extends NamespacedName, Name extends string = never> {
  readonly #slim: (object: T) => T
  readonly #byNamespace = new Map<string, Map<string, T>>()
  readonly #indexes: Readonly<Record<Name, Index<T>>>
  readonly #all: readonly Index<T>[]
  #size = 0

  /** `slim` makes of each object what is kept of it. */
  constructor(indexes: Readonly<Record<Name, KeysOf<T>>>, slim: (object: T) => T = (object) => object) {
    this.#slim = slim
    const made = Object.entries<KeysOf<T>>(indexes).map(([name, keysOf]) => [name, new Index(keysOf)] as const)
    this.#indexes = Object.fromEntries(made) as Record<Name, Index<T>>
    this.#all = made.map(([, index]) => index)
  }

  get({ namespace, name }: NamespacedName): T | undefined {
    return this.#byNamespace.get(namespace)?.get(name)
  }

  get size(): number {
    return this.#size
  }

  *all(): Generator<T> {
    for (const objects of this.#byNamespace.values()) yield* objects.values()
  }

  /** The objects of a namespace. */
  within(namespace: string): T[] {
    return [...(this.#byNamespace.get(namespace)?.values() ?? [])]
  }

  /** The objects that have this key in an index. */
  under(index: Name, key: string): T[] {
    return this.#indexes[index].under(key)
  }

  /** Returns what it was before, and what is kept of what it is now. */
  put(given: T): { before: T | undefined; after: T } {
    const after = this.#slim(given)
    const { namespace, name } = after
    const objects = this.#byNamespace.get(namespace) ?? new Map<string, T>()
    const before = objects.get(name)
    this.#byNamespace.set(namespace, objects)
    objects.set(name, after)
    if (before === undefined) this.#size++
    for (const index of this.#all) index.replace(before, after)
    return { before, after }
  }

  /** Returns what it was. */
  delete({ namespace, name }: NamespacedName): T | undefined {
    const objects = this.#byNamespace.get(namespace)
    const before = objects?.get(name)
    if (objects === undefined || before === undefined) return undefined
    this.#size--
    if (objects.size === 1) this.#byNamespace.delete(namespace)
    else objects.delete(name)
    for (const index of this.#all) index.replace(before, undefined)
    return before
  }
}
