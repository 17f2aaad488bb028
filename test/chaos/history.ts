import { setTimeout as sleep } from 'node:timers/promises'
import { Fields } from '../../src/api/fields.ts'
import { managedBy, managedByLabel } from '../../src/api/ip-address.ts'
import { ApiError, type KubernetesClient } from '../../src/kubernetes/client.ts'

type Kind = 'Service' | 'IPAddress'

/** Of the IPAddresses ours: the API server has one for each ClusterIP, too. */
const ours = `${managedByLabel}=${managedBy}`
const selections: Record<Kind, { labels?: string; query: Readonly<Record<string, string>> }> = {
  Service: { query: {} },
  IPAddress: { labels: ours, query: { labelSelector: ours } },
}

/** A Service with its addresses of the pool, or a claim with the Service that it is for; without `holds` it is gone. */
export type Change = {
  revision: number
  kind: Kind
  name: string
  holds: readonly string[] | undefined
}

/** Who has which address at one moment. */
class Ledger {
  readonly #services = new Map<string, readonly string[]>()
  readonly #holders = new Map<string, Set<string>>()
  readonly #claims = new Map<string, string>()

  /** Enters a change; returns the addresses that it is about. */
  enter({ kind, name, holds }: Change): readonly string[] {
    if (kind === 'IPAddress') {
      if (holds === undefined) this.#claims.delete(name)
      else this.#claims.set(name, String(holds))
      return [name]
    }
    for (const address of this.#services.get(name) ?? []) this.#holders.get(address)?.delete(name)
    if (holds === undefined) this.#services.delete(name)
    else this.#services.set(name, holds)
    for (const address of holds ?? []) {
      const holders = this.#holders.get(address) ?? new Set()
      this.#holders.set(address, holders.add(name))
    }
    return holds ?? []
  }

  /** The Services that list an address. */
  holders(address: string): string[] {
    return [...(this.#holders.get(address) ?? [])]
  }

  claim(address: string): string | undefined {
    return this.#claims.get(address)
  }

  /** The addresses whose claims are for Services that do not list them. */
  orphaned(): string[] {
    return [...this.#claims].flatMap(([address, service]) =>
      this.#services.get(service)?.includes(address) ? [] : [address],
    )
  }
}

/** What was wrong with an address, from which revision on, and all that ever became of it. */
export type Breach = { problem: string; revision: number; changes: Change[] }

/**
 * All that became of Services and claims, as the API server tells it by watches. Where it has forgotten what came in between, as when it was
 * started anew, a list stands for that.
 */
export class History {
  readonly #client: KubernetesClient
  readonly #isInPool: (address: string) => boolean
  readonly #onShared: (breach: Breach) => void
  readonly #changes: Change[] = []
  readonly #now = new Ledger()

  /** `onShared` is told of an address that two Services have, when that is heard. */
  constructor(
    client: KubernetesClient,
    { isInPool, onShared }: { isInPool(address: string): boolean; onShared(breach: Breach): void },
  ) {
    this.#client = client
    this.#isInPool = isInPool
    this.#onShared = onShared
  }

  /** Follows both kinds until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow('Service', signal), this.#follow('IPAddress', signal)])
  }

  get length(): number {
    return this.#changes.length
  }

  /** The addresses that are claimed for Services which do not list them. */
  orphaned(): string[] {
    return this.#now.orphaned()
  }

  /** Where a Service had an address that was not claimed for it, or that another had as well: for each address the first time. */
  breaches(): Breach[] {
    const ledger = new Ledger()
    const found = new Map<string, Breach>()
    const changes = this.#changes.toSorted((a, b) => a.revision - b.revision)
    // What a list brought came about one after the other, nobody knows how.
    for (const together of Map.groupBy(changes, ({ revision }) => revision).values()) {
      for (const address of together.flatMap((change) => ledger.enter(change))) {
        const [claim, holders] = [ledger.claim(address), ledger.holders(address)]
        if (found.has(address) || holders.every((holder) => holder === claim)) continue
        const problem = `${address} is had by ${holders.join(' and ')}, and claimed for ${claim ?? 'nobody'}`
        found.set(address, this.#breach(problem, together[0]?.revision ?? 0, address))
      }
    }
    return [...found.values()]
  }

  #breach(problem: string, revision: number, address: string): Breach {
    const changes = this.#changes.filter(({ name, holds }) => name === address || holds?.includes(address))
    return { problem, revision, changes }
  }

  #enter(...changes: Change[]): void {
    this.#changes.push(...changes)
    for (const address of changes.flatMap((change) => this.#now.enter(change))) {
      const holders = this.#now.holders(address)
      if (holders.length < 2) continue
      const { revision = 0 } = changes.at(-1) ?? {}
      this.#onShared(this.#breach(`${address} is had by ${holders.join(' and ')}`, revision, address))
    }
  }

  #read(kind: Kind, object: unknown, isGone = false): Change {
    const metadata = new Fields(object).object('metadata')
    const spec = new Fields(object).object('spec')
    const revision = Number(metadata.raw('resourceVersion'))
    if (kind === 'IPAddress') {
      const service = spec.object('parentRef')
      const holder = `${service.string('namespace')}/${service.string('name')}`
      return { revision, kind, name: String(metadata.raw('name')), holds: isGone ? undefined : [holder] }
    }
    const name = `${metadata.string('namespace')}/${metadata.string('name')}`
    return { revision, kind, name, holds: isGone ? undefined : spec.strings('externalIPs').filter(this.#isInPool) }
  }

  async #follow(kind: Kind, signal: AbortSignal): Promise<void> {
    const names = new Set<string>()
    let heard = 0
    let isForgotten = true
    while (!signal.aborted) {
      try {
        if (isForgotten) heard = await this.#list(kind, names, heard, signal)
        isForgotten = false
        for await (const event of await this.#client.watch(
          kind,
          { ...selections[kind].query, resourceVersion: String(heard) },
          signal,
        )) {
          const fields = new Fields(event)
          const object = fields.raw('object')
          if (fields.raw('type') === 'ERROR')
            throw new ApiError(Number(new Fields(object).raw('code')), 'the watch fails')
          const change = this.#read(kind, object, fields.raw('type') === 'DELETED')
          if (change.holds === undefined) names.delete(change.name)
          else names.add(change.name)
          this.#enter(change)
          heard = change.revision
        }
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof ApiError)) throw error
        isForgotten ||= error.status === 410
        await sleep(50)
      }
    }
  }

  /** Resolves to the revision of the list. `names` are those that were known, `heard` is the revision up to which all was heard. */
  async #list(kind: Kind, names: Set<string>, heard: number, signal: AbortSignal): Promise<number> {
    const pages = await Array.fromAsync(this.#client.pages(kind, selections[kind], signal))
    const revision = Number(pages.at(-1)?.resourceVersion)
    const present = pages.flatMap(({ items }) => items).map((item) => this.#read(kind, item))
    const gone = [...names].filter((name) => !present.some((change) => change.name === name))
    // In the dark a claim came before its Service did, and went after it.
    const since = kind === 'IPAddress' ? heard : revision
    this.#enter(
      ...gone.map((name): Change => ({ revision, kind, name, holds: undefined })),
      ...present.map((change) => ({ ...change, revision: since })),
    )
    names.clear()
    for (const { name } of present) names.add(name)
    return revision
  }
}
