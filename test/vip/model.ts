/**
 * A cluster of which every step is chosen: an API server in memory, replicas of meshvip as they are, and those who write Services.
 * Whatever one of them sends to another is on its way until the schedule lets it arrive, late or not at all.
 */
import { isDeepStrictEqual } from 'node:util'
import jsonPatch, { type Operation } from 'fast-json-patch'
import { liveBackend } from '../../src/admission/backend.ts'
import { mutate } from '../../src/admission/mutate.ts'
import type { AdmissionRequest, Answer } from '../../src/admission/review.ts'
import { validate } from '../../src/admission/validate.ts'
import { releasedAnnotation } from '../../src/api/ip-address.ts'
import { type Kind, type ResourceKind, resources } from '../../src/api/kinds.ts'
import type { NamespacedName } from '../../src/api/metadata.ts'
import { ApiError, KubernetesClient, type Selection } from '../../src/kubernetes/client.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { Janitor } from '../../src/vip/janitor.ts'
import { ledger } from '../../src/vip/ledger.ts'
import { createPool, inPool } from '../../src/vip/pools.ts'
import { mergePatched } from '../support/fake-api-server.ts'
import { kubeConfigOf } from '../support/kubeconfig.ts'
import { claim, meshNamespace, service } from '../support/objects.ts'
import { requestFor } from '../support/reviews.ts'

/** The API server gives a request so many milliseconds, admission included. */
const requestLimit = 60_000

/** Longer than the janitor's grace. */
const pastGrace = 76_000

type Metadata = {
  namespace?: string
  name: string
  uid: string
  resourceVersion: string
  creationTimestamp: string
  [field: string]: unknown
}
export type Stored = {
  kind: Kind
  metadata: Metadata
  spec: { externalIPs?: string[]; parentRef?: NamespacedName }
}

type StoredEvent = { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: unknown }

/** What becomes of something on its way: it arrives and is answered, is answered late, does not arrive, arrives and is not answered. */
export type Fate = 'answered' | 'late' | 'lost' | 'unanswered'
type Transit = {
  what: string
  /** Of whoever waits for an answer; aborted where he does not any more. */
  signal?: AbortSignal
  forsake?(): void
  arrive(fate: Fate, replica: number): void
}

type Watch = {
  client: KubernetesClient
  kind: Kind
  signal: AbortSignal
  held: StoredEvent[][]
  told: StoredEvent[]
  wake(error?: Error): void
}

const status = (code: number, text: string): ApiError => new ApiError(code, text)
const unreachable = (): ApiError => new ApiError(0, 'the API server cannot be reached')

/** A kubectl or a GitOps tool: what it makes of a Service that is there, or is not. */
const drafts = {
  /** Applies a virtual host: what it does not list stays as it is. */
  apply: (before?: Stored) => ({ externalIPs: before?.spec.externalIPs }),
  /** Replaces it: what is not listed is gone. */
  replace: () => ({}),
  /** Lists an address of the pool. */
  pick: (_before: Stored | undefined, address: string) => ({ externalIPs: [address] }),
  /** Makes an ordinary Service of it. */
  ordinary: (before?: Stored) => ({ externalIPs: before?.spec.externalIPs, selector: { app: 'orders' } }),
  /** Makes an ordinary Service of it that lists an address of the pool. */
  'ordinary pick': (_before: Stored | undefined, address: string) => ({
    externalIPs: [address],
    selector: { app: 'orders' },
  }),
} as const

export type Write = {
  name: string
  draft: keyof typeof drafts
  /** Which address of the pool it lists, where it does. */
  pick: number
  port: number
  dryRun: boolean
  /** Refused by others, after mutation. */
  refused: boolean
}

/** A Service that was there before us; one that has an address by us, unless another has it; or one that had it, and left a claim. */
export type Seed = { name: string; pick: number; is: 'legacy' | 'claimed' | 'gone' | 'released' }

const externalIPsOf = (stored: Stored): string[] => stored.spec.externalIPs ?? []

/** Resolves when nobody has anything to do before something on its way arrives. */
export const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

const config = kubeConfigOf({ server: 'http://127.0.0.1:1' })

class ModelClient extends KubernetesClient {
  readonly #model: Model
  readonly #who: string

  constructor(model: Model, who: string) {
    super(config)
    this.#model = model
    this.#who = who
  }

  #send<T>(what: string, signal: AbortSignal, run: () => T): Promise<T> {
    return this.#model.request(`${this.#who}: ${what}`, signal, run)
  }

  override get(kind: ResourceKind, { namespace, name }: NamespacedName, signal: AbortSignal): Promise<unknown> {
    return this.#send(`get ${kind} ${name}`, signal, () => this.#model.stored(kind, namespace, name))
  }

  /** In one page, of which all other lists are made. */
  override async *pages(kind: ResourceKind, _selection: Selection, signal: AbortSignal) {
    yield await this.#send(`list ${kind}`, signal, () => this.#model.list(kind))
  }

  override async watch(kind: ResourceKind, _query: object, signal: AbortSignal) {
    return this.#model.watch(this, kind as Kind, signal)
  }

  override create(kind: ResourceKind, object: unknown, { dryRun }: { dryRun: boolean }, signal: AbortSignal) {
    const { metadata } = object as Stored
    return this.#send(`create ${kind} ${metadata.name}${dryRun ? ' in a dry run' : ''}`, signal, () => {
      if (this.#model.stored(kind, metadata.namespace, metadata.name) !== undefined) throw status(409, 'AlreadyExists')
      return dryRun ? object : this.#model.put(object as Stored)
    })
  }

  override delete(
    kind: ResourceKind,
    { namespace, name }: NamespacedName,
    was: { uid: string; resourceVersion: string },
    signal: AbortSignal,
  ) {
    return this.#send(`delete ${kind} ${name}`, signal, () => {
      const present = this.#found(kind, namespace, name)
      const { uid, resourceVersion } = present.metadata
      if ((was.uid ?? uid) !== uid || (was.resourceVersion ?? resourceVersion) !== resourceVersion)
        throw status(409, 'Conflict')
      this.#model.remove(present)
      return {}
    })
  }

  override mergePatch(kind: ResourceKind, { namespace, name }: NamespacedName, patch: unknown, signal: AbortSignal) {
    return this.#send(`patch ${kind} ${name}`, signal, () => {
      const present = this.#found(kind, namespace, name)
      const merged = mergePatched(present, patch) as Stored
      if (merged.metadata.resourceVersion !== present.metadata.resourceVersion) throw status(409, 'Conflict')
      // apiserver pkg/storage/etcd3/store.go, GuaranteedUpdate: what changes nothing is not written.
      return isDeepStrictEqual(merged, present) ? present : this.#model.put(merged)
    })
  }

  #found(kind: ResourceKind, namespace: string, name: string): Stored {
    const present = this.#model.stored(kind, namespace, name)
    if (present === undefined) throw status(404, 'NotFound')
    return present
  }
}

/** One process of meshvip, with its view and its janitor. */
class Replica {
  readonly name: string
  readonly backend: ReturnType<typeof liveBackend>
  readonly #model: Model
  readonly client: ModelClient
  readonly #process = new AbortController()
  #term = new AbortController()
  readonly #running: Promise<void>[] = []

  constructor(model: Model, name: string) {
    this.name = name
    this.#model = model
    this.client = new ModelClient(model, name)
    this.backend = liveBackend({
      client: this.client,
      clusterDomain: model.policy.clusterDomain,
      onError: (_, error) => model.note(error),
    })
    this.#running.push(this.backend.cluster.run(this.signal))
    this.#begin()
  }

  get signal(): AbortSignal {
    return this.#process.signal
  }

  #begin(): void {
    const { claims, cluster } = this.backend
    const janitor = new Janitor({
      client: this.client,
      claims,
      records: () => cluster.addresses && ledger(cluster.addresses, this.#model.policy),
      onCollected: () => {},
      onAdopted: () => {},
      onError: (error) => this.#model.note(error),
      now: () => this.#model.clock,
    })
    this.#running.push(janitor.run(this.#term.signal))
  }

  /** The janitor looks again, unless it is still at it. */
  look(): void {
    this.#model.wake(this.#term.signal)
  }

  /** The janitor's term ends, and another begins; what it has sent is on its way. */
  depose(): void {
    this.#term.abort()
    this.#term = new AbortController()
    this.#begin()
  }

  async end(): Promise<void> {
    this.#process.abort()
    this.#term.abort()
    this.#model.forsake()
    await Promise.all(this.#running)
  }
}

export class Model {
  readonly policy: Policy
  /** Milliseconds by the clock that nobody sets, */
  clock = 0
  /** and how far the other one is off. */
  skew = 0
  /** What happened, for whoever reads of a failure. */
  readonly history: string[] = []
  /** What must not have happened. */
  readonly wrong: string[] = []
  readonly #objects = new Map<string, Stored>()
  readonly #transits: Transit[] = []
  readonly #watches = new Set<Watch>()
  readonly #sleepers = new Set<{ signal: AbortSignal; wake(): void }>()
  readonly #replicas: Replica[] = []
  /** `uid address` of what was there before us. */
  readonly #legacy = new Set<string>()
  #version = 0
  #requests = 0

  constructor({ cidr, replicas, seeds }: { cidr: string; replicas: number; seeds: readonly Seed[] }) {
    this.policy = { ...defaultPolicy, pools: [createPool({ cidr })] }
    this.put(meshNamespace('shop') as unknown as Stored)
    for (const seed of seeds) this.#seed(seed)
    for (let index = 0; index < replicas; index++) this.#replicas.push(new Replica(this, `replica ${index}`))
  }

  #seed({ name, pick, is }: Seed): void {
    const address = this.address(pick)
    const isClaimed = this.stored('IPAddress', '', address) !== undefined
    if (isClaimed || (is !== 'legacy' && this.#holdersOf(address).length > 0)) return
    if (is === 'legacy' || is === 'claimed') {
      const { metadata } = this.put(this.#draft({ name, draft: 'pick', pick, port: 3111 }, undefined))
      if (is === 'legacy') this.#legacy.add(`${metadata.uid} ${address}`)
    }
    if (is === 'legacy') return
    const claimed = claim(address, `shop/${name}`)
    const annotations = is === 'released' ? { [releasedAnnotation]: 'true' } : {}
    this.put({ ...claimed, metadata: { ...claimed.metadata, annotations } } as unknown as Stored)
  }

  #holdersOf(address: string): Stored[] {
    return this.all('Service').filter((one) => this.#ofPool(one).includes(address))
  }

  /** Resolves when all replicas have everything in view. */
  async start(): Promise<void> {
    await settled()
    this.#hearAll()
    await settled()
  }

  /** The present time by the clock that may be set, in milliseconds. */
  get date(): number {
    return Date.UTC(2026, 0, 1) + this.clock + this.skew
  }

  address(pick: number): string {
    return `240.240.0.${1 + pick}`
  }

  // The API server.

  stored(kind: ResourceKind, namespace: string | undefined, name: string): Stored | undefined {
    return this.#objects.get(`${kind} ${resources[kind].namespaced ? `${namespace}/` : ''}${name}`)
  }

  all(kind: ResourceKind): Stored[] {
    return [...this.#objects.values()].filter((object) => object.kind === kind)
  }

  list(kind: ResourceKind): { items: Stored[]; resourceVersion: string } {
    return { items: this.all(kind), resourceVersion: String(this.#version) }
  }

  put(object: Stored): Stored {
    const { namespace, name } = object.metadata
    const present = this.stored(object.kind, namespace, name)
    const resourceVersion = String(++this.#version)
    const metadata = {
      ...object.metadata,
      uid: present?.metadata.uid ?? `uid-${resourceVersion}`,
      creationTimestamp: present?.metadata.creationTimestamp ?? new Date(this.date - this.skew).toISOString(),
      resourceVersion,
    }
    const stored = { ...object, metadata }
    this.#objects.set(`${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`, stored)
    this.#tell(stored.kind, { type: present === undefined ? 'ADDED' : 'MODIFIED', object: stored })
    return stored
  }

  remove(object: Stored): void {
    const { namespace, name } = object.metadata
    this.#objects.delete(`${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`)
    this.#tell(object.kind, { type: 'DELETED', object })
    if (object.kind === 'IPAddress' && this.#listing(object))
      this.wrong.push(`the claim on ${name} is deleted, which its Service relies on`)
  }

  /** Whether the Service of a claim lists its address. */
  #listing({ metadata, spec }: Stored): boolean {
    const owner = this.stored('Service', 'shop', spec.parentRef?.name ?? '')
    return owner !== undefined && externalIPsOf(owner).includes(metadata.name)
  }

  #tell(kind: Kind, event: StoredEvent): void {
    for (const watch of this.#watches) if (watch.kind === kind) watch.held.push([event])
  }

  /** The list as it is, and what happens then, each as late as the schedule says. */
  async *watch(client: KubernetesClient, kind: Kind, signal: AbortSignal): AsyncGenerator<unknown, void> {
    const annotations = { 'k8s.io/initial-events-end': 'true' }
    const { items, resourceVersion } = this.list(kind)
    const list: StoredEvent[] = items.map((object) => ({ type: 'ADDED', object }))
    list.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion, annotations } } })
    const watch: Watch = { client, kind, signal, held: [list], told: [], wake: () => {} }
    // Of what never changes there is no being late.
    if (kind !== 'Service' && kind !== 'IPAddress') watch.told.push(...watch.held.splice(0).flat())
    this.#watches.add(watch)
    for (;;) {
      yield* watch.told.splice(0)
      await new Promise<void>((resolve, reject) => {
        watch.wake = (error) => (error === undefined ? resolve() : reject(error))
      })
    }
  }

  /** A request of a client. */
  request<T>(what: string, signal: AbortSignal, run: () => T): Promise<T> {
    signal.throwIfAborted()
    return new Promise<T>((resolve, reject) => {
      const forsake = () => reject(unreachable())
      const attempt = (): (() => void) => {
        try {
          const result = structuredClone(run())
          return () => resolve(result)
        } catch (error) {
          this.history.push(`    ${(error as Error).message}`)
          return () => reject(error)
        }
      }
      const arrive = (fate: Fate) => {
        if (fate === 'lost') return forsake()
        const answer = attempt()
        if (fate === 'unanswered') forsake()
        else if (fate === 'answered') answer()
        else this.#transits.push({ what: `the answer to ${what}`, signal, forsake, arrive: answer })
      }
      this.#transits.push({ what, signal, forsake, arrive })
    })
  }

  /** In place of the timer of this name: whoever sleeps is woken when the schedule says so. */
  sleep(signal: AbortSignal): Promise<void> {
    return new Promise((wake) => (signal.aborted ? wake() : this.#sleepers.add({ signal, wake })))
  }

  wake(signal: AbortSignal): void {
    for (const sleeper of this.#sleepers) {
      if (sleeper.signal !== signal) continue
      this.#sleepers.delete(sleeper)
      sleeper.wake()
    }
  }

  /** Whoever is gone waits for nothing; what he sent is on its way nevertheless. */
  forsake(): void {
    for (const { signal, forsake } of this.#transits) if (signal?.aborted) forsake?.()
    for (const { signal } of this.#sleepers) if (signal.aborted) this.wake(signal)
    for (const watch of this.#watches) {
      if (!watch.signal.aborted) continue
      this.#watches.delete(watch)
      watch.wake(unreachable())
    }
  }

  /** Notes an error that somebody was told of: one of this API server is part of the game. Any other would have a cause. */
  note(error: unknown): void {
    const isOurs = error instanceof ApiError && error.cause === undefined
    const isPartOfTheGame = isOurs || (error as Error).name === 'AbortError'
    if (!isPartOfTheGame) this.wrong.push(String((error as Error).stack))
  }

  /** Asks a webhook; undefined where there is no answer. */
  #review(review: typeof mutate, what: string, request: AdmissionRequest): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const transit: Transit = {
        what: `${request.uid}: ${what} ${request.operation} of ${request.name}`,
        arrive: (fate, index) => {
          if (fate === 'lost') return resolve(undefined)
          const { backend, signal } = this.#replicas[index % this.#replicas.length] as Replica
          const answer = review(request, backend, { policy: this.policy, signal }).catch((error) => {
            this.note(error)
            return undefined
          })
          if (fate === 'answered') void answer.then(resolve)
          else if (fate === 'unanswered') resolve(undefined)
          // It has not heard in time, and asks again.
          else this.#transits.push(transit)
        },
      }
      this.#transits.push(transit)
    })
  }

  /** Whether a request comes to its last step in time. */
  #reaches(what: string, started: number): Promise<boolean> {
    return new Promise((resolve) => {
      const arrive = (fate: Fate) => resolve(fate !== 'lost' && this.clock - started < requestLimit)
      this.#transits.push({ what, arrive })
    })
  }

  #draft({ name, draft, pick, port }: Pick<Write, 'name' | 'draft' | 'pick' | 'port'>, before?: Stored): Stored {
    const { selector, ...spec }: { externalIPs?: string[] | undefined; selector?: object } = drafts[draft](
      before,
      this.address(pick),
    )
    const labels = { 'meshvip.dev/virtual-host': String(selector === undefined) }
    const owned =
      spec.externalIPs === undefined || draft === 'apply' || draft === 'ordinary' ? {} : { 'f:externalIPs': {} }
    const managedFields = [{ fieldsV1: { 'f:spec': { 'f:ports': {}, ...owned } } }]
    const object = service(
      name,
      {
        ports: [{ name: 'http', port, protocol: 'TCP' }],
        ...(spec.externalIPs === undefined ? {} : spec),
        ...(selector === undefined ? {} : { selector }),
      },
      { labels, managedFields },
    )
    return object as unknown as Stored
  }

  /** A Service is created or updated, in all the steps of an API server. */
  async #write(write: Write): Promise<void> {
    const started = this.clock
    const uid = `request ${++this.#requests}`
    const { name, dryRun } = write
    for (;;) {
      const before = this.stored('Service', 'shop', name)
      const object = this.#draft(write, before)
      const request = requestFor(object as never, {
        uid,
        dryRun,
        operation: before === undefined ? 'CREATE' : 'UPDATE',
        oldObject: before,
      })
      const mutated = await this.#review(mutate, 'mutate', request)
      // The mutating webhook fails open,
      const patch = (mutated?.patch ?? []) as Operation[]
      const final = jsonPatch.applyPatch(structuredClone(object), patch).newDocument as Stored
      if (write.refused) return
      // and the validating one does not.
      const validated = await this.#review(validate, 'validate', { ...request, object: final })
      const isTaken = validated?.outcomes.some(({ rule, action }) => rule === 'service-vip-taken' && action === 'deny')
      if (isTaken && patch.length > 0 && !dryRun && this.clock - started < requestLimit)
        this.wrong.push(`${name} is refused the address that mutation has just given it`)
      if (!validated?.allowed || !(await this.#reaches(`${uid}: store ${name}`, started)) || dryRun) return
      const present = this.stored('Service', 'shop', name)
      if (present === before) return this.#commit(write, before, final)
      // What was created by another is; what was changed by another is tried again, like kubectl patch, for as long as it is there.
      if (before === undefined || present === undefined) return
    }
  }

  #commit({ draft }: Write, before: Stored | undefined, final: Stored): void {
    const stored = this.put(final)
    const { name, uid } = stored.metadata
    for (const address of before === undefined ? [] : this.#ofPool(before)) {
      const listed = externalIPsOf(stored).includes(address)
      if (!listed && (draft === 'apply' || draft === 'replace') && !this.#legacy.has(`${uid} ${address}`))
        this.wrong.push(`${name} loses ${address} by an update`)
      if (!listed) this.#legacy.delete(`${uid} ${address}`)
    }
    if (this.#ofPool(stored).length === 0 && !draft.startsWith('ordinary'))
      this.wrong.push(`${name} is stored without an address`)
    for (const address of this.#unclaimed(stored))
      this.wrong.push(`${name} is stored with ${address} and without a claim on it`)
  }

  #ofPool(object: Stored): string[] {
    return externalIPsOf(object).filter((address) => inPool(this.policy.pools, address))
  }

  /** The addresses of the pool that a Service lists without a claim, but for those that it had before us. */
  #unclaimed(object: Stored): string[] {
    const { name, uid } = object.metadata
    return this.#ofPool(object).filter(
      (address) =>
        !this.#legacy.has(`${uid} ${address}`) && this.stored('IPAddress', '', address)?.spec.parentRef?.name !== name,
    )
  }

  // What the schedule says.

  write(write: Write): void {
    void this.#write(write).catch((error) => this.wrong.push(String(error.stack)))
  }

  delete(name: string): void {
    const present = this.stored('Service', 'shop', name)
    if (present !== undefined) this.remove(present)
  }

  /** Something on its way arrives: the oldest is 0, the latest -1. */
  arrive(which: number, fate: Fate, replica: number): void {
    if (this.#transits.length === 0) return
    const [transit] = this.#transits.splice(which < 0 ? which : which % this.#transits.length, 1)
    this.history.push(`  ${transit?.what} (${fate}${transit?.signal === undefined ? `, replica ${replica}` : ''})`)
    transit?.arrive(fate, replica)
  }

  /** All that is on its way arrives, in order. */
  async calm(): Promise<void> {
    while (this.#transits.length > 0) {
      this.arrive(0, 'answered', 0)
      await settled()
    }
  }

  /** A replica hears of so many changes of a kind. */
  hear(index: number, kind: Kind, count: number): void {
    const { client } = this.#replicas[index % this.#replicas.length] as Replica
    for (const watch of this.#watches) if (watch.client === client && watch.kind === kind) this.#hear(watch, count)
  }

  #hear(watch: Watch, count: number): void {
    watch.told.push(...watch.held.splice(0, count).flat())
    watch.wake()
  }

  #hearAll(): void {
    for (const watch of this.#watches) this.#hear(watch, watch.held.length)
  }

  look(index: number): void {
    this.#replicas[index % this.#replicas.length]?.look()
  }

  /** Time goes by, with the janitors at work. */
  async age(): Promise<void> {
    for (const replica of this.#replicas) {
      replica.look()
      await settled()
      await this.calm()
    }
    this.clock += pastGrace
  }

  depose(index: number): void {
    this.#replicas[index % this.#replicas.length]?.depose()
    this.forsake()
  }

  /** A replica is gone, and another takes its place. */
  async crash(index: number): Promise<void> {
    const at = index % this.#replicas.length
    const old = this.#replicas[at] as Replica
    this.#replicas[at] = new Replica(this, `${old.name}'`)
    await old.end()
  }

  /** Throws where something is as it must never be. */
  check(): void {
    for (const one of this.all('Service')) {
      const { name, uid } = one.metadata
      for (const address of this.#unclaimed(one)) this.wrong.push(`${name} lists ${address} without a claim on it`)
      for (const address of this.#ofPool(one)) {
        const others = this.#holdersOf(address).filter((other) => other !== one)
        if (others.length > 0 && !this.#legacy.has(`${uid} ${address}`))
          this.wrong.push(`${name} has ${address} like ${others.map(({ metadata }) => metadata.name)}`)
      }
    }
    this.#fail()
  }

  #fail(): void {
    if (this.wrong.length > 0) throw new Error([...this.wrong, ...this.history].join('\n'))
  }

  /** Lets everything come to rest, with the janitors at work, and throws where claims and Services are not at one then. */
  async rest(): Promise<void> {
    // A claim is seen orphaned, released, seen released, and deleted; then its address can be adopted.
    for (let round = 0; round < 6; round++) {
      await this.calm()
      this.#hearAll()
      await settled()
      this.look(0)
      await settled()
      await this.calm()
      this.check()
      this.clock += pastGrace
    }
    for (const claim of this.all('IPAddress'))
      if (!this.#listing(claim)) this.wrong.push(`the claim on ${claim.metadata.name} is never collected`)
    for (const one of this.all('Service'))
      for (const address of this.#ofPool(one)) {
        const claim = this.stored('IPAddress', '', address)
        if (claim === undefined || !this.#listing(claim)) this.wrong.push(`${address} is never claimed`)
      }
    this.#fail()
  }

  async end(): Promise<void> {
    for (const replica of this.#replicas) await replica.end()
  }
}
