import { formatName, type NamespacedName } from '../api/metadata.ts'

/** Namespaced objects by name, and by the keys that a function gives each of them. */
export class IndexedObjects<T extends NamespacedName> {
  readonly #keysOf: (object: T) => readonly string[]
  readonly #byName = new Map<string, T>()
  readonly #byKey = new Map<string, Map<string, T>>()

  constructor(keysOf: (object: T) => readonly string[]) {
    this.#keysOf = keysOf
  }

  get(name: NamespacedName): T | undefined {
    return this.#byName.get(formatName(name))
  }

  get size(): number {
    return this.#byName.size
  }

  all(): IterableIterator<T> {
    return this.#byName.values()
  }

  /** The objects that have this key. */
  under(key: string): T[] {
    return [...(this.#byKey.get(key)?.values() ?? [])]
  }

  put(object: T): void {
    const name = formatName(object)
    const present = this.#byName.get(name)
    const keys = this.#keysOf(object)
    // What stays is overwritten and not deleted first: a Map of V8's keeps what was deleted in its chains until it is made anew.
    if (present !== undefined) {
      const stay = new Set(keys)
      this.#forget(
        name,
        this.#keysOf(present).filter((key) => !stay.has(key)),
      )
    }
    this.#byName.set(name, object)
    for (const key of keys) {
      const objects = this.#byKey.get(key)
      if (objects === undefined) this.#byKey.set(key, new Map([[name, object]]))
      else objects.set(name, object)
    }
  }

  #forget(name: string, keys: readonly string[]): void {
    for (const key of keys) {
      const objects = this.#byKey.get(key)
      objects?.delete(name)
      if (objects?.size === 0) this.#byKey.delete(key)
    }
  }

  delete(object: NamespacedName): void {
    const name = formatName(object)
    const present = this.#byName.get(name)
    if (present === undefined) return
    this.#byName.delete(name)
    this.#forget(name, this.#keysOf(present))
  }
}
