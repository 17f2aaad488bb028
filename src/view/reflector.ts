import { setTimeout as sleep } from 'node:timers/promises'
import { Fields, MalformedObject } from '../api/fields.ts'
import { type Kind, kinds, mayBeAbsent, type Objects } from '../api/kinds.ts'
import { formatName, readName } from '../api/metadata.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import type { ObjectStore } from './object-store.ts'

/** All times in milliseconds. */
export type ReflectorTimes = {
  /** A watch ends after this and up to twice this, at random, so that many do not come back at once. */
  watch: number
  /**
   * A watch without an event or a bookmark for so long is dead, whatever TCP says: the API server sends a bookmark about every
   * minute (apiserver pkg/storage/cacher, bookmarkFrequency).
   */
  silence: number
  /** The first wait after a failure; doubled with each, up to the last, and shortened at random. */
  firstBackoff: number
  lastBackoff: number
  /** How often it is looked whether a kind that is not installed has come. */
  absent: number
  /** A watch that ends sooner was none, and is not opened again at once. */
  shortest: number
  /** A watch that takes longer to be opened again leaves the view without it. */
  opening: number
}

const defaultTimes: ReflectorTimes = {
  watch: 300_000,
  silence: 100_000,
  firstBackoff: 200,
  lastBackoff: 15_000,
  absent: 5_000,
  shortest: 1_000,
  opening: 2_000,
}

export type ReflectorOptions = {
  client: KubernetesClient
  kind: Kind
  /** A label selector; all objects where it is left out. */
  labels?: string
  store: ObjectStore
  /** Told of each failure; it is tried again. */
  onError(kind: Kind, error: unknown): void
  times?: Partial<ReflectorTimes>
}

type Event = { type: string; object: unknown }

/** A list on its way into the store. */
type Listing = { put(object: unknown): void; end(): void }

const statusOf = (error: unknown): number => (error instanceof ApiError ? error.status : 0)

/**
 * Whether a resourceVersion is no later than another. Those of one kind are numbers that grow (Kubernetes API concepts, "Resource version
 * semantics"); of what is no number nothing is known.
 */
const isPast = (version: string, than: string): boolean =>
  [version, than].every((text) => /^\d+$/.test(text)) && BigInt(version) <= BigInt(than)

/**
 * Keeps the objects of one kind in a store as the API server has them: a list and the watch that goes on from it, in one stream
 * where the API server can (WatchList), in pages otherwise. It never gives up: whatever fails is tried again.
 */
export class Reflector {
  readonly kind: Kind
  readonly #options: ReflectorOptions
  readonly #times: ReflectorTimes
  #resourceVersion = ''
  #streams = true
  #watching = false
  #synced = false
  #relists = 0
  #lastContact = Number.NEGATIVE_INFINITY

  constructor(options: ReflectorOptions) {
    this.kind = options.kind
    this.#options = options
    this.#times = { ...defaultTimes, ...options.times }
  }

  /** Whether the store has all objects, and hears of every change. */
  get isCurrent(): boolean {
    return this.#synced && this.#watching
  }

  /** How many objects the store has of its kind. */
  get size(): number {
    return this.#options.store.size(this.kind)
  }

  /** How often it began from the whole list. */
  get relists(): number {
    return this.#relists
  }

  /** Seconds since the API server was last heard. */
  get age(): number {
    return (performance.now() - this.#lastContact) / 1000
  }

  /**
   * Takes in an object that we just wrote ourselves, ahead of the event that will tell of it. Where the answer comes after the event, it may
   * come after another that tells of the object's deletion, too: then it is passed over.
   */
  learn(object: unknown): void {
    const version = String(new Fields(object).object('metadata').raw('resourceVersion'))
    if (!isPast(version, this.#resourceVersion)) this.#put(object)
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const began = performance.now()
      try {
        await this.#follow(signal)
        if (performance.now() - began < this.#times.shortest)
          throw new ApiError(0, `${this.kind}: the watch ended at once`)
        failures = 0
      } catch (error) {
        // A watch that held for long was none of the failures before it.
        if (this.#watching && performance.now() - began > this.#times.lastBackoff) failures = 0
        this.#watching = false
        if (signal.aborted) return
        const wait = this.#recover(error, failures++)
        await sleep(wait, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** What an error means for the next attempt, and how long that waits. */
  #recover(error: unknown, failures: number): number {
    const { firstBackoff, lastBackoff, absent } = this.#times
    const status = statusOf(error)
    if (status === 404 && mayBeAbsent(this.kind)) {
      // The kind is not installed: then all of its objects, none, are known, and stay known until somebody looks again.
      this.#beginList().end()
      this.#resourceVersion = ''
      this.#watching = true
      return absent
    }
    // Too old to go on from, or the API server does not stream lists: begin anew, the other way.
    if (status === 410) this.#resourceVersion = ''
    else if (this.#resourceVersion === '' && this.#streams && (status === 400 || status === 422)) this.#streams = false
    else this.#options.onError(this.kind, error)
    return Math.min(firstBackoff * 2 ** failures, lastBackoff) * (0.5 + Math.random() / 2)
  }

  /** One watch, from a list or from where the last one ended. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { labels } = this.#options
    const { silence, watch } = this.#times
    const dead = new AbortController()
    const timer = setTimeout(() => dead.abort(), silence)
    const either = AbortSignal.any([signal, dead.signal])
    try {
      const begins = this.#resourceVersion === ''
      const query: Record<string, string> = {
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(Math.ceil((watch * (1 + Math.random())) / 1000)),
        ...(labels === undefined ? {} : { labelSelector: labels }),
      }
      if (begins) this.#relists++
      let list: Listing | undefined
      if (begins && this.#streams) {
        Object.assign(query, { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' })
        list = this.#beginList()
      } else {
        if (begins) await this.#listPages(either)
        query.resourceVersion = this.#resourceVersion
      }
      await this.#read(await this.#open(query, either), list, () => timer.refresh())
    } finally {
      clearTimeout(timer)
    }
  }

  async #open(query: Record<string, string>, signal: AbortSignal): Promise<AsyncIterable<unknown>> {
    const late = setTimeout(() => {
      this.#watching = false
    }, this.#times.opening)
    try {
      return await this.#options.client.watch(this.kind, query, signal)
    } finally {
      clearTimeout(late)
    }
  }

  async #listPages(signal: AbortSignal): Promise<void> {
    const { client, kind, labels } = this.#options
    const list = this.#beginList()
    let version = ''
    for await (const { items, resourceVersion } of client.pages(kind, { labels }, signal)) {
      for (const item of items) list.put(item)
      version = resourceVersion
    }
    list.end()
    // Not before the end: from half a list there is no going on.
    this.#resourceVersion = version
  }

  async #read(events: AsyncIterable<unknown>, initial: Listing | undefined, heard: () => void): Promise<void> {
    let list = initial
    if (list === undefined) this.#watching = true
    for await (const raw of events) {
      heard()
      this.#lastContact = performance.now()
      const { type, object } = this.#parse(raw)
      if (type === 'ERROR') {
        const status = new Fields(object)
        throw new ApiError(Number(status.raw('code')), `${this.kind}: ${status.raw('message')}`)
      }
      const metadata = new Fields(object).object('metadata')
      if (list !== undefined && type === 'ADDED') {
        list.put(object)
        continue
      }
      if (list !== undefined && metadata.stringMap('annotations').get('k8s.io/initial-events-end') === 'true') {
        list.end()
        list = undefined
        this.#watching = true
      } else if (type === 'ADDED' || type === 'MODIFIED') {
        this.#put(object)
      } else if (type === 'DELETED') {
        this.#options.store.delete(this.kind, readName(new Fields(object)))
      }
      if (list === undefined) this.#resourceVersion = String(metadata.raw('resourceVersion'))
    }
    // The API server ends each watch in time; the next goes on where this one ended.
    if (list !== undefined) throw new ApiError(0, `${this.kind}: the watch ended before its list`)
  }

  #parse(raw: unknown): Event {
    const event = new Fields(raw)
    return { type: String(event.raw('type')), object: event.raw('object') }
  }

  #put(object: unknown): void {
    try {
      this.#options.store.put({ kind: this.kind, object: kinds[this.kind].parse(object) as Objects[Kind] })
    } catch (error) {
      if (!(error instanceof MalformedObject)) throw error
      // What is not as its schema says, Istio cannot read either.
      this.#options.store.delete(this.kind, readName(new Fields(object)))
    }
  }

  #complete(): void {
    this.#synced = true
    this.#lastContact = performance.now()
  }

  /**
   * Puts a whole list in place of what was there: each object as it comes, since a whole list of raw ones is large. What stays is
   * never missing, and what is gone goes at the end.
   */
  #beginList(): Listing {
    const { store } = this.#options
    const listed = new Set<string>()
    this.#watching = false
    return {
      put: (object) => {
        listed.add(formatName(readName(new Fields(object))))
        this.#put(object)
      },
      end: () => {
        for (const name of [...store.all(this.kind)]) {
          if (!listed.has(formatName(name))) store.delete(this.kind, name)
        }
        this.#complete()
      },
    }
  }
}
