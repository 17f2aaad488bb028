import type { NamespacedName } from '../api/metadata.ts'

/**
 * Objects by namespace and name, and by the keys that a function gives each of them. An index of one level would be a table as large
 * as the cluster, in which no two lookups are near each other: what is asked together mostly lies in one namespace.
 */
export class IndexedObjects<T extends NamespacedName> {
  readonly #keysOf: (object: T) => readonly string[]
  readonly #slim: (object: T) => T
  readonly #byNamespace = new Map<string, Map<string, T>>()
  readonly #byKey = new Map<string, T[]>()
  #size = 0

  /** `slim` makes of each object what is kept of it. */
  constructor(keysOf: (object: T) => readonly string[], slim: (object: T) => T = (object) => object) {
    this.#keysOf = keysOf
    this.#slim = slim
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

  /** The objects that have this key. */
  under(key: string): T[] {
    return this.#byKey.get(key)?.slice() ?? []
  }

  /** Returns what it was before, and what is kept of what it is now. */
  put(given: T): { before: T | undefined; after: T } {
    const object = this.#slim(given)
    const { namespace, name } = object
    const objects = this.#byNamespace.get(namespace) ?? new Map<string, T>()
    const present = objects.get(name)
    this.#byNamespace.set(namespace, objects)
    objects.set(name, object)
    const keys = new Set(this.#keysOf(object))
    if (present === undefined) this.#size++
    // What stays is replaced and not deleted first: a Map of V8's keeps what was deleted in its chains until it is made anew.
    else this.#replace(present, object, keys)
    for (const key of keys) {
      const keyed = this.#byKey.get(key)
      if (keyed === undefined) this.#byKey.set(key, [object])
      else keyed.push(object)
    }
    return { before: present, after: object }
  }

  /** Puts an object in the place of another under the keys that both have, and takes these off `keys`. */
  #replace(present: T, object: T, keys: Set<string>): void {
    for (const key of new Set(this.#keysOf(present))) {
      if (keys.delete(key)) {
        const keyed = this.#byKey.get(key) as T[]
        keyed[keyed.indexOf(present)] = object
      } else {
        this.#forget(present, key)
      }
    }
  }

  #forget(object: T, key: string): void {
    const keyed = this.#byKey.get(key) as T[]
    if (keyed.length === 1) this.#byKey.delete(key)
    else keyed.splice(keyed.indexOf(object), 1)
  }

  /** Returns what it was. */
  delete({ namespace, name }: NamespacedName): T | undefined {
    const objects = this.#byNamespace.get(namespace)
    const present = objects?.get(name)
    if (objects === undefined || present === undefined) return undefined
    this.#size--
    if (objects.size === 1) this.#byNamespace.delete(namespace)
    else objects.delete(name)
    for (const key of new Set(this.#keysOf(present))) this.#forget(present, key)
    return present
  }
}
