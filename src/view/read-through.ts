import type { Block } from '../api/address.ts'
import { MalformedObject } from '../api/fields.ts'
import { managedBy, managedByLabel } from '../api/ip-address.ts'
import { type Kind, type KnownObject, kinds } from '../api/kinds.ts'
import { formatName, isLabelName, isObjectName, type NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { ObjectStore } from './object-store.ts'
import type { ClusterView } from './view.ts'

/** Above so many objects of a kind in one round, it is less for the API server to list those of the namespace, or all of the kind. */
const maxObjects = { ofNamespace: 20, ofKind: 100 }

/** One round reads all that was asked; what is asked because of an answer takes another. No rule nests this deep. */
const maxRounds = 10

/** The claims that are ours. */
const ownClaims = { labels: `${managedByLabel}=${managedBy}` }

/** Something to be read: one object or a few, or `all` of a kind or of its namespace. */
type Want = { kind: Kind; namespace: string; all: boolean; read: () => Promise<void> }

export type ReadThroughOptions = {
  client: KubernetesClient
  clusterDomain: string
  /** Told of each read. */
  onRead?(kind: Kind): void
}

/**
 * A view of what has been read so far. What has not is answered as if it did not exist, and noted: whoever asks reads the notes,
 * and asks again. So a question stays synchronous, and all that it needs is read at once.
 */
export class ReadThroughView implements ClusterView {
  readonly unlistedNamespacesSelected: boolean = false
  protected readonly store: ObjectStore
  readonly #client: KubernetesClient
  readonly #onRead: ReadThroughOptions['onRead']
  readonly #signal: AbortSignal
  readonly #read = new Set<string>()
  readonly #wanted = new Map<string, Want>()

  constructor({ client, clusterDomain, onRead }: ReadThroughOptions, signal: AbortSignal) {
    this.#client = client
    this.#onRead = onRead
    this.store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: false })
    this.#signal = signal
  }

  /** Reads what was wanted; false where nothing was, and the last answer stands. */
  async readWanted(): Promise<boolean> {
    this.#listWhereMany()
    const wanted = [...this.#wanted]
    this.#wanted.clear()
    for (const [, { kind }] of wanted) this.#onRead?.(kind)
    await Promise.all(wanted.map(([, { read }]) => read()))
    for (const [question] of wanted) this.#read.add(question)
    return wanted.length > 0
  }

  #listWhereMany(): void {
    this.#listGroups(maxObjects.ofNamespace, ({ namespace }) => namespace)
    this.#listGroups(maxObjects.ofKind, () => '')
  }

  /** Lists in place of reading one by one where more objects than that are wanted of a kind and namespace; '' is all namespaces. */
  #listGroups(limit: number, namespaceOf: (want: Want) => string): void {
    const single = [...this.#wanted].filter(([, { all }]) => !all)
    for (const group of Map.groupBy(single, ([, want]) => `${want.kind} ${namespaceOf(want)}`).values()) {
      const [[, want]] = group as [(typeof group)[0]]
      if (group.length <= limit) continue
      for (const [question] of group) this.#wanted.delete(question)
      this.#wantAll(want.kind, { namespace: namespaceOf(want) })
    }
  }

  #isListed(kind: Kind, namespace: string): boolean {
    const { resource } = kinds[kind]
    return this.#read.has(resource) || this.#read.has(`${resource} in ${namespace}`)
  }

  #want(question: string, want: Want): void {
    if (!this.#read.has(question)) this.#wanted.set(question, want)
  }

  #put(kind: Kind, raw: unknown): void {
    try {
      this.store.put({ kind, object: kinds[kind].parse(raw) } as KnownObject)
    } catch (error) {
      // What is not as its schema says, Istio cannot read either: it is left out, and does not stop everybody's admissions.
      if (!(error instanceof MalformedObject)) throw error
    }
  }

  protected wantObject(kind: Kind, name: NamespacedName): void {
    if (!isObjectName(name.name) || this.#isListed(kind, name.namespace)) return
    const read = async () => {
      const object = await this.#client.get(kind, name, this.#signal)
      if (object !== undefined) this.#put(kind, object)
    }
    this.#want(`${kinds[kind].resource} ${formatName(name)}`, { kind, namespace: name.namespace, all: false, read })
  }

  #wantAll(kind: Kind, selection: { namespace?: string; labels?: string } = {}): void {
    const { namespace = '', labels } = selection
    const isPart = namespace !== '' && labels !== undefined
    if (isPart && this.#isListed(kind, namespace)) return
    const read = async () => {
      for await (const object of this.#client.objects(kind, selection, this.#signal)) this.#put(kind, object)
    }
    // What is selected by labels alone is all of the kind that any question is about.
    const scope = namespace === '' ? '' : ` in ${namespace}${isPart ? ` with ${labels}` : ''}`
    this.#want(`${kinds[kind].resource}${scope}`, { kind, namespace, all: !isPart, read })
  }

  namespace(name: string) {
    this.wantObject('Namespace', { namespace: '', name })
    return this.store.namespace(name)
  }

  service(name: NamespacedName) {
    this.wantObject('Service', name)
    return this.store.service(name)
  }

  servicesUnder(wildcard: string) {
    this.#wantAll('Service')
    return this.store.servicesUnder(wildcard)
  }

  virtualHostCandidates(namespace: string, port: number) {
    this.#wantAll('Service', { namespace })
    return this.store.virtualHostCandidates(namespace, port)
  }

  serviceEntries(host: string) {
    this.#wantAll('ServiceEntry')
    return this.store.serviceEntries(host)
  }

  virtualServices(host: string) {
    this.#wantAll('VirtualService')
    return this.store.virtualServices(host)
  }

  virtualService(name: NamespacedName) {
    this.wantObject('VirtualService', name)
    return this.store.virtualService(name)
  }

  virtualServicesWithDelegate(name: NamespacedName) {
    this.#wantAll('VirtualService')
    return this.store.virtualServicesWithDelegate(name)
  }

  virtualServicesTo(host: string) {
    this.#wantAll('VirtualService')
    return this.store.virtualServicesTo(host)
  }

  destinationRules(host: string) {
    this.#wantAll('DestinationRule')
    return this.store.destinationRules(host)
  }

  endpoints(service: NamespacedName) {
    this.wantObject('Endpoints', service)
    return this.store.endpoints(service)
  }

  endpointSlices(service: NamespacedName) {
    if (!isLabelName(service.name)) return []
    this.#wantAll('EndpointSlice', {
      namespace: service.namespace,
      labels: `kubernetes.io/service-name=${service.name}`,
    })
    return this.store.endpointSlices(service)
  }

  holders(address: string) {
    this.claim(address)
    this.#wantAll('Service')
    this.#wantAll('ServiceEntry')
    return this.store.holders(address)
  }

  #wantHolders(): void {
    this.#wantAll('Service')
    this.#wantAll('ServiceEntry')
    this.#wantAll('IPAddress', ownClaims)
  }

  /** Every address that somebody has, and who. */
  heldAddresses() {
    this.#wantHolders()
    return this.store.heldAddresses()
  }

  heldWithin(block: Block) {
    this.#wantHolders()
    return this.store.heldWithin(block)
  }

  claim(address: string) {
    this.wantObject('IPAddress', { namespace: '', name: address })
    return this.store.claim(address)
  }

  claimsOf(service: NamespacedName) {
    // From here on claim() knows our own claims only. Whoever asks this wants an address, and finds out about others by conflict.
    this.#wantAll('IPAddress', ownClaims)
    return this.store.claimsOf(service)
  }
}

/** Asks again and again, until all that the answer rests on has been read. */
export const untilRead = async <T>(view: ReadThroughView, ask: () => T): Promise<T> => {
  for (let round = 0; round < maxRounds; round++) {
    const answer = ask()
    if (!(await view.readWanted())) return answer
  }
  throw new Error(`the question still wanted more of the cluster after ${maxRounds} rounds`)
}
