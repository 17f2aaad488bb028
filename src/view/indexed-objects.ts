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

  all(): IterableIterator<T> {
    return this.#byName.values()
  }

  /** The objects that have this key. */
  under(key: string): T[] {
    return [...(this.#byKey.get(key)?.values() ?? [])]
  }

  put(object: T): void {
    this.delete(object)
    const name = formatName(object)
    this.#byName.set(name, object)
    for (const key of this.#keysOf(object)) {
      const objects = this.#byKey.get(key) ?? new Map<string, T>()
      this.#byKey.set(key, objects.set(name, object))
    }
  }

  delete(object: NamespacedName): void {
    const name = formatName(object)
    const present = this.#byName.get(name)
    if (present === undefined) return
    this.#byName.delete(name)
    for (const key of this.#keysOf(present)) {
      const objects = this.#byKey.get(key)
      objects?.delete(name)
      if (objects?.size === 0) this.#byKey.delete(key)
    }
  }
}
