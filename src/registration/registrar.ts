import type { X509Certificate } from 'node:crypto'
import { Fields } from '../api/fields.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { ServingCertificate } from '../certificates/self-made.ts'
import {
  isAmong,
  isValid,
  readTLSSecret,
  storeCertificate,
  type TLSSecret,
  whyIssue,
} from '../certificates/tls-secret.ts'
import { defaultLifetime } from '../certificates/validity.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { type Clock, systemClock } from '../kubernetes/clock.ts'
import { Complaint } from '../kubernetes/complaint.ts'
import { whyNotReached } from './proof.ts'
import { failsClosed, hopsOf, isStillProven, type PublishedHop } from './published.ts'
import { configurationName, type Registration, serverName, webhookConfigurations } from './webhook-configurations.ts'

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
  lifetime: defaultLifetime,
}

export type RegistrarOptions = {
  client: Pick<KubernetesClient, 'get' | 'create' | 'mergePatch'>
  /** Where and as what we are registered; the rest is settled here. */
  registration: Required<Pick<Registration, 'endpoint' | 'ownNamespace'>>
  clusterDomain: string
  /** The Secret with our serving certificate. */
  secret: NamespacedName
  /** The names that the certificate must be for, where it is us who make it; somebody else does where they are left out. */
  issueFor: readonly string[] | undefined
  /** Makes one, valid for so many milliseconds. */
  make(names: readonly string[], now: Date, lifetime: number): Promise<ServingCertificate>
  /** Told of a certificate that was made, and why. */
  onIssued(why: string): void
  /** Told when the configurations were changed by us, and whether everything fails open in them. */
  onWritten(failOpen: boolean): void
  /** Told at each look, and where we wrote them, whether something that is to fail closed does not, whatever keeps it from that. */
  onState(failOpen: boolean): void
  /** Told what keeps us from it: once while it stays the same. All is tried again. */
  onError(error: unknown): void
  times?: Partial<RegistrarTimes>
  clock?: Clock
}

/** Milliseconds for all requests of a look: a connection that is silently dead must not end the care. */
const lookTimeout = 30_000

/** In the order in which they are asked. */
export const configurationKinds = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const

type ConfigurationKind = (typeof configurationKinds)[number]

/** A configuration as the API server has it, and its hops. */
type Present = { kind: ConfigurationKind; object: unknown; hops: readonly PublishedHop[] }

const read = (kind: ConfigurationKind, object: unknown): Present => ({ kind, object, hops: hopsOf(object) })

const configuration = { namespace: '', name: configurationName }

/** The configurations that there are. One after the other: where both cannot be read, that is always told of the same one. */
export const presentConfigurations = async (
  client: Pick<KubernetesClient, 'get'>,
  signal: AbortSignal,
): Promise<Present[]> => {
  const present: Present[] = []
  for (const kind of configurationKinds) {
    const object = await client.get(kind, configuration, signal)
    if (object !== undefined) present.push(read(kind, object))
  }
  return present
}

const generationOf = (object: unknown): unknown => new Fields(object).object('metadata').raw('generation')

/**
 * Keeps the registration of the webhook as it is to be, on the elected replica: both configurations, patched into the objects that the
 * chart made, and where we make our own certificates the Secret with them. It looks again and again, at the API server
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
  readonly #complaint: Complaint

  constructor(options: RegistrarOptions) {
    this.#options = options
    this.#times = { ...defaultTimes, ...options.times }
    this.#clock = options.clock ?? systemClock
    this.#complaint = new Complaint(options.onError)
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    this.#superseded.clear()
    while (!signal.aborted) {
      const isWell = await this.#attempt(signal)
      await this.#clock.sleep(isWell ? this.#times.interval : this.#times.unprovenInterval, signal)
    }
  }

  /** Whether all is as it is to be. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#look(AbortSignal.any([signal, AbortSignal.timeout(lookTimeout)]))
      this.#complaint.end()
      return true
    } catch (error) {
      // Another was faster to write: the next look shows what.
      const isOvertaken = error instanceof ApiError && error.status === 409
      if (!signal.aborted && !isOvertaken) this.#complaint.tell(error)
      return false
    }
  }

  /** Writes what is not as it is to be. Throws what keeps us from it. */
  async #look(signal: AbortSignal): Promise<void> {
    const present = await presentConfigurations(this.#options.client, signal)
    this.#tellState(present)
    const absent = configurationKinds.filter((kind) => !present.some((other) => other.kind === kind))
    if (present.length > 0) await this.#settle(present, signal)
    // To make one is left to the chart: what somebody removed, to be rid of us, stays removed.
    if (absent.length > 0)
      throw new Error(`there is no ${absent.join(' and no ')} ${configurationName}: helm upgrade makes it again`)
  }

  /** Writes the configurations that are there, and proves the way to us where that is not proved. */
  async #settle(present: readonly Present[], signal: AbortSignal): Promise<void> {
    const { client, registration } = this.#options
    const certificate = await this.#certificate(signal)
    const published = present.flatMap(({ hops }) => hops).flatMap((hop) => hop.cas)
    const caBundle = [...certificate.cas, ...this.#stillServed(published, certificate)].map(String).join('')
    const wanted = this.#wanted({ caBundle, failOpen: false })
    if (present.every(({ kind, hops }) => isStillProven(hops, hopsOf(wanted[kind])))) {
      await this.#write(present, wanted, false, signal)
      return
    }
    const open = this.#wanted({ caBundle, failOpen: true })
    const opened = await this.#write(present, open, true, signal)
    const way = { endpoint: registration.endpoint, caBundle }
    const problem = await whyNotReached(client, registration.ownNamespace, way, signal)
    if (problem !== undefined) throw new Error(`everything fails open until the API server reaches us: ${problem}`)
    await this.#write(opened, wanted, false, signal)
  }

  #wanted(settled: { caBundle: string; failOpen: boolean }): Record<ConfigurationKind, object> {
    const { registration, clusterDomain } = this.#options
    const { mutating, validating } = webhookConfigurations({ ...registration, clusterDomain, ...settled })
    return { MutatingWebhookConfiguration: mutating, ValidatingWebhookConfiguration: validating }
  }

  /**
   * Writes the configurations; the API server changes nothing where they are so already. Resolves to them as they are then. All entries
   * are replaced: by a server-side apply there would stay what others added, be it a condition by which an entry is never asked.
   */
  async #write(
    present: readonly Present[],
    wanted: Record<ConfigurationKind, object>,
    failOpen: boolean,
    signal: AbortSignal,
  ): Promise<Present[]> {
    const { client, onWritten } = this.#options
    const written: Present[] = []
    for (const { kind, object } of present) {
      const { uid, resourceVersion } = new Fields(object).object('metadata').value as {
        uid: string
        resourceVersion: string
      }
      const patch = { ...wanted[kind], metadata: { uid, resourceVersion } }
      written.push(read(kind, await client.mergePatch(kind, configuration, patch, signal)))
    }
    if (written.some(({ object }, index) => generationOf(object) !== generationOf(present[index]?.object)))
      onWritten(failOpen)
    this.#tellState(written)
    return written
  }

  #tellState(present: readonly Present[]): void {
    const wanted = this.#wanted({ caBundle: '', failOpen: false })
    const isClosed = configurationKinds.every((kind) => {
      const found = present.find((other) => other.kind === kind)
      return failsClosed(found?.hops ?? [], hopsOf(wanted[kind]))
    })
    this.#options.onState(!isClosed)
  }

  /** What is in the Secret; made anew first, where that is for us to do and time for it. */
  async #certificate(signal: AbortSignal) {
    const { client, registration, secret, issueFor, make, onIssued } = this.#options
    const ourName = serverName(registration.endpoint)
    const present = await client.get('Secret', secret, signal)
    if (issueFor === undefined) return readTLSSecret(present, ourName)
    const why = whyIssue(present, issueFor, this.#clock.date())
    if (why === undefined) return readTLSSecret(present, ourName)
    const made = await make(issueFor, this.#clock.date(), this.#times.lifetime)
    const written = await storeCertificate(client, secret, present, made, signal)
    onIssued(why)
    return readTLSSecret(written, ourName)
  }

  /**
   * The CAs that are published and no more in the Secret, as long as others may still serve what they signed. Who has a valid certificate
   * goes on with it while the one in the Secret is none, however long that is.
   */
  #stillServed(published: readonly X509Certificate[], { leaf, cas }: TLSSecret): X509Certificate[] {
    const others = new Map(
      published.filter((ca) => !isAmong(ca, cas)).map((ca): [string, X509Certificate] => [ca.fingerprint256, ca]),
    )
    const [now, date] = [this.#clock.now(), this.#clock.date()]
    const before = isValid(leaf, date) ? this.#superseded : new Map<string, number>()
    this.#superseded = new Map([...others.keys()].map((fingerprint) => [fingerprint, before.get(fingerprint) ?? now]))
    return [...others].flatMap(([fingerprint, ca]) => {
      const since = this.#superseded.get(fingerprint) as number
      return now - since < this.#times.overlap && date <= ca.validToDate ? [ca] : []
    })
  }
}
