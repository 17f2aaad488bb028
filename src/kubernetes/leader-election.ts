import { randomBytes } from 'node:crypto'
import { Fields } from '../api/fields.ts'
import type { NamespacedName } from '../api/metadata.ts'
import { ApiError, type KubernetesClient } from './client.ts'
import { type Clock, microTime, systemClock } from './clock.ts'

/** All times in milliseconds. */
export type ElectionTimes = {
  /** How long the others wait after the last sign of life that they saw of the holder. */
  leaseDuration: number
  /**
   * How long the holder leads on after it sent the last renewal that went through. Shorter than leaseDuration by what `lead` may take
   * to end, and by what clocks and timers may be wrong.
   */
  renewDeadline: number
  /** From one attempt to the next. */
  retryPeriod: number
}

/** As Kubernetes' own components have them (component-base config/v1alpha1/defaults.go). */
const defaultTimes: ElectionTimes = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 }

/** Those who wait for the Lease wait longer by up to this factor, at random (client-go tools/leaderelection, JitterFactor). */
const jitter = 1.2

export type LeaderElectionOptions = {
  client: Pick<KubernetesClient, 'get' | 'create' | 'mergePatch'>
  lease: NamespacedName
  /** Who we are. The Lease shows it with something random after it, `<identity>_<random>`, so that each process is another holder. */
  identity: string
  /** Told who holds the Lease as far as we see, whenever that changes; undefined where nobody does. */
  onChange?(holder: string | undefined): void
  /** Told why `lead` failed, and why the Lease cannot be read or written: once while the reason stays the same. All is tried again. */
  onError(error: unknown): void
  times?: Partial<ElectionTimes>
  clock?: Clock
}

/** When the present holder came by the Lease, and after how many others. */
type Term = { acquireTime: string; leaseTransitions: number }

/** A Lease as we saw it. */
type Seen = Term & {
  /** Empty where it has none. */
  holder: string
  resourceVersion: string
  /** The whole spec: as long as this is the same, its holder has given no sign of life. */
  spec: string
  /** When we saw this spec for the first time, by our own clock. */
  since: number
  /** How long it holds from then on. */
  duration: number
}

const statusOf = (error: unknown): number => (error instanceof ApiError ? error.status : 0)

const isPositive = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0

/**
 * Sees to it that of several replicas one leads at a time, by a coordination.k8s.io/v1 Lease as client-go's tools/leaderelection uses it,
 * so that `kubectl get lease` shows who does. It takes no clock but its own for granted, and of that only that it runs about as fast as
 * the others'.
 *
 * In two things it is stricter than client-go. Nobody has to see to it that identities are unique. And a Lease that is deleted is not
 * made anew before whoever held it must have stopped; only who never saw one makes it at once.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions
  readonly #times: ElectionTimes
  readonly #clock: Clock
  readonly #identity: string
  /** The Lease when we last saw it. */
  #seen: Seen | undefined
  /** When we first saw that it is there no more. */
  #goneSince: number | undefined
  /** Whether the Lease may be ours, as far as we know: that it is may not have reached us. */
  #mayBeOurs = false
  #deadline = Number.NEGATIVE_INFINITY
  #holder: string | undefined
  #told: string | undefined

  constructor(options: LeaderElectionOptions) {
    this.#options = options
    this.#times = { ...defaultTimes, ...options.times }
    this.#clock = options.clock ?? systemClock
    this.#identity = `${options.identity}_${randomBytes(4).toString('hex')}`
    const { leaseDuration, renewDeadline, retryPeriod } = this.#times
    if (!(leaseDuration > renewDeadline && renewDeadline > retryPeriod * (1 + jitter) && retryPeriod > 0)) {
      throw new RangeError(
        'leaseDuration must be longer than renewDeadline, and that longer than 2.2 times retryPeriod',
      )
    }
  }

  /** Whether we hold the Lease, and no other replica can have taken it. Exact even where a timer is late to end `lead`. */
  get isLeader(): boolean {
    return this.#clock.now() < this.#deadline
  }

  /**
   * Runs until the signal is aborted. Whenever we hold the Lease it calls `lead`, whose signal is aborted as soon as the Lease is lost or
   * we are to end; until `lead` has ended, nothing else is done. A `lead` that ends of itself gives the Lease up for others to try.
   */
  async run(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let wait = this.#times.retryPeriod
      const isTaken = await this.#attempt(() => this.#take(signal), signal)
      if (isTaken && !signal.aborted) wait = await this.#reign(lead, signal)
      await this.#clock.sleep(wait * (1 + Math.random() * jitter), signal)
    }
    await this.#release()
  }

  /** Calls `lead`, and keeps the Lease meanwhile. How long to wait before the next attempt. */
  async #reign(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<number> {
    const lost = new AbortController()
    const ended = new AbortController()
    const either = AbortSignal.any([signal, lost.signal])
    const leading = (async () => {
      try {
        await lead(either)
      } catch (error) {
        // What ends because it is told to may say so by an error.
        if (!either.aborted) this.#options.onError(error)
      } finally {
        ended.abort()
      }
    })()
    await this.#keep(ended.signal)
    if (ended.signal.aborted) {
      await this.#release()
      return this.#times.leaseDuration
    }
    lost.abort()
    await leading
    return this.#times.retryPeriod
  }

  /** Renews the Lease until it is lost, or `lead` has ended. */
  async #keep(ended: AbortSignal): Promise<void> {
    while (this.isLeader && !ended.aborted) {
      await this.#clock.sleep(Math.min(this.#times.retryPeriod, this.#deadline - this.#clock.now()), ended)
      if (this.isLeader && !ended.aborted) await this.#attempt(() => this.#renew(ended), ended)
    }
  }

  /** Whether an attempt came to what it was for. */
  async #attempt(attempt: () => Promise<boolean>, signal: AbortSignal): Promise<boolean> {
    try {
      const isDone = await attempt()
      this.#told = undefined
      return isDone
    } catch (error) {
      // Another was faster: the next look shows who.
      if (statusOf(error) === 409 || signal.aborted) return false
      const message = String(error)
      if (message !== this.#told) this.#options.onError(error)
      this.#told = message
      return false
    }
  }

  /** Takes the Lease where nobody holds it. Whether we have it. */
  async #take(signal: AbortSignal): Promise<boolean> {
    const until = this.#endOfAttempt()
    const present = await this.#look(until, signal)
    if (present?.holder === this.#identity) {
      await this.#write(present, present, until)
      return true
    }
    if (this.#clock.now() < this.#heldUntil(present)) return false
    const leaseTransitions = (this.#seen?.leaseTransitions ?? -1) + 1
    await this.#write(present, { acquireTime: microTime(this.#clock.date()), leaseTransitions }, until)
    return true
  }

  /** Renews the Lease, or finds it lost. Whether we have it. */
  async #renew(ended: AbortSignal): Promise<boolean> {
    // Nothing may keep us beyond the deadline, since it is us who must notice it.
    const until = Math.min(this.#endOfAttempt(), this.#deadline)
    try {
      const seen = this.#seen as Seen
      await this.#write(seen, seen, until)
      return true
    } catch (error) {
      if (statusOf(error) !== 409 && statusOf(error) !== 404) throw error
    }
    // It was changed by others, or by a renewal whose answer did not reach us.
    const present = await this.#look(until, ended)
    if (present?.holder !== this.#identity) {
      this.#deadline = Number.NEGATIVE_INFINITY
      return false
    }
    await this.#write(present, present, until)
    return true
  }

  /** Gives the Lease up where it may be ours, so that nobody has to wait until it runs out. That is a courtesy: it may fail. */
  async #release(): Promise<void> {
    this.#deadline = Number.NEGATIVE_INFINITY
    if (!this.#mayBeOurs) return
    const { client, lease } = this.#options
    const until = this.#endOfAttempt()
    try {
      const present = await this.#look(until)
      if (present?.holder !== this.#identity) return
      const now = microTime(this.#clock.date())
      const patch = {
        metadata: { resourceVersion: present.resourceVersion },
        spec: { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now },
      }
      this.#see(await this.#ask(until, (timely) => client.mergePatch('Lease', lease, patch, timely)))
    } catch {
      // It runs out by itself.
    } finally {
      this.#mayBeOurs = false
    }
  }

  /** When an attempt is given up: early enough for another one, over another connection. */
  #endOfAttempt(): number {
    return this.#clock.now() + this.#times.renewDeadline / 2
  }

  /** Until when another may believe that it holds the Lease: what it wrote last has not run out since we saw it. */
  #heldUntil(present: Seen | undefined): number {
    if (present !== undefined)
      return present.holder === '' ? Number.NEGATIVE_INFINITY : present.since + present.duration
    if (this.#seen === undefined || this.#goneSince === undefined) return Number.NEGATIVE_INFINITY
    return this.#goneSince + Math.max(this.#seen.duration, this.#times.leaseDuration)
  }

  async #look(until: number, signal?: AbortSignal): Promise<Seen | undefined> {
    const { client, lease } = this.#options
    const present = await this.#ask(until, (timely) => client.get('Lease', lease, timely), signal)
    if (present !== undefined) return this.#see(present)
    this.#goneSince ??= this.#clock.now()
    this.#tellHolder(undefined)
    return undefined
  }

  /** Writes our term over what is present, or into a new Lease. Not to be cut short: whether it went through would be unknown. */
  async #write(present: Seen | undefined, { acquireTime, leaseTransitions }: Term, until: number): Promise<void> {
    const { client, lease } = this.#options
    const { leaseDuration, renewDeadline } = this.#times
    this.#mayBeOurs = true
    const sent = this.#clock.now()
    const spec = {
      holderIdentity: this.#identity,
      leaseDurationSeconds: Math.ceil(leaseDuration / 1000),
      acquireTime,
      leaseTransitions,
      renewTime: microTime(this.#clock.date()),
    }
    const answer = await this.#ask(until, (timely) => {
      if (present === undefined) {
        const object = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: lease, spec }
        return client.create('Lease', object, { dryRun: false }, timely)
      }
      const patch = { metadata: { resourceVersion: present.resourceVersion }, spec }
      return client.mergePatch('Lease', lease, patch, timely)
    })
    this.#see(answer)
    this.#deadline = sent + renewDeadline
  }

  /** Takes in a Lease as the API server has it. A field that is not as its API defines it counts as if it were not there. */
  #see(object: unknown): Seen {
    const lease = new Fields(object)
    const spec = lease.object('spec')
    const text = JSON.stringify(spec.value)
    const [duration, transitions] = [spec.raw('leaseDurationSeconds'), spec.raw('leaseTransitions')]
    const seen = {
      holder: String(spec.raw('holderIdentity') ?? ''),
      resourceVersion: String(lease.object('metadata').raw('resourceVersion')),
      acquireTime: String(spec.raw('acquireTime')),
      leaseTransitions: isPositive(transitions) ? transitions : 0,
      spec: text,
      since: this.#seen?.spec === text ? this.#seen.since : this.#clock.now(),
      duration: isPositive(duration) ? duration * 1000 : this.#times.leaseDuration,
    }
    this.#seen = seen
    this.#goneSince = undefined
    this.#tellHolder(seen.holder === '' ? undefined : seen.holder)
    return seen
  }

  #tellHolder(holder: string | undefined): void {
    if (holder === this.#holder) return
    this.#holder = holder
    this.#options.onChange?.(holder)
  }

  /** A request, but not beyond a time, nor an abort: even where it heeds no signal, as while a program is asked for credentials. */
  async #ask<T>(until: number, request: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const over = new AbortController()
    const timely = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal])
    const late = this.#clock.sleep(until - this.#clock.now(), timely).then(() => {
      throw new ApiError(0, 'the API server does not answer in time')
    })
    try {
      return await Promise.race([request(timely), late])
    } finally {
      over.abort()
    }
  }
}
