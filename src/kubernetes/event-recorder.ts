import { randomBytes } from 'node:crypto'
import { ApiError, type KubernetesClient } from './client.ts'
import { type Clock, microTime, systemClock } from './clock.ts'

/** The object that an Event is about; its namespace is empty where its kind is cluster-scoped. */
export type Regarding = { apiVersion: string; kind: string; namespace: string; name: string; uid?: string }

/** What `kubectl get events` shows: a reason such as AddressTaken, the action that was taken, and a note for people. */
export type Report = { regarding: Regarding; type: 'Normal' | 'Warning'; reason: string; action: string; note: string }

export type RecorderLimits = {
  /** Milliseconds for which the same report is the same Event, counted from the last (client-go tools/events, finishTime). */
  lifetime: number
  /** How many reports are remembered to be recognised. */
  recent: number
  /** How many Events may wait to be written. */
  waiting: number
  /** How many Events are written at a time. */
  writers: number
  /** Milliseconds for one request. */
  request: number
  /** Milliseconds from one failure that is told to the next, and from one Event that is dropped. */
  silence: number
}

const defaultLimits: RecorderLimits = {
  lifetime: 360_000,
  recent: 1_000,
  waiting: 500,
  writers: 4,
  request: 10_000,
  silence: 60_000,
}

export type EventRecorderOptions = {
  client: Pick<KubernetesClient, 'create' | 'mergePatch'>
  /** Who we are among the replicas. */
  identity: string
  /** Told of what is not recorded since too many Events wait to be written, but not of each one. */
  onDropped(report: Report): void
  /** Told why Events are not recorded, but not of each one. */
  onError(error: unknown): void
  limits?: Partial<RecorderLimits>
  clock?: Clock
}

/** What an Event may have at most (kubernetes pkg/apis/core/validation/events.go). */
const [maxNote, maxInstance] = [1024, 128]

/** The beginning of a text that takes so many bytes at most. */
const cut = (text: string, bytes: number): string =>
  text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(bytes)).read)

/** A new name for an Event: that of its object as far as names of Events may be so, and something that no other has. */
const eventName = (name: string): string => {
  const unique = randomBytes(8).toString('hex')
  const prefix = name
    .toLowerCase()
    .replace(/[^a-z0-9.]/g, '-')
    .slice(0, 253 - 1 - unique.length)
    .replace(/-*\.[-.]*/g, '.')
    .replace(/^[-.]+|[-.]+$/g, '')
  return prefix === '' ? unique : `${prefix}.${unique}`
}

/** A report and its repetitions: one Event. */
type Entry = {
  report: Report
  /** The Event's name, once it exists. */
  name: string | undefined
  count: number
  first: Date
  last: Date
  /** The time of the last by a clock that nobody sets. */
  at: number
}

/** Whether the namespace of an Event is gone or going, and the Event with it. */
const isOfGoneNamespace = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.status === 404 || (error.status === 403 && error.message.includes('it is being terminated')))

/**
 * Records Events (events.k8s.io/v1). What is reported again within a while is one Event, whose series counts. Nobody waits for it,
 * and nothing depends on it: what cannot be written is not tried again before the next report of the same.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #limits: RecorderLimits
  readonly #clock: Clock
  /** By what is the same in all repetitions; the one that was reported last is last. */
  readonly #recent = new Map<string, Entry>()
  readonly #waiting = new Set<Entry>()
  readonly #writing = new Map<Entry, Promise<void>>()
  #toldAt = { error: Number.NEGATIVE_INFINITY, drop: Number.NEGATIVE_INFINITY }

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#clock = options.clock ?? systemClock
  }

  /** Returns at once, and never throws. */
  record({ regarding, type, reason, action, note }: Report): void {
    const report = { regarding, type, reason, action, note: cut(note, maxNote) }
    const { apiVersion, kind, namespace, name, uid } = regarding
    const key = JSON.stringify([apiVersion, kind, namespace, name, uid, type, reason, action, report.note])
    const [at, date] = [this.#clock.now(), this.#clock.date()]
    const known = this.#recent.get(key)
    const isRepeated = known !== undefined && at - known.at <= this.#limits.lifetime
    const entry = isRepeated ? known : { report, name: undefined, count: 0, first: date, last: date, at }
    if (!this.#waiting.has(entry) && this.#waiting.size >= this.#limits.waiting) {
      if (this.#isDue('drop')) this.#options.onDropped(report)
      return
    }
    entry.count++
    entry.last = date
    entry.at = at
    this.#recent.delete(key)
    this.#recent.set(key, entry)
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= this.#limits.recent) break
      this.#recent.delete(oldest)
    }
    this.#waiting.add(entry)
    this.#writeOn()
  }

  /** Resolves when nothing waits to be written any more. What still waits after the time of one request is given up: nobody answers. */
  async flush(): Promise<void> {
    const written = new AbortController()
    const late = this.#clock.sleep(this.#limits.request, written.signal).then(() => this.#waiting.clear())
    while (this.#writing.size > 0) await Promise.all(this.#writing.values())
    written.abort()
    await late
  }

  #writeOn(): void {
    for (const entry of this.#waiting) {
      if (this.#writing.size >= this.#limits.writers) return
      // Its next count is written after the one that is under way.
      if (this.#writing.has(entry)) continue
      this.#waiting.delete(entry)
      const written = this.#write(entry).finally(() => {
        this.#writing.delete(entry)
        this.#writeOn()
      })
      this.#writing.set(entry, written)
    }
  }

  async #write(entry: Entry): Promise<void> {
    try {
      if (entry.name === undefined || !(await this.#extend(entry, entry.name))) await this.#create(entry)
    } catch (error) {
      if (!isOfGoneNamespace(error) && this.#isDue('error')) this.#options.onError(error)
    }
  }

  /** Whether it is time to tell of one of these again; the silence after it begins now. */
  #isDue(what: 'error' | 'drop'): boolean {
    const now = this.#clock.now()
    if (now - this.#toldAt[what] < this.#limits.silence) return false
    this.#toldAt[what] = now
    return true
  }

  /** Counts on in the Event that there is. False where it is gone: it lives for an hour, and anybody may delete it. */
  async #extend(entry: Entry, name: string): Promise<boolean> {
    const { client } = this.#options
    const { request } = this.#limits
    try {
      const event = { namespace: this.#namespace(entry), name }
      await client.mergePatch('Event', event, this.#series(entry), AbortSignal.timeout(request))
      return true
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false
      throw error
    }
  }

  async #create(entry: Entry): Promise<void> {
    const { client, identity } = this.#options
    const { regarding, type, reason, action, note } = entry.report
    const { namespace, ...clusterScoped } = regarding
    const name = eventName(regarding.name)
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: this.#namespace(entry), name },
      eventTime: microTime(entry.first),
      ...this.#series(entry),
      reportingController: 'meshvip.dev/meshvip',
      reportingInstance: cut(identity, maxInstance),
      type,
      reason,
      action,
      regarding: namespace === '' ? clusterScoped : regarding,
      note,
    }
    await client.create('Event', event, { dryRun: false }, AbortSignal.timeout(this.#limits.request))
    entry.name = name
  }

  /** The API server takes no series of one. */
  #series({ count, last }: Entry): object {
    return count === 1 ? {} : { series: { count, lastObservedTime: microTime(last) } }
  }

  /** Events of what has no namespace have to be in this one (kubernetes pkg/apis/core/validation/events.go). */
  #namespace({ report }: Entry): string {
    return report.regarding.namespace === '' ? 'default' : report.regarding.namespace
  }
}
