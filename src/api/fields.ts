/** Thrown where an object does not have the shape that its API defines. The message names the field and what belongs there. */
export class MalformedObject extends Error {
  override readonly name = 'MalformedObject'
  readonly field: string

  constructor(field: string, expected: string) {
    super(`${field} must be ${expected}`)
    this.field = field
  }
}

/**
 * Reads the fields of an object that came from outside, checking each type as it goes. An absent field and a null one are the
 * same, as they are for the Kubernetes API. Only own properties are read, so a key like `__proto__` is a key like any other.
 */
export class Fields {
  /** The object itself, as it came. */
  readonly value: object
  /** Where the object stands, in Kubernetes' notation: `spec.http[0].match[1]`; empty for the object itself. */
  readonly path: string

  constructor(value: unknown, path = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new MalformedObject(path === '' ? 'the object' : path, 'an object')
    }
    this.value = value
    this.path = path
  }

  #at(key: string): string {
    if (this.path === '') return key
    return /[.[\]]/.test(key) ? `${this.path}[${key}]` : `${this.path}.${key}`
  }

  /** The raw value of a field: undefined where it is absent or null. */
  raw(key: string): unknown {
    if (!Object.hasOwn(this.value, key)) return undefined
    return (this.value as Record<string, unknown>)[key] ?? undefined
  }

  has(key: string): boolean {
    return this.raw(key) !== undefined
  }

  string(key: string): string | undefined {
    const value = this.raw(key)
    if (value === undefined || typeof value === 'string') return value
    throw new MalformedObject(this.#at(key), 'a string')
  }

  number(key: string): number | undefined {
    const value = this.raw(key)
    if (value === undefined || typeof value === 'number') return value
    throw new MalformedObject(this.#at(key), 'a number')
  }

  boolean(key: string): boolean | undefined {
    const value = this.raw(key)
    if (value === undefined || typeof value === 'boolean') return value
    throw new MalformedObject(this.#at(key), 'true or false')
  }

  /** The object in a field; an empty one where it is absent. */
  object(key: string): Fields {
    return new Fields(this.raw(key) ?? {}, this.#at(key))
  }

  /** The string values of a map such as labels; empty where it is absent. */
  stringMap(key: string): ReadonlyMap<string, string> {
    const fields = this.object(key)
    return new Map(Object.keys(fields.value).map((name) => [name, fields.string(name) ?? '']))
  }

  #array(key: string): unknown[] {
    const value = this.raw(key) ?? []
    if (!Array.isArray(value)) throw new MalformedObject(this.#at(key), 'a list')
    return value
  }

  strings(key: string): string[] {
    return this.#array(key).map((item, index) => {
      if (typeof item === 'string') return item
      throw new MalformedObject(`${this.#at(key)}[${index}]`, 'a string')
    })
  }

  list<T>(key: string, read: (item: Fields) => T): T[] {
    return this.#array(key).map((item, index) => read(new Fields(item, `${this.#at(key)}[${index}]`)))
  }
}
