import type { X509Certificate } from 'node:crypto'
import { Fields } from '../api/fields.ts'
import type { NamespacedName } from '../api/metadata.ts'
import { makeServingCertificate } from '../certificates/self-made.ts'
import { readTLSSecret, storeCertificate, whyIssue } from '../certificates/tls-secret.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { type Clock, systemClock } from '../kubernetes/clock.ts'
import { whyNotReached } from './proof.ts'
import { hopsOf, isAmong, isStillProven } from './published.ts'
import { configurationName, type Registration, webhookConfigurations } from './webhook-configurations.ts'

/** All times in milliseconds. */
export type RegistrarTimes = {
  /** From one look to the next, */
  interval: number
  /** and as long as the way to us is not proved. */
  unprovenInterval: number
  /** How long a CA that signed what others may still serve is trusted beside the one that is now in the Secret. */
  overlap: number
  /** How long what we make is valid; it is renewed when two thirds of that are over. */
  lifetime: number
}

const defaultTimes: RegistrarTimes = {
  interval: 10_000,
  unprovenInterval: 2_000,
  overlap: 10 * 60_000,
  lifetime: 90 * 24 * 60 * 60_000,
}

export type RegistrarOptions = {
  client: Pick<KubernetesClient, 'get' | 'create' | 'mergePatch' | 'apply'>
  /** Where and as what we are registered; the rest is settled here. */
  registration: Required<Pick<Registration, 'endpoint' | 'ownNamespace'>>
  clusterDomain: string
  /** The Secret with our serving certificate. */
  secret: NamespacedName
  /** The names that the certificate must be for, where it is us who make it; somebody else does where they are left out. */
  issueFor: readonly string[] | undefined
  /** Told of a certificate that was made, and why. */
  onIssued(why: string): void
  /** Told when the configurations were changed by us, and whether everything fails open in them. */
  onWritten(failOpen: boolean): void
  /** Told what keeps us from it: once while it stays the same. All is tried again. */
  onError(error: unknown): void
  times?: Partial<RegistrarTimes>
  clock?: Clock
}

/** In the order in which they are asked. */
export const configurationKinds = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const

const generationOf = (object: unknown): unknown => new Fields(object).object('metadata').raw('generation')

/**
 * Keeps the registration of the webhook as it is to be, on the elected replica: both configurations, server-side applied into the
 * objects that the chart made, and where we make our own certificates the Secret with them. It looks again and again, at the API server
 * and at the calendar, and writes what is not so; nothing is remembered that matters, so any replica may go on.
 *
 * Nobody is refused because of us before it is proved that the API server reaches us: until then everything fails open. So it does again
 * when the way to us becomes another one.
 */
export class Registrar {
  readonly #options: RegistrarOptions
  readonly #times: RegistrarTimes
  readonly #clock: Clock
  /** Since when CAs that are published are no more in the Secret, by fingerprint. */
  #superseded = new Map<string, number>()
  #told: string | undefined

  constructor(options: RegistrarOptions) {
    this.#options = options
    this.#times = { ...defaultTimes, ...options.times }
    this.#clock = options.clock ?? systemClock
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    this.#superseded.clear()
    while (!signal.aborted) {
      const isProven = await this.#attempt(signal)
      await this.#clock.sleep(isProven ? this.#times.interval : this.#times.unprovenInterval, signal)
    }
  }

  /** Whether all is as it is to be. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      const problem = await this.#look(signal)
      if (problem !== undefined) throw new Error(`everything fails open until the API server reaches us: ${problem}`)
      this.#told = undefined
      return true
    } catch (error) {
      if (!signal.aborted && String(error) !== this.#told) this.#options.onError(error)
      this.#told = String(error)
      return false
    }
  }

  /** Writes what is not as it is to be. Resolves to why we are not proved to be reached, or to undefined where we are. */
  async #look(signal: AbortSignal): Promise<string | undefined> {
    const { client, registration } = this.#options
    const present = await Promise.all(configurationKinds.map((kind) => this.#configuration(kind, signal)))
    const { cas } = await this.#certificate(signal)
    const hops = present.flatMap(hopsOf)
    const published = hops.flatMap((hop) => hop.cas)
    const caBundle = [...cas, ...this.#stillServed(published, cas)].map(String).join('')
    const wanted = this.#configurations({ caBundle, failOpen: false })
    if (isStillProven(hops, wanted.flatMap(hopsOf))) {
      await this.#write(present, wanted, false, signal)
      return undefined
    }
    await this.#write(present, this.#configurations({ caBundle, failOpen: true }), true, signal)
    const problem = await whyNotReached(client, registration.ownNamespace, signal)
    if (problem === undefined) await this.#write(present, wanted, false, signal)
    return problem
  }

  async #configuration(kind: (typeof configurationKinds)[number], signal: AbortSignal): Promise<unknown> {
    const present = await this.#options.client.get(kind, { namespace: '', name: configurationName }, signal)
    // To make one is left to the chart: what somebody removed, to be rid of us, stays removed.
    if (present === undefined) throw new Error(`there is no ${kind} ${configurationName}: helm upgrade makes it again`)
    return present
  }

  #configurations(settled: { caBundle: string; failOpen: boolean }) {
    const { registration, clusterDomain } = this.#options
    const { mutating, validating } = webhookConfigurations({ ...registration, clusterDomain, ...settled })
    return [mutating, validating]
  }

  /** Writes both configurations; the API server changes nothing where they are so already. */
  async #write(present: unknown[], wanted: object[], failOpen: boolean, signal: AbortSignal): Promise<void> {
    let isChanged = false
    for (const [index, configuration] of wanted.entries()) {
      const was = present[index]
      const uid = String(new Fields(was).object('metadata').raw('uid'))
      const kind = configurationKinds[index] as (typeof configurationKinds)[number]
      const metadata = { namespace: '', name: configurationName, uid }
      const written = await this.#options.client.apply(kind, { ...configuration, metadata }, signal)
      isChanged ||= generationOf(written) !== generationOf(was)
      present[index] = written
    }
    if (isChanged) this.#options.onWritten(failOpen)
  }

  /** What is in the Secret; made anew first, where that is for us to do and time for it. */
  async #certificate(signal: AbortSignal) {
    const { client, secret, issueFor, onIssued } = this.#options
    const present = await client.get('Secret', secret, signal)
    if (issueFor === undefined) return readTLSSecret(present)
    const why = whyIssue(present, issueFor, this.#clock.date())
    if (why === undefined) return readTLSSecret(present)
    const made = await makeServingCertificate(issueFor, this.#clock.date(), this.#times.lifetime)
    const written = await storeCertificate(client, secret, present, made, signal)
    onIssued(why)
    return readTLSSecret(written)
  }

  /** The CAs that are published and no more in the Secret, as long as others may still serve what they signed. */
  #stillServed(published: readonly X509Certificate[], own: readonly X509Certificate[]): X509Certificate[] {
    const now = this.#clock.now()
    const before = this.#superseded
    this.#superseded = new Map()
    const kept = new Map<string, X509Certificate>()
    for (const ca of published) {
      const { fingerprint256 } = ca
      if (isAmong(ca, own) || kept.has(fingerprint256)) continue
      const since = before.get(fingerprint256) ?? now
      if (now - since >= this.#times.overlap || ca.validToDate.getTime() < this.#clock.date().getTime()) continue
      this.#superseded.set(fingerprint256, since)
      kept.set(fingerprint256, ca)
    }
    return [...kept.values()]
  }
}
