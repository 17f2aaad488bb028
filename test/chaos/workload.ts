import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { Fields } from '../../src/api/fields.ts'
import type { Answer, Api, Method } from '../e2e/api.ts'
import { goodPorts, serviceManifest } from '../e2e/cluster.ts'

/** The pool: what is picked by hand is in its lower half, and what is given without in the upper one, as long as that lasts. */
export const pool = '10.77.0.0/20'

/** The `n`th address of the pool, 1 being the first that can be had. */
const addressAt = (n: number): string => `10.77.${n >> 8}.${n & 255}`
const lowerHalf = 2047
/** So few that several Services want the same one. */
const coveted = 96

export const isInPool = (address: string): boolean => /^10\.77\.(\d|1[0-5])\.\d+$/.test(address)

const namespaces = 25
export const namespaceNames = Array.from({ length: namespaces }, (_, index) => `chaos-${index}`)

type Name = { name: string } | { name?: never; generateName: string }

const manifest = (namespace: string, name: Name, address?: string): object =>
  serviceManifest(
    namespace,
    '',
    { ports: goodPorts, ...(address === undefined ? {} : { externalIPs: [address] }) },
    { name: undefined, ...name },
  )

const servicesOf = (namespace: string, name?: string): string =>
  `/api/v1/namespaces/${namespace}/services${name === undefined ? '' : `/${name}`}`

type Change = {
  /**
   * `replace`: written anew without its address, as kubectl replace does; `move`: to an address picked by hand; `return`: to the one that
   * it had before; `again`: deleted and created again.
   */
  what: 'replace' | 'move' | 'return' | 'again'
  address: number
  /**
   * Milliseconds until it returns, or is there again. Some of these are about the time after which a janitor takes the claim that is left
   * behind.
   */
  pause: number
}

/** What becomes of one Service. */
export type Life = {
  namespace: number
  name: 'given' | 'generated'
  /** The addresses that it asks for by hand, one after the other where they are taken; without, or at last, it is given one. */
  picks: readonly number[]
  /** Somebody else creates it at the same time. */
  hasRival: boolean
  /** It is created as a dry run first. */
  dryRun: boolean
  changes: readonly Change[]
  isDeleted: boolean
}

const weighted = <T>(...weights: [weight: number, value: fc.Arbitrary<T>][]) =>
  fc.oneof(...weights.map(([weight, arbitrary]) => ({ weight, arbitrary })))

const picked = weighted([1, fc.integer({ min: 1, max: lowerHalf })], [1, fc.integer({ min: 1, max: coveted })])

/** Seconds that the API server gives a request of ours, admission included. */
export const requestLimit = 10

/** Milliseconds: how often a janitor looks, and its grace, which is in the same proportion to the limit of a request as in production. */
export const collect = { interval: 4_000, grace: 1250 * requestLimit }

const aroundCollection = { min: collect.grace - 2_000, max: collect.grace + 2 * collect.interval }

export const livesOf = (count: number, seed: number): Life[] =>
  fc.sample(
    fc.record({
      namespace: fc.nat(namespaces - 1),
      name: weighted([9, fc.constant('given' as const)], [1, fc.constant('generated' as const)]),
      picks: weighted([7, fc.constant<number[]>([])], [3, fc.array(picked, { minLength: 1, maxLength: 3 })]),
      hasRival: weighted([9, fc.constant(false)], [1, fc.constant(true)]),
      dryRun: weighted([9, fc.constant(false)], [1, fc.constant(true)]),
      changes: weighted(
        [1, fc.constant<Change[]>([])],
        [
          1,
          fc.array(
            fc.record({
              what: fc.constantFrom('replace' as const, 'move' as const, 'return' as const, 'again' as const),
              address: picked,
              pause: weighted([3, fc.constant(0)], [1, fc.integer(aroundCollection)]),
            }),
            { minLength: 1, maxLength: 4 },
          ),
        ],
      ),
      isDeleted: weighted([4, fc.constant(false)], [1, fc.constant(true)]),
    }),
    { seed, numRuns: count },
  )

/** Milliseconds within which a request must have been answered for good, with all that is killed meanwhile. */
const patience = 120_000

/** Milliseconds from a request that failed to the next one: the first, doubled each time, up to the last. */
const backoff = { first: 100, last: 2_000 }

/** What an answer means: it is done, it was done before, or another has the address. */
type Outcome = { service: Fields } | 'exists' | { taken: string }

const expectService = (outcome: Outcome): Fields => {
  if (typeof outcome === 'object' && 'service' in outcome) return outcome.service
  throw new Error(`this is not done: ${JSON.stringify(outcome)}`)
}

/** Why a Service is refused, as the message of the rule begins, and what that means. */
const denials: readonly [reason: string, meaning: 'taken' | 'not mutated'][] = [
  ['belongs to', 'taken'],
  ['is still claimed for', 'taken'],
  ['is not claimed for', 'not mutated'],
  ['the virtual host has no address', 'not mutated'],
]

const count = (counts: Map<string, number>, what: string): void => {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

/** Writes Services as controllers do, which send each request until it is answered on its merits. */
export class Writers {
  readonly figures = {
    requests: 0,
    created: 0,
    /** Milliseconds of the requests that created a Service, and from the first request for it to its end. */
    creating: [] as number[],
    untilCreated: [] as number[],
    denials: new Map<string, number>(),
    retries: new Map<string, number>(),
  }
  /** What was answered wrongly. */
  readonly wrong: string[] = []
  /** The Services that are there at the end, and those that are not any more. */
  readonly live = new Set<string>()
  readonly gone = new Set<string>()
  readonly #api: Api
  readonly #stop: AbortController
  readonly #signal: AbortSignal

  /** They stop when `stop` is aborted, and abort it themselves where one of them cannot go on. */
  constructor(api: Api, stop: AbortController) {
    this.#api = api
    this.#stop = stop
    this.#signal = stop.signal
  }

  /** Lives all of these, so many at a time; `onLived` is told how many it has been so far. */
  async run(lives: readonly Life[], parallel: number, onLived: (count: number) => void): Promise<void> {
    const rest = lives.entries()
    let lived = 0
    const write = async () => {
      for (const [index, life] of rest) {
        await this.#live(life, `vip-${index}`)
        onLived(++lived)
      }
    }
    await Promise.all(Array.from({ length: parallel }, () => write().catch((error) => this.#stop.abort(error))))
    this.#signal.throwIfAborted()
  }

  async #live(life: Life, base: string): Promise<void> {
    const namespace = namespaceNames[life.namespace] ?? ''
    if (life.dryRun) await this.#create(namespace, { name: base }, life.picks, true)
    const [service] = await Promise.all([
      this.#create(namespace, life.name === 'given' ? { name: base } : { generateName: `${base}-` }, life.picks),
      life.hasRival && life.name === 'given' ? this.#create(namespace, { name: base }, []) : undefined,
    ])
    const name = String(service.object('metadata').raw('name'))
    const path = servicesOf(namespace, name)
    let { address, former } = { address: this.#onlyAddress(service), former: '' }
    for (const change of life.changes) {
      const wanted = change.what === 'move' ? addressAt(change.address) : former
      if (change.what === 'again') {
        await this.#insist('DELETE', path)
        await this.#pause(change)
        address = this.#onlyAddress(await this.#create(namespace, { name }, []))
      } else if (change.what === 'replace') {
        const replaced = await this.#insist('PUT', path, manifest(namespace, { name }))
        const now = this.#onlyAddress(expectService(replaced))
        if (now !== address) this.wrong.push(`${namespace}/${name} had ${address}, and when it is replaced ${now}`)
      } else if (wanted !== '') {
        if (change.what === 'return') await this.#pause(change)
        const moved = await this.#insist('PATCH', path, { spec: { externalIPs: [wanted] } })
        if (typeof moved === 'object' && 'service' in moved)
          [former, address] = [address, this.#onlyAddress(moved.service)]
      }
    }
    if (life.isDeleted) await this.#insist('DELETE', path)
    ;(life.isDeleted ? this.gone : this.live).add(`${namespace}/${name}`)
  }

  async #pause({ pause }: Change): Promise<void> {
    await sleep(pause, undefined, { signal: this.#signal })
  }

  /** Creates a Service with the first of these addresses that it gets, else with one that is given; resolves to it as it is stored. */
  async #create(namespace: string, name: Name, picks: readonly number[], dryRun = false): Promise<Fields> {
    const started = performance.now()
    for (const pick of [...picks.map(addressAt), undefined]) {
      const outcome = await this.#insist('POST', servicesOf(namespace), manifest(namespace, name, pick), dryRun)
      if (outcome === 'exists') return this.#read(servicesOf(namespace, name.name))
      if ('service' in outcome) {
        if (!dryRun) {
          this.figures.created++
          this.figures.untilCreated.push(performance.now() - started)
        }
        return outcome.service
      }
      if (pick === undefined && !dryRun) this.wrong.push(`it was given an address that is taken: ${outcome.taken}`)
    }
    // A dry run claims nothing: the address that it is shown may be gone a moment later.
    return this.#create(namespace, name, [], dryRun)
  }

  async #read(path: string): Promise<Fields> {
    const outcome = await this.#insist('GET', path)
    return expectService(outcome)
  }

  /** The address of a Service, which must have one and no more. */
  #onlyAddress(service: Fields): string {
    const addresses = service.object('spec').strings('externalIPs')
    if (addresses.length !== 1 || !addresses.every(isInPool)) {
      this.wrong.push(`${service.object('metadata').raw('name')} has the addresses [${addresses}]`)
    }
    return String(addresses)
  }

  /** Sends a request until it is answered on its merits. */
  async #insist(method: Method, path: string, body?: object, dryRun = false): Promise<Outcome> {
    const query = `?timeout=${requestLimit}s${dryRun ? '&dryRun=All' : ''}`
    const deadline = Date.now() + patience
    for (let wait = backoff.first; Date.now() < deadline; wait = Math.min(2 * wait, backoff.last)) {
      this.#signal.throwIfAborted()
      const started = performance.now()
      const outcome = await this.#send(method, path + query, body)
      if ('outcome' in outcome) {
        const isCreated =
          method === 'POST' && !dryRun && typeof outcome.outcome === 'object' && 'service' in outcome.outcome
        if (isCreated) this.figures.creating.push(performance.now() - started)
        return outcome.outcome
      }
      count(this.figures.retries, outcome.again)
      await sleep(wait, undefined, { signal: this.#signal })
    }
    throw new Error(`${method} ${path} was not answered on its merits within ${patience / 1000} s`)
  }

  async #send(method: Method, path: string, body?: object): Promise<{ outcome: Outcome } | { again: string }> {
    this.figures.requests++
    let answer: Answer
    try {
      answer = await this.#api.send(method, path, body, AbortSignal.timeout(1000 * (requestLimit + 2)))
    } catch {
      return { again: 'no answer' }
    }
    const { status, text } = answer
    if (status < 300 || (method === 'DELETE' && status === 404))
      return { outcome: { service: new Fields(JSON.parse(text)) } }
    if (method === 'POST' && status === 409) return { outcome: 'exists' }
    if (status === 403 && text.includes('denied the request')) return this.#denied(text)
    if (status >= 500) return { again: text.includes('failed calling webhook') ? 'no webhook answered' : `${status}` }
    // An API server that has just started knows neither namespaces nor who may what.
    if ([401, 403, 404, 409, 429].includes(status)) return { again: `${status}` }
    throw new Error(`${method} ${path}: ${status} ${text}`)
  }

  #denied(text: string): { outcome: Outcome } | { again: string } {
    const [reason, meaning] = denials.find(([words]) => text.includes(words)) ?? []
    if (reason === undefined) throw new Error(`nobody expects this denial: ${text}`)
    count(this.figures.denials, reason)
    // Mutation fails open: this is how it shows that it was not reached.
    return meaning === 'taken' ? { outcome: { taken: text } } : { again: 'mutation was not reached' }
  }
}
